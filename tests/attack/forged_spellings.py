"""Forged tokens: a valid one that was changed, and texts that only a lenient parser reads as a token."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.attack.generators import TOKENS
from tests.attack.instance import BASE64URL, Instance, b64, compact


@TOKENS.add
def another_spelling(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A valid token with a change: padding, white space, more or fewer parts, one bit of the signature, unused bits of base64."""
    honest = instance.honest(now_s)
    head, claims, mac = honest.split(".")
    last = BASE64URL[BASE64URL.index(mac[-1]) ^ 1]
    bent = [
        f"{honest}=",
        f"{honest}==",
        f"{head}=.{claims}.{mac}",
        f"{honest}.",
        f".{honest}",
        f"{honest}.{mac}",
        f"{head}..{claims}.{mac}",
    ]
    bent += [
        f"{head}.{claims}",
        f"{head}.{claims}.",
        f"{head}.{claims}.{mac[:-1]}",
        f"{head}.{claims}.{mac}A",
        f"{head}.{claims}.{mac[:-1]}{last}",
    ]
    bent += [
        f"{head}.{mac}",
        f"{claims}.{head}.{mac}",
        f"{head}.{claims}.{b64(bytes(32))}",
        f"{head}.{claims}.{b64(bytes(64))}",
        mac,
        head,
    ]
    at = st.integers(0, len(honest) - 1)
    changed = st.builds(lambda at, c: honest[:at] + c + honest[at + 1 :], at, st.sampled_from(BASE64URL + "+/=!~"))
    added = st.builds(lambda at, c: honest[:at] + c + honest[at:], at, st.sampled_from("A.=!~*"))
    return (st.sampled_from(bent) | changed | added).filter(lambda token: token != honest)


@TOKENS.add
def not_json(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A valid signature over a text that is not JSON, but that a lenient parser would read."""
    claims, header, key = json.dumps(instance.claims(now_s)), '{"alg": "HS256"}', instance.secret.encode()

    def bent(text: str) -> list[str]:
        more = [
            text[:-1] + end for end in ("", ",}", ', "x": NaN}', ', "x": Infinity}', ', "x": \ud800}', ', "x": 01}', ", x: 1}")
        ]
        return [text + "x", text + text, "\ufeff" + text, text.replace('"', "'"), f"[{text}]", "[" * 2000, *more]

    tokens = [compact(header, one, key) for one in bent(claims)] + [compact(one, claims, key) for one in bent(header)]
    return st.sampled_from(tokens)


@TOKENS.add
def too_long(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A valid token of more than 4 KiB."""
    return st.integers(3100, 4000).map(
        lambda size: compact({"alg": "HS256"}, instance.claims(now_s, pad="x" * size), instance.secret.encode())
    )
