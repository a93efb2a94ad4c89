"""Forged tokens: an honest token of an instance, and generators of all that must not pass for one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from scoreboard.domain.grants import key_id

ROLES: Final = ("user", "admin", "service", "spectator")
#: Header members that say where to get a key from, or that something must be understood.
FOREIGN_MEMBERS: Final = ("jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64")
PUBLIC_PEM: Final = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"

Claims = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """What an instance trusts, and what it must not: the secrets of its tokens, of its actions, and one that it had once."""

    secret: str
    older: str
    retired: str
    action_secret: str
    issuer: str = "https://login.example"
    audience: str = "scoreboard"
    life_s_max: int = 86_400
    role: str = "user"
    #: By how much its clock may be ahead of the attacker's.
    slack_s: int = 0

    @property
    def trusted(self) -> tuple[bytes, bytes]:
        return self.secret.encode(), self.older.encode()

    def claims(self, now_s: int, user_id: str = "amy", **more: Any) -> Claims:
        """What an honest login service says of a player."""
        times = {"iat": now_s - 5, "exp": now_s + 600}
        return {
            "userId": user_id,
            "username": "Amy",
            "role": self.role,
            **times,
            "iss": self.issuer,
            "aud": self.audience,
            **more,
        }

    def honest(self, now_s: int, user_id: str = "amy", **more: Any) -> str:
        """A token that must be admitted."""
        return compact({"alg": "HS256", "typ": "JWT"}, self.claims(now_s, user_id, **more), self.secret.encode())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Any, claims: Any, key: bytes, algorithm: str = "sha256") -> str:
    """A token made by hand; header and claims may be JSON text that no encoder would write."""
    parts = [b64((one if isinstance(one, str) else json.dumps(one)).encode("utf-8", "surrogatepass")) for one in (header, claims)]
    signed = ".".join(parts)
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), algorithm))}"


def mistaken_keys(instance: Instance) -> list[bytes]:
    """Keys that a program could come to trust by mistake: empty, defaults, its own names, and secrets with another purpose."""
    names = [
        b"None",
        b"null",
        b"undefined",
        b"false",
        b"0",
        b"secret",
        b"changeme",
        b"your-secret-key-here",
        b"your-signature-secret",
    ]
    names += [b"scoreboard", b"scoreboard/kid\0", b"scoreboard/action/v1\0", b"JWT_SECRET", b"kid", b"HS256", b"jwt", b"x"]
    fills = [bytes([fill]) * size for fill in (0, 1, 0xFF, ord("0"), ord("1"), ord(" ")) for size in (1, 16, 32, 64, 65)]
    hashes = [make(b"").digest() for make in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)]
    hashes += [one.hex().encode() for one in hashes]
    others = [instance.action_secret.encode(), instance.retired.encode(), PUBLIC_PEM]
    others += [instance.issuer.encode(), instance.audience.encode(), *(key_id(key).encode() for key in instance.trusted)]
    near = [key[:-1] for key in instance.trusted] + [key + b"\n" for key in instance.trusted]
    near += [key.upper() for key in instance.trusted] + [key[::-1] for key in instance.trusted]
    near += [instance.secret.encode() + instance.older.encode(), hashlib.sha256(instance.secret.encode()).digest()]
    return [b"", *fills, *hashes, *names, *others, *near]


def same_key(one: bytes, other: bytes) -> bool:
    """Whether HMAC-SHA256 keys two secrets alike: it pads with zeros, and hashes what is longer than a block (RFC 2104)."""

    def keyed(key: bytes) -> bytes:
        return (hashlib.sha256(key).digest() if len(key) > 64 else key).rstrip(b"\0")

    return keyed(one) == keyed(other)


anything: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def _respelt(word: str) -> st.SearchStrategy[str]:
    """The word in other spellings, none of which is the word."""
    cases = st.tuples(*[st.booleans()] * len(word)).map(
        lambda flips: "".join(c.swapcase() if flip else c for c, flip in zip(word, flips, strict=True))
    )
    padded = st.sampled_from([f" {word}", f"{word} ", f"{word}\0", f"\ufeff{word}", f"{word}s", word[:-1], f"{word},{word}", ""])
    wide = st.just("".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isprintable() and c != " " else c for c in word))
    return (cases | padded | wide).filter(lambda text: text != word)


def _header(instance: Instance) -> st.SearchStrategy[dict[str, Any]]:
    """A header that is right."""
    kids = st.sampled_from([{}, {"kid": key_id(instance.secret.encode())}])
    return st.tuples(kids, st.sampled_from([{}, {"typ": "JWT"}, {"typ": "jwt"}])).map(
        lambda parts: {"alg": "HS256", **parts[0], **parts[1]}
    )


Forger = Callable[[Instance, int], st.SearchStrategy[str]]
FORGERS: dict[str, Forger] = {}


def forger(make: Forger) -> Forger:
    """Name a generator by its function."""
    FORGERS[make.__name__.replace("_", " ")] = make
    return make


def forged(instance: Instance, now_s: int) -> st.SearchStrategy[tuple[str, str]]:
    """(which generator, a token that must be refused), of any kind."""
    return st.one_of([st.tuples(st.just(name), make(instance, now_s)) for name, make in FORGERS.items()])


@forger
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


@forger
def unknown_kid(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Whatever names a key that is not ours, signed by ours, by nothing, or by the name itself."""
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


@forger
def another_key_than_named(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    secret, older = instance.trusted
    return st.sampled_from([(secret, older), (older, secret)]).map(
        lambda pair: compact({"alg": "HS256", "kid": key_id(pair[0])}, instance.claims(now_s), pair[1])
    )


@forger
def algorithm(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """``alg`` spelt any other way; signed as it says, as HS256 would, or not at all."""
    names = ["none", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "dir", "A128KW", "sha256", "HMAC"]
    algs = _respelt("HS256") | st.sampled_from(names) | _respelt("none") | anything.filter(lambda alg: alg != "HS256")
    hashes = st.sampled_from(["sha256", "sha384", "sha512", ""])
    keys = st.sampled_from([*instance.trusted, b"", PUBLIC_PEM])

    def sign(alg: Any, digest: str, key: bytes) -> str:
        token = compact({"alg": alg, "typ": "JWT"}, instance.claims(now_s), key, digest or "sha256")
        return token if digest else token.rpartition(".")[0] + "."

    return st.builds(sign, algs, hashes, keys) | st.builds(lambda key: compact({"typ": "JWT"}, instance.claims(now_s), key), keys)


@forger
def foreign_header_member(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """A header that brings a key, says where one is, or asks for what we do not do; signed by our key or by the one it brings."""
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


@forger
def another_type_of_token(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    types = (
        st.sampled_from(["JWE", "JWS", "at+jwt", "secevent+jwt", "dpop+jwt", "", None, 5, ["JWT"], {"JWT": 1}, "JWT "]) | anything
    )
    return types.filter(lambda typ: str(typ).upper() != "JWT").map(
        lambda typ: compact({"alg": "HS256", "typ": typ}, instance.claims(now_s), instance.secret.encode())
    )


def _twice(members: Claims, name: str, value: Any, first: bool) -> str:
    """The members as JSON in which one stands twice, the new one before or behind."""
    once, more = json.dumps(members)[1:-1], f"{json.dumps(name)}: {json.dumps(value)}"
    return "{" + (f"{more}, {once}" if first else f"{once}, {more}") + "}"


@forger
def header_member_twice(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    header = {"alg": "HS256", "typ": "JWT", "kid": key_id(instance.secret.encode())}
    names = st.sampled_from(list(header))
    values = st.sampled_from(["HS256", "none", "JWT", "JWE", header["kid"], "x"]) | anything
    return st.builds(
        lambda name, value, first: compact(_twice(header, name, value, first), instance.claims(now_s), instance.secret.encode()),
        names,
        values,
        st.booleans(),
    )


@forger
def claim_twice(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Any claim, known or not, also inside of another; with the same value again or a better one."""
    claims = instance.claims(now_s, avatar="https://cdn.example/a.png", team={"name": "red"})
    better = {"role": "admin", "userId": "bob", "exp": now_s + 6000, "iss": instance.issuer}
    header = {"alg": "HS256"}

    def sign(name: str, same: bool, first: bool) -> str:
        value = claims[name] if same else better.get(name, claims[name])
        return compact(header, _twice(claims, name, value, first), instance.secret.encode())

    inside = '{"name": "red", "name": "blue"}'
    nested = compact(header, json.dumps(claims).replace(json.dumps(claims["team"]), inside), instance.secret.encode())
    escaped = compact(header, json.dumps(claims)[:-1] + ', "\\u0072ole": "admin"}', instance.secret.encode())
    return st.builds(sign, st.sampled_from(list(claims)), st.booleans(), st.booleans()) | st.sampled_from([nested, escaped])


@forger
def claim_of_a_wrong_type(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Numbers as text, text as numbers, null, lists; and what is no number of seconds."""
    later = now_s + 600
    no_text: st.SearchStrategy[Any] = st.sampled_from([None, 1, True, [], {}, ["amy"], 1.5])
    no_time: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, False, str(later), "", [later], {}, -1, 2**64, 1e300, f"{later}.0", "1e400"]
    )
    wrong: list[st.SearchStrategy[Claims]] = [
        st.tuples(st.sampled_from(["userId", "username", "role"]), no_text).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(st.sampled_from(["iat", "exp", "nbf"]), no_time).map(lambda pair: {pair[0]: pair[1]}),
        st.sampled_from(["", "\0", "a\nb", "a b", "\x1b[31m", "a" * 300, "\u202e"]).map(lambda text: {"userId": text}),
        st.sampled_from(["", "a" * 65]).map(lambda text: {"username": text}),
        st.sampled_from([1, True, [], {}, ["x"]]).map(lambda value: {"iss": value}),
        st.sampled_from([1, True, [1], {}, {"scoreboard": 1}]).map(lambda value: {"aud": value}),
    ]
    none = anything.filter(lambda claims: not isinstance(claims, dict))
    return st.one_of(wrong).map(
        lambda claims: compact({"alg": "HS256"}, instance.claims(now_s, **claims), instance.secret.encode())
    ) | none.map(lambda claims: compact({"alg": "HS256"}, claims, instance.secret.encode()))


@forger
def claim_missing(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    claims = instance.claims(now_s)
    gone = st.sets(st.sampled_from(list(claims)), min_size=1)
    return gone.map(
        lambda names: compact(
            {"alg": "HS256"}, {name: claims[name] for name in claims if name not in names}, instance.secret.encode()
        )
    )


@forger
def role_spelt_otherwise(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    others = st.sampled_from(["root", "superuser", "Administrator", "*", "user admin", "user,admin", "moderator", "0"])
    roles = (others | st.one_of([_respelt(role) for role in ROLES]) | st.text(max_size=10)).filter(lambda role: role not in ROLES)
    lists: st.SearchStrategy[Any] = st.sampled_from([["admin"], ["user", "admin"], {"admin": True}])
    return (roles | lists).map(
        lambda role: compact({"alg": "HS256"}, instance.claims(now_s, role=role), instance.secret.encode())
    )


@forger
def time_beyond_a_border(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Ended to the second, not begun yet, ended before it began, or of a longer life than the operator allows."""
    longer, ahead_s = st.integers(1, 10**6), 61 + instance.slack_s
    wrong: st.SearchStrategy[Claims] = st.one_of(
        longer.map(lambda s: {"exp": now_s - s + 1, "iat": now_s - s - 60}),
        st.sampled_from([0, 1, 29, 30, 59, 60]).map(lambda s: {"exp": now_s - s, "iat": now_s - 90}),
        st.sampled_from([0, 1, 60, 3600]).map(lambda s: {"iat": now_s + ahead_s + s, "exp": now_s + ahead_s + s + 600}),
        st.sampled_from([0, 1, 60, 500]).map(lambda s: {"nbf": now_s + ahead_s + s}),
        longer.map(lambda s: {"iat": now_s - 5, "exp": now_s - 5 + instance.life_s_max + s}),
        longer.map(lambda s: {"iat": now_s + 50, "exp": now_s + 50 - s}),
        st.just({"iat": now_s + 50, "exp": now_s + 50}),
    )
    return wrong.map(lambda times: compact({"alg": "HS256"}, instance.claims(now_s, **times), instance.secret.encode()))


@forger
def token_of_another_instance(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Another game's, with the right secret: another issuer, another audience, or neither."""
    near = [
        "",
        "https://login.example/",
        "https://LOGIN.example",
        "http://login.example",
        "https://login.example.evil",
        None,
        "*",
    ]
    issuers = st.sampled_from(near) | st.text(max_size=30)
    audiences = st.sampled_from(["", "Scoreboard", "scoreboar", "scoreboards", "*", None, [], ["other"], ["scoreboard "], [""]])
    wrong: st.SearchStrategy[Claims] = issuers.filter(lambda one: one != instance.issuer).map(
        lambda one: {"iss": one}
    ) | audiences.map(lambda one: {"aud": one})
    return wrong.map(lambda claims: compact({"alg": "HS256"}, instance.claims(now_s, **claims), instance.secret.encode()))


@forger
def another_spelling(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """An honest token that was bent: padding, white space, parts more or fewer, a bit of the signature, free bits of base64."""
    honest = instance.honest(now_s)
    head, claims, mac = honest.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(mac[-1]) ^ 1]
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
    changed = st.builds(lambda at, c: honest[:at] + c + honest[at + 1 :], at, st.sampled_from(alphabet + "+/=!~"))
    added = st.builds(lambda at, c: honest[:at] + c + honest[at:], at, st.sampled_from("A.=!~*"))
    return (st.sampled_from(bent) | changed | added).filter(lambda token: token != honest)


@forger
def not_json(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Signed by our key, and no token all the same: what a lenient parser would make one of."""
    claims, header, key = json.dumps(instance.claims(now_s)), '{"alg": "HS256"}', instance.secret.encode()

    def bent(text: str) -> list[str]:
        more = [
            text[:-1] + end for end in ("", ",}", ', "x": NaN}', ', "x": Infinity}', ', "x": \ud800}', ', "x": 01}', ", x: 1}")
        ]
        return [text + "x", text + text, "\ufeff" + text, text.replace('"', "'"), f"[{text}]", "[" * 2000, *more]

    tokens = [compact(header, one, key) for one in bent(claims)] + [compact(one, claims, key) for one in bent(header)]
    return st.sampled_from(tokens)


@forger
def too_long(instance: Instance, now_s: int) -> st.SearchStrategy[str]:
    """Beyond 4 KiB, however right it is."""
    return st.integers(3100, 4000).map(
        lambda size: compact({"alg": "HS256"}, instance.claims(now_s, pad="x" * size), instance.secret.encode())
    )
