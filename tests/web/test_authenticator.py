"""JwtAuthenticator: the tokens that it accepts, and that it accepts no others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.grants import Keyring, key_id, keyring
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import SUSPENDED, Refusal
from scoreboard.net.http.bearer import INVALID_TOKEN, UNAUTHORIZED, bearer
from scoreboard.web import authenticator as auth
from scoreboard.web.authenticator import JwtAuthenticator

NOW_S = 1_761_129_000
SECRET, OLDER = b"k" * 32, b"o" * 40
PUBLIC_PEM = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
CLAIMS: dict[str, Any] = {"userId": "user-123", "username": "player_one", "role": "user", "iat": NOW_S - 60, "exp": NOW_S + 3600}


class Clock:
    now_s = NOW_S

    def now_ms(self) -> int:
        return self.now_s * 1000


def authenticator(clock: Clock | None = None, ring: Keyring | None = None, **more: Any) -> JwtAuthenticator:
    return JwtAuthenticator(
        ring=ring or keyring(SECRET),
        now_ms=(clock or Clock()).now_ms,
        **{"life_s_max": 86_400, "is_suspended": set[str]().__contains__, **more},
    )


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(claims: object = None, header: object = None, secret: bytes = SECRET, payload: bytes | None = None) -> str:
    """A token made by hand, so that a test can make it wrong."""
    head = json.dumps(header if header is not None else {"alg": "HS256", "typ": "JWT"}).encode()
    body = payload if payload is not None else json.dumps(CLAIMS if claims is None else claims).encode()
    signed = f"{b64(head)}.{b64(body)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def test_issued_tokens_are_signed_with_the_key_that_the_other_servers_know() -> None:
    old, ring = b"o" * 40, keyring(b"n" * 40, (b"o" * 40,))
    jwt_auth = authenticator(ring=ring, signing_ring=lambda: msgspec.structs.replace(ring, current=key_id(old)))
    issued_token = jwt_auth.issue_token("amy", "Amy", "user", 60)
    assert isinstance(authenticator(ring=keyring(old)).authenticate(issued_token), Player), (
        "a server that knows the former secret alone"
    )
    assert isinstance(jwt_auth.authenticate(issued_token), Player)


def test_a_valid_token_proves_a_player() -> None:
    player = authenticator().authenticate(token({**CLAIMS, "avatar": "https://cdn.example.com/a.jpg", "unknown": 1}))
    assert player == Player(
        user_id="user-123", username="player_one", role="user", expires_at_s=NOW_S + 3600, avatar="https://cdn.example.com/a.jpg"
    )


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "HS256", "typ": "jwt"}, {"alg": "HS256", "kid": key_id(SECRET)}])
def test_a_header_without_optional_members_is_accepted(header: dict[str, str]) -> None:
    assert isinstance(authenticator().authenticate(token(header=header)), Player)


def test_a_suspended_player_is_refused_cached_or_not_until_the_suspension_is_lifted() -> None:
    suspended = {"user-123"}
    jwt_auth, shown = authenticator(is_suspended=suspended.__contains__), token()
    assert [jwt_auth.authenticate(shown) for _ in range(2)] == [SUSPENDED, SUSPENDED]
    suspended.clear()
    assert isinstance(jwt_auth.authenticate(shown), Player)
    suspended.add("user-123")
    assert jwt_auth.authenticate(shown) is SUSPENDED


def test_only_a_valid_token_shows_that_its_player_is_suspended() -> None:
    clock, asked = Clock(), list[str]()

    def is_suspended(user_id: str) -> bool:
        asked.append(user_id)
        return True

    jwt_auth = authenticator(clock, is_suspended=is_suspended)
    assert jwt_auth.authenticate(token(secret=b"x" * 32)) is INVALID_TOKEN
    assert jwt_auth.authenticate(token({**CLAIMS, "exp": NOW_S - 31})) is INVALID_TOKEN
    assert asked == []
    shown = token()
    assert jwt_auth.authenticate(shown) is SUSPENDED
    clock.now_s += 3_631
    assert jwt_auth.authenticate(shown) is INVALID_TOKEN
    assert asked == ["user-123"]


#: Key ids that are not in the ring.
KIDS: list[Any] = [
    "",
    "../../dev/null",
    "' OR 1=1 --",
    "\0",
    "x" * 3000,
    key_id(OLDER),
    key_id(SECRET) + "\0",
    1,
    True,
    [],
    {},
    None,
]

HOSTILE_HEADERS: list[Any] = [
    {},
    [],
    "HS256",
    None,
    *(
        {"alg": name}
        for name in ("none", "None", "nOnE", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", None, 1, ["HS256"])
    ),
    {"alg": "HS256", "typ": "JWE"},
    {"alg": "HS256", "typ": 5},
    *({"alg": "HS256", name: "https://evil.example"} for name in ("jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256")),
    {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(SECRET)}},
    {"alg": "HS256", "crit": ["exp"]},
    {"alg": "HS256", "crit": []},
    {"alg": "HS256", "crit": ["b64"], "b64": False},
    {"alg": "HS256", "b64": False},
    {"alg": "HS256", "b64": True},
    *({"alg": "HS256", "kid": kid} for kid in KIDS),
]


@pytest.mark.parametrize("header", HOSTILE_HEADERS, ids=lambda header: repr(header)[:40])
def test_a_header_with_an_unsupported_member_is_refused(header: object) -> None:
    assert authenticator().authenticate(token(header=header if header is not None else [None])) is INVALID_TOKEN


HOSTILE_CLAIMS: list[Any] = [
    [],
    None,
    "claims",
    *({name: value for name, value in CLAIMS.items() if name != missing} for missing in CLAIMS),
    *(
        {**CLAIMS, "exp": value}
        for value in (str(NOW_S + 60), True, None, NOW_S + 60.5, -1, 2**64, [NOW_S + 60], NOW_S, NOW_S - 1)
    ),
    *({**CLAIMS, "iat": value} for value in (str(NOW_S), True, None, NOW_S + 61, NOW_S + 3600, NOW_S - 90_000, -1)),
    {**CLAIMS, "nbf": NOW_S + 61},
    {**CLAIMS, "nbf": "soon"},
    *({**CLAIMS, "userId": value} for value in ("", "a b", "ü", "a" * 65, "a\n", "../x", 1, None, ["a"], "user/1", "a\0")),
    *({**CLAIMS, "username": value} for value in ("", "a" * 65, "line\nfeed", "\u202egnp", "\0", "\x1b[31m", 1, None)),
    *({**CLAIMS, "role": value} for value in ("root", "", "User", 1, None)),
    {**CLAIMS, "iss": 5},
    {**CLAIMS, "aud": {"a": 1}},
]


@pytest.mark.parametrize("claims", HOSTILE_CLAIMS, ids=lambda claims: repr(claims)[:60])
def test_invalid_claims_are_refused(claims: object) -> None:
    assert authenticator().authenticate(token(payload=json.dumps(claims).encode())) is INVALID_TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.",
        token()[:-1],
        token() + "A",
        token() + "=",
        token() + ".",
        "." + token(),
        token().replace(".", ".."),
        token(secret=b"x" * 32),
        token(secret=b""),
        token(secret=PUBLIC_PEM),
        token().rsplit(".", 1)[0] + ".",
        token().rsplit(".", 1)[0] + "." + b64(b"\0" * 32),
        token().rsplit(".", 1)[0] + "." + b64(b"\0" * 64),
        token(payload=b""),
        token(payload=b"\xff"),
        token(payload=b"[" * 2000),
        token(payload=json.dumps(CLAIMS).replace(str(NOW_S + 3600), "1e400").encode()),
        token(payload=json.dumps(CLAIMS).replace(str(NOW_S + 3600), "NaN").encode()),
        token(payload=json.dumps(CLAIMS).replace("player_one", "\\ud800").encode()),
        b64(b"[" * 2000) + ".e30.e30",
        b64(b"\xff") + ".e30.e30",
        b64(json.dumps({"alg": "none"}).encode()) + "." + b64(json.dumps(CLAIMS).encode()) + ".",
        token({**CLAIMS, "pad": "x" * 4096}),
        "a" * 1_000_000,
        "." * 1_000_000,
        "é",
        "\0",
        token() + "\n",
        " " + token(),
    ],
    ids=range(34),
)
def test_a_text_that_is_no_token_is_refused_quickly(text: str) -> None:
    began = time.perf_counter()
    assert authenticator().authenticate(text) is INVALID_TOKEN
    assert time.perf_counter() - began < 0.5, "5 ms is the aim, a busy machine the reason"


@given(st.text(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_any_text_is_at_worst_an_invalid_token(text: str, header: bytes, payload: bytes) -> None:
    for one in (text, f"{b64(header)}.{b64(payload)}.{text}", token(payload=payload)):
        assert isinstance(authenticator().authenticate(one), Refusal)


def test_a_token_ends_to_the_second_and_may_begin_a_minute_from_now() -> None:
    assert isinstance(authenticator().authenticate(token({**CLAIMS, "exp": NOW_S + 1})), Player)
    assert authenticator().authenticate(token({**CLAIMS, "exp": NOW_S})) is INVALID_TOKEN
    for claim in ("iat", "nbf"):
        assert isinstance(authenticator().authenticate(token({**CLAIMS, claim: NOW_S + 60})), Player)
        assert authenticator().authenticate(token({**CLAIMS, claim: NOW_S + 61})) is INVALID_TOKEN


@pytest.mark.parametrize("secret", [b"", b"\0", b"\0" * 32, b"\0" * 64], ids=["empty", "one zero", "32 zeros", "64 zeros"])
@pytest.mark.parametrize("kid", ["x", "", "0" * 8, key_id(b""), key_id(b"\0" * 32)])
def test_an_unknown_key_id_is_refused_whatever_signed_the_token(kid: str, secret: bytes) -> None:
    assert authenticator().authenticate(token(header={"alg": "HS256", "kid": kid}, secret=secret)) is INVALID_TOKEN


@pytest.mark.parametrize("secret", [b"", b"\0", b"\0" * 64])
def test_no_ring_holds_an_empty_key(secret: bytes) -> None:
    for current, older in ((secret, ()), (SECRET, (secret,))):
        with pytest.raises(ValueError, match="must not be empty"):
            keyring(current, older)


@pytest.mark.parametrize("name", [*CLAIMS, "unknown", "avatar"])
def test_a_repeated_claim_is_refused(name: str) -> None:
    once = json.dumps({**CLAIMS, "avatar": None, "unknown": 1})
    twice = f"{once[:-1]}, {json.dumps({name: CLAIMS.get(name)})[1:]}"
    assert isinstance(authenticator().authenticate(token(payload=once.encode())), Player)
    assert authenticator().authenticate(token(payload=twice.encode())) is INVALID_TOKEN
    assert (
        authenticator().authenticate(token(payload=f'{once[:-1]}, "unknown2": [{{"a": 1, "a": 1}}]}}'.encode())) is INVALID_TOKEN
    )


@pytest.mark.parametrize(
    "header", ['{"alg": "none", "alg": "HS256"}', '{"alg": "HS256", "x": {"a": 1, "a": 1}}', '{"alg": "HS256", "x": NaN}']
)
def test_a_repeated_header_member_is_refused(header: str) -> None:
    signed = f"{b64(header.encode())}.{b64(json.dumps(CLAIMS).encode())}"
    assert authenticator().authenticate(f"{signed}.{b64(hmac.digest(SECRET, signed.encode(), 'sha256'))}") is INVALID_TOKEN


def test_recheck_compares_the_suspension_and_the_end_of_the_token() -> None:
    clock, suspended = Clock(), set[str]()
    jwt_auth = authenticator(clock, is_suspended=suspended.__contains__)
    player = jwt_auth.authenticate(token())
    assert isinstance(player, Player)
    assert jwt_auth.recheck(player) is None
    suspended.add(player.user_id)
    assert jwt_auth.recheck(player) is SUSPENDED
    clock.now_s = player.expires_at_s
    assert jwt_auth.recheck(player) is INVALID_TOKEN


def test_a_token_with_too_long_a_lifetime_is_refused() -> None:
    claims = {**CLAIMS, "iat": NOW_S, "exp": NOW_S + 601}
    assert authenticator(life_s_max=600).authenticate(token(claims)) is INVALID_TOKEN
    assert isinstance(authenticator(life_s_max=601).authenticate(token(claims)), Player)


def test_a_token_of_any_key_of_the_ring_is_accepted_unless_its_kid_names_another() -> None:
    ring = keyring(SECRET, (OLDER,))
    for secret in (SECRET, OLDER):
        assert isinstance(authenticator(ring=ring).authenticate(token(secret=secret)), Player)
        assert isinstance(
            authenticator(ring=ring).authenticate(token(secret=secret, header={"alg": "HS256", "kid": key_id(secret)})), Player
        )
    assert (
        authenticator(ring=ring).authenticate(token(secret=OLDER, header={"alg": "HS256", "kid": key_id(SECRET)}))
        is INVALID_TOKEN
    )


def test_issuer_and_audience_are_compared_when_they_are_set() -> None:
    strict = authenticator(issuer="https://id.example", audience="board")
    good = {**CLAIMS, "iss": "https://id.example", "aud": "board"}
    assert isinstance(strict.authenticate(token(good)), Player)
    assert isinstance(strict.authenticate(token({**good, "aud": ["other", "board"]})), Player)
    wrongs: list[dict[str, Any]] = [{"iss": "x"}, {"iss": None}, {"aud": "boar"}, {"aud": []}, {"aud": None}]
    for wrong in wrongs:
        assert strict.authenticate(token({**good, **wrong})) is INVALID_TOKEN
    assert strict.authenticate(token()) is INVALID_TOKEN


@pytest.mark.parametrize(
    "avatar",
    [
        "http://cdn.example.com/a",
        "javascript:alert(1)",
        "data:x",
        "https://a b",
        "https://a\n",
        "https://" + "a" * 512,
        "",
        5,
        None,
        ["x"],
    ],
)
def test_an_avatar_that_the_page_may_not_show_is_none(avatar: object) -> None:
    player = authenticator().authenticate(token({**CLAIMS, "avatar": avatar}))
    assert isinstance(player, Player)
    assert player.avatar is None


def test_an_issued_token_is_accepted_until_it_ends() -> None:
    clock = Clock()
    jwt_auth = authenticator(clock, issuer="us", audience="them")
    issued_token = jwt_auth.issue_token("user-1", "Ada", "spectator", 600)
    assert jwt_auth.authenticate(issued_token) == Player(
        user_id="user-1", username="Ada", role="spectator", expires_at_s=NOW_S + 600
    )
    clock.now_s += 599
    assert isinstance(jwt_auth.authenticate(issued_token), Player)
    clock.now_s += 1
    assert jwt_auth.authenticate(issued_token) is INVALID_TOKEN, "remembered or not"


def test_a_valid_token_is_verified_once() -> None:
    jwt_auth, good = authenticator(), token()
    first = jwt_auth.authenticate(good)
    assert jwt_auth.authenticate(good) is first


def test_the_cache_of_tokens_is_bounded() -> None:
    jwt_auth = authenticator()
    remembered = jwt_auth._known
    for n in range(auth.TOKENS_CACHED_MAX + 10):
        remembered.put(str(n), Player(user_id="u", username="u", role="user", expires_at_s=0))
    assert len(remembered) == auth.TOKENS_CACHED_MAX
    assert remembered.get("0") is None
    assert remembered.get(str(auth.TOKENS_CACHED_MAX)) is not None


def test_the_repr_of_an_authenticator_has_no_secret() -> None:
    assert "kkkk" not in repr(authenticator())


@pytest.mark.parametrize(
    ("values", "token_or_refusal"),
    [
        ([], UNAUTHORIZED),
        ([b""], UNAUTHORIZED),
        ([b"Basic dXNlcg=="], UNAUTHORIZED),
        ([b"token"], UNAUTHORIZED),
        ([b"Bearertoken"], UNAUTHORIZED),
        ([b"Bearer"], INVALID_TOKEN),
        ([b"Bearer "], INVALID_TOKEN),
        ([b"Bearer a b"], INVALID_TOKEN),
        ([b"Bearer a, Bearer b"], INVALID_TOKEN),
        ([b"Bearer a", b"Bearer a"], INVALID_TOKEN),
        ([b"Bearer \xff"], INVALID_TOKEN),
        ([b"Bearer a"], "a"),
        ([b"bEARER  a "], "a"),
    ],
)
def test_authorization_is_one_bearer_token(values: list[bytes], token_or_refusal: object) -> None:
    assert bearer(values) == token_or_refusal
