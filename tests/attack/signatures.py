"""Forged signatures of actions: a grant as the server signs it, and generators of signatures that must be refused."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from scoreboard.domain.actions import Submission
from scoreboard.domain.grants import Grant, encode, key_id, keyring, sign
from scoreboard.domain.standings import POINTS_MAX
from tests.attack.generators import Generators
from tests.attack.instance import BASE64URL, Instance, b64, mistaken_keys, same_key

ACTION_ID: Final = "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


def grant(now_ms: int, **more: Any) -> Grant:
    """A grant for amy."""
    plain = Grant(
        action_id=ACTION_ID,
        user_id="amy",
        action_type="COMPLETE_QUEST",
        issued_at_ms=now_ms,
        not_before_ms=now_ms,
        expires_at_ms=now_ms + 600_000,
        points=100,
        metadata=(("questId", b'"quest-1"'),),
    )
    return msgspec.structs.replace(plain, **more)


def submission(of: Grant, signature: str, **more: Any) -> Submission:
    """The submission of a grant."""
    plain = Submission(
        action_id=of.action_id,
        action_type=of.action_type,
        issued_at_ms=of.issued_at_ms,
        metadata=of.metadata,
        signature=signature,
    )
    return msgspec.structs.replace(plain, **more)


def signed_members(of: Grant) -> list[Any]:
    return [of.board_id, of.not_before_ms, of.expires_at_ms, of.points, [key for key, _ in of.metadata]]


def signed_by(key: bytes, kid: str, of: Grant) -> str:
    """A signature of the right form with any key, under any key id."""
    mac = hmac.digest(key, encode(kid, of), "sha256")
    return f"v1.{kid}.{b64(json.dumps(signed_members(of), separators=(',', ':')).encode())}.{b64(mac)}"


#: (the player who submits, the submission); their time is in milliseconds.
SIGNATURES: Final[Generators[tuple[str, Submission]]] = Generators()
FORGERS = SIGNATURES.by_name


def _honest(instance: Instance, of: Grant) -> str:
    return sign(of, keyring(instance.action_secret.encode()))


@SIGNATURES.add
def wrong_key(instance: Instance, now_ms: int) -> st.SearchStrategy[tuple[str, Submission]]:
    """Mistaken keys (empty, defaults, the secrets of tokens) and random ones; under our key id, their own, or an unknown one."""
    ours = instance.action_secret.encode()
    keys = (st.sampled_from([*mistaken_keys(instance), *instance.trusted]) | st.binary(max_size=80)).filter(
        lambda key: not same_key(key, ours)
    )
    of = grant(now_ms, points=POINTS_MAX)
    kids = st.sampled_from(["x", "", key_id(ours), "own", key_id(b""), "0" * 8])
    return st.builds(
        lambda key, kid: ("amy", submission(of, signed_by(key, key_id(key) if kid == "own" else kid, of))), keys, kids
    )


@SIGNATURES.add
def unknown_kid(instance: Instance, now_ms: int) -> st.SearchStrategy[tuple[str, Submission]]:
    """Our own key, under a key id that is not its own."""
    ours = instance.action_secret.encode()
    kids = st.text(st.characters(codec="ascii", exclude_characters="."), max_size=12) | st.sampled_from(
        [key_id(ours).upper(), "../x"]
    )
    of = grant(now_ms)
    return kids.filter(lambda kid: kid != key_id(ours)).map(lambda kid: ("amy", submission(of, signed_by(ours, kid, of))))


@SIGNATURES.add
def something_changed(instance: Instance, now_ms: int) -> st.SearchStrategy[tuple[str, Submission]]:
    """Another player, action, type, time or metadata than the signed one; or other claims with the same signature."""
    of = grant(now_ms)
    honest = _honest(instance, of)
    more: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [
            {"action_id": "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4e"},
            {"action_type": "WIN_MATCH"},
            {"issued_at_ms": now_ms + 1},
            {"issued_at_ms": now_ms - 1},
            {"metadata": ()},
            {"metadata": (("questId", b'"quest-2"'),)},
        ]
    )
    version, kid, _, mac = honest.split(".")
    board, not_before, expires, points, keys = signed_members(of)
    claims = st.sampled_from(
        [
            ["", not_before, expires, points, keys],
            [board, not_before - 60_000, expires, points, keys],
            [board, not_before, expires + 1, points, keys],
            [board, not_before, expires, points + 1, keys],
            [board, not_before, expires, -points, keys],
            [board, not_before, expires, points, []],
            [board, not_before, expires, float(points), keys],
            [board, not_before, expires, points, keys, 1],
        ]
    ).map(lambda claims: f"{version}.{kid}.{b64(json.dumps(claims, separators=(',', ':')).encode())}.{mac}")
    others = st.sampled_from(["bob", "Amy", "amy ", "", "am", "amy2"])
    return (
        more.map(lambda more: ("amy", submission(of, honest, **more)))
        | claims.map(lambda signature: ("amy", submission(of, signature)))
        | others.map(lambda user: (user, submission(of, honest)))
    )


@SIGNATURES.add
def issued_later(instance: Instance, now_ms: int) -> st.SearchStrategy[tuple[str, Submission]]:
    """A valid signature with an issue time in the future: it would be valid for longer than the operator allows."""
    return st.integers(2_001, 10**9).map(
        lambda ahead: ("amy", submission(of := grant(now_ms + ahead, not_before_ms=now_ms), _honest(instance, of)))
    )


@SIGNATURES.add
def another_spelling(instance: Instance, now_ms: int) -> st.SearchStrategy[tuple[str, Submission]]:
    """The same grant in another spelling, which a cache of used signatures would not recognise."""
    of = grant(now_ms)
    honest = _honest(instance, of)
    version, kid, claims, mac = honest.split(".")
    spaced = b64(json.dumps(signed_members(of)).encode())
    bent = [
        f"{version}.{kid}.{spaced}.{mac}",
        f"{version}.{kid}.{claims}=.{mac}",
        f"{honest}=",
        f"{honest}.",
        f" {honest}",
        f"{honest}\n",
    ]
    bent += [
        f"v2.{kid}.{claims}.{mac}",
        f"V1.{kid}.{claims}.{mac}",
        f"{version}.{kid}.{claims}",
        f"{version}.{kid}.{claims}.",
        "",
    ]
    bent += [
        f"{version}.{kid}.{claims}.{base64.b64encode(bytes(32)).decode()}",
        f"{version}.{kid}.{claims}.{mac[:-1]}",
        "." * 2000,
    ]
    bent += [
        honest[:-1] + BASE64URL[BASE64URL.index(honest[-1]) ^ 1],
        f"{version}.{kid.upper()}.{claims}.{mac}" if kid != kid.upper() else "",
    ]
    at = st.integers(0, len(honest) - 1)
    changed = st.builds(lambda at, c: honest[:at] + c + honest[at + 1 :], at, st.sampled_from(BASE64URL + "+/=."))
    return (
        (st.sampled_from(bent) | changed | st.text(max_size=60))
        .filter(lambda text: text != honest)
        .map(lambda text: ("amy", submission(of, text)))
    )
