"""Forged tokens: a wrong key, algorithm or header."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from scoreboard.domain.grants import key_id
from tests.attack.generators import TOKENS, anything, other_spellings, with_name_twice
from tests.attack.instance import PUBLIC_PEM, Instance, b64, compact, mistaken_keys, same_key

#: Header members that name a source of a key, or an extension that the verifier must know.
FOREIGN_MEMBERS: Final = ("jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64")


@TOKENS.add
def wrong_key(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    keys = st.sampled_from(mistaken_keys(instance)) | st.binary(max_size=80)
    wrong = keys.filter(lambda key: not any(same_key(key, good) for good in instance.trusted))
    named = st.sampled_from(["", "none", "ours", "its own"])

    def sign(key: bytes, how: str) -> str:
        kid = {"": {}, "none": {"kid": "x"}, "ours": {"kid": key_id(instance.secret.encode())}, "its own": {"kid": key_id(key)}}[
            how
        ]
        return compact({"alg": "HS256", **kid}, instance.claims(now_s), key)

    return st.builds(sign, wrong, named)


@TOKENS.add
def unknown_kid(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A ``kid`` that names no key of ours; signed with our key, with no key, or with the name itself."""
    ours = [key_id(key) for key in instance.trusted]
    paths = [
        "../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "' UNION SELECT 'x' --",
        "\0",
        "x" * 2000,
        "http://127.0.0.1/key",
        "$ENV",
    ]
    known = [
        key_id(b""),
        key_id(b"\0" * 32),
        key_id(instance.action_secret.encode()),
        key_id(instance.retired.encode()),
        ours[0].upper(),
    ]
    kids = anything | st.sampled_from([*paths, *known, f"{ours[0]}\0", f" {ours[0]}", [ours[0]], {ours[0]: 1}])
    keys = st.sampled_from([b"", b"\0" * 32, *instance.trusted, instance.action_secret.encode(), instance.retired.encode()])
    return st.builds(
        lambda kid, key: compact({"alg": "HS256", "kid": kid}, instance.claims(now_s), key),
        kids.filter(lambda kid: kid not in ours),
        keys,
    )


@TOKENS.add
def another_key_than_named(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    secret, older = instance.trusted
    return st.sampled_from([(secret, older), (older, secret)]).map(
        lambda pair: compact({"alg": "HS256", "kid": key_id(pair[0])}, instance.claims(now_s), pair[1])
    )


@TOKENS.add
def algorithm(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Any other spelling of ``alg``; signed with that algorithm, with HS256, or not at all."""
    names = ["none", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "dir", "A128KW", "sha256", "HMAC"]
    algs = (
        other_spellings("HS256") | st.sampled_from(names) | other_spellings("none") | anything.filter(lambda alg: alg != "HS256")
    )
    hashes = st.sampled_from(["sha256", "sha384", "sha512", ""])
    keys = st.sampled_from([*instance.trusted, b"", PUBLIC_PEM])

    def sign(alg: Any, digest: str, key: bytes) -> str:
        token = compact({"alg": alg, "typ": "JWT"}, instance.claims(now_s), key, digest or "sha256")
        return token if digest else token.rpartition(".")[0] + "."

    return st.builds(sign, algs, hashes, keys) | st.builds(lambda key: compact({"typ": "JWT"}, instance.claims(now_s), key), keys)


def _header(instance: Instance) -> st.SearchStrategy[dict[str, Any]]:
    """A valid header."""
    kids = st.sampled_from([{}, {"kid": key_id(instance.secret.encode())}])
    return st.tuples(kids, st.sampled_from([{}, {"typ": "JWT"}, {"typ": "jwt"}])).map(
        lambda parts: {"alg": "HS256", **parts[0], **parts[1]}
    )


@TOKENS.add
def foreign_header_member(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A header with a key, the address of a key, or an extension that we lack; signed with our key or with the attacker's."""
    mine = b"a key of the attacker's own, of forty byte"
    jwk = {"kty": "oct", "k": b64(mine), "alg": "HS256"}
    values = st.sampled_from([jwk, "https://evil.example/keys", [b64(mine)], ["exp"], ["b64"], [], True, False, None, "", 1])
    members = st.dictionaries(st.sampled_from(FOREIGN_MEMBERS), values | anything, min_size=1, max_size=3)
    return st.builds(
        lambda header, members, key: compact({**header, **members}, instance.claims(now_s), key),
        _header(instance),
        members,
        st.sampled_from([*instance.trusted, mine]),
    )


@TOKENS.add
def another_type_of_token(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    types = (
        st.sampled_from(["JWE", "JWS", "at+jwt", "secevent+jwt", "dpop+jwt", "", None, 5, ["JWT"], {"JWT": 1}, "JWT "]) | anything
    )
    return types.filter(lambda typ: str(typ).upper() != "JWT").map(
        lambda typ: compact({"alg": "HS256", "typ": typ}, instance.claims(now_s), instance.secret.encode())
    )


@TOKENS.add
def header_member_twice(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    header = {"alg": "HS256", "typ": "JWT", "kid": key_id(instance.secret.encode())}
    names = st.sampled_from(list(header))
    values = st.sampled_from(["HS256", "none", "JWT", "JWE", header["kid"], "x"]) | anything
    return st.builds(
        lambda name, value, first: compact(
            with_name_twice(header, name, value, first), instance.claims(now_s), instance.secret.encode()
        ),
        names,
        values,
        st.booleans(),
    )
