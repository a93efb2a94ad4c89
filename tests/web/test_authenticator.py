"""JwtAuthenticator: the tokens that it accepts, and that it accepts no others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from scoreboard.domain.display_names import display_name
from scoreboard.domain.grants import Keyring, key_id, keyring
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import SUSPENDED, Refusal
from scoreboard.domain.token_faults import FORGERIES, TokenFault
from scoreboard.json_log import json_line
from scoreboard.net.http.bearer import INVALID_TOKEN, NOT_ONE_TOKEN, UNAUTHORIZED, bearer
from scoreboard.web import authenticator as auth
from scoreboard.web.authenticator import JwtAuthenticator
from tests.web.harness import RecordingMeter

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
        **{"life_s_max": 86_400, "is_suspended": set[str]().__contains__, "meter": RecordingMeter(), **more},
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
        user_id="user-123",
        username="player_one",
        role="user",
        expires_at_s=NOW_S + 3600,
        issued_at_s=NOW_S - 60,
        avatar="https://cdn.example.com/a.jpg",
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
        for value in (str(NOW_S + 60), True, None, NOW_S + 0.5, -1, -0.5, 2**64, [NOW_S + 60], NOW_S, NOW_S - 1)
    ),
    *({**CLAIMS, "iat": value} for value in (str(NOW_S), True, None, NOW_S + 61, NOW_S + 3600, NOW_S - 90_000, -1)),
    {**CLAIMS, "nbf": NOW_S + 61},
    {**CLAIMS, "nbf": "soon"},
    *({**CLAIMS, "userId": value} for value in ("", "a b", "ü", "a" * 65, "a\n", "../x", 1, None, ["a"], "user/1", "a\0")),
    *({**CLAIMS, "username": value} for value in ("", "a" * 65, 1, None, ["Ada"])),
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
        token(payload=json.dumps(CLAIMS).replace("user-123", "\\ud800").encode()),
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
    began_s = time.process_time()
    assert authenticator().authenticate(text) is INVALID_TOKEN
    assert time.process_time() - began_s < 0.5, "5 ms of the processor is the aim, a slow machine the reason"


@given(st.text(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_any_text_is_at_worst_an_invalid_token(text: str, header: bytes, payload: bytes) -> None:
    for one in (text, f"{b64(header)}.{b64(payload)}.{text}", token(payload=payload)):
        assert isinstance(authenticator().authenticate(one), Refusal)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"),
        (
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        ),
        ("می‌خواهم", "می‌خواهم"),
        ("ক্‌ষ", "ক্‌ষ"),
        ("山田\u3000太郎", "山田\u3000太郎"),
        ("Jean\u00a0Luc", "Jean\u00a0Luc"),
        ("so\u00adft", "so\u00adft"),
        ("\U0001fae9 \U0001fadf", "\U0001fae9 \U0001fadf"),
        ("\U0001faff\U0003fffd\ue000", "\U0001faff\U0003fffd\ue000"),
        ("\u200fעדה\u200e", "\u200fעדה\u200e"),
        ("\u2067עדה\u2069", "\u2067עדה\u2069"),
        ("line\nfeed", "linefeed"),
        ("Ada\r\n", "Ada"),
        ("\x1b[31mred", "[31mred"),
        ("\u202egnp.exe\u202d", "gnp.exe"),
        ("\0\x7f\x85\x9fAda", "Ada"),
        ("Ad\ud800a\udfff", "Ada"),
    ],
)
def test_a_name_loses_only_control_characters_surrogates_and_overrides(name: str, shown: str) -> None:
    player = authenticator().authenticate(token({**CLAIMS, "username": name}))
    assert isinstance(player, Player)
    assert player.username == shown


@pytest.mark.parametrize(
    "name",
    [
        " ",
        "   ",
        "\t",
        "\u3000",
        "\u00a0\u00ad",
        "\u200b\u200d",
        "\ufeff",
        "\u2800",
        "\u3164\uffa0",
        "\ufe0f",
        "\0",
        "\u202e",
        "\ud800",
    ],
)
def test_the_user_id_is_shown_for_a_name_of_which_nothing_can_be_seen(name: str) -> None:
    player = authenticator().authenticate(token({**CLAIMS, "username": name}))
    assert isinstance(player, Player)
    assert player.username == "user-123"


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=64))
def test_every_name_is_let_in_and_can_be_stored_and_seen(name: str) -> None:
    shown = display_name(name, "user-123")
    kept = re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202d\u202e]", "", name)
    assert shown in (kept, "user-123")
    assert shown.encode().decode() == shown
    if any(unicodedata.category(one)[0] in "LNPS" and one not in "\u2800\u3164\uffa0\u115f\u1160" for one in name):
        assert shown == kept


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("spelling", ["{}.0", "{}.5", "{}.999999", "{}e0", "{}.25E+0", "{}0e-1"])
def test_a_time_may_have_a_fraction_or_an_exponent_and_is_cut_to_the_second(claim: str, spelling: str) -> None:
    at_s = {**CLAIMS, "nbf": NOW_S}[claim]
    others = json.dumps({name: value for name, value in CLAIMS.items() if name != claim})
    payload = f'{others[:-1]}, "{claim}": {spelling.format(at_s)}}}'.encode()
    player = authenticator().authenticate(token(payload=payload))
    assert isinstance(player, Player)
    assert (player.issued_at_s, player.expires_at_s) == (CLAIMS["iat"], CLAIMS["exp"])


@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize(
    "value", ["1e400", "1e300", "1e16", "-0.5", "-1e9", "NaN", "Infinity", f'"{NOW_S}.5"', "true", "null", "1" + "0" * 400]
)
def test_a_time_that_is_no_number_of_seconds_is_refused(claim: str, value: str) -> None:
    others = json.dumps({name: value for name, value in CLAIMS.items() if name != claim})
    assert authenticator().authenticate(token(payload=f'{others[:-1]}, "{claim}": {value}}}'.encode())) is INVALID_TOKEN


#: A token for each fault that a check of the token finds, and what was found.
FAULTS: dict[TokenFault, tuple[str, str]] = {
    TokenFault.TOO_LONG: ("a" * 4097, "4097 characters"),
    TokenFault.FORM: ("not-a-token", ""),
    TokenFault.HEADER: (b64(b"[]") + ".e30." + "A" * 43, ""),
    TokenFault.ALGORITHM: (b64(b'{"alg":"RS256"}') + ".e30." + "A" * 342, "RS256"),
    TokenFault.HEADER_MEMBER: (token(header={"alg": "HS256", "jku": "https://evil.example"}), "jku"),
    TokenFault.TYPE: (token(header={"alg": "HS256", "typ": "JWE"}), "JWE"),
    TokenFault.KID: (token(header={"alg": "HS256", "kid": "0badf00d"}), "0badf00d"),
    TokenFault.SIGNATURE: (token(secret=b"x" * 32), ""),
    TokenFault.CLAIMS: (token(payload=b'{"a":1,"a":1}'), ""),
    TokenFault.CLAIM: (token({**CLAIMS, "exp": "tomorrow"}), "exp: must be of type number"),
    TokenFault.USER_ID: (token({**CLAIMS, "userId": "a b"}), "a b"),
    TokenFault.ENDS_BEFORE_ISSUED: (token({**CLAIMS, "exp": CLAIMS["iat"]}), "user-123"),
    TokenFault.LIFE_TOO_LONG: (token({**CLAIMS, "exp": NOW_S + 86_400}), "user-123"),
    TokenFault.ISSUED_AHEAD: (token({**CLAIMS, "iat": NOW_S + 61}), "user-123"),
    TokenFault.NOT_YET_VALID: (token({**CLAIMS, "nbf": NOW_S + 61}), "user-123"),
    TokenFault.ISSUER: (token({**CLAIMS, "iss": "https://other.example", "aud": "board"}), "user-123"),
    TokenFault.AUDIENCE: (token({**CLAIMS, "iss": "https://id.example", "aud": "other"}), "user-123"),
    TokenFault.EXPIRED: (token({**CLAIMS, "exp": NOW_S, "iss": "https://id.example", "aud": "board"}), "user-123"),
    TokenFault.SUSPENDED: (token({**CLAIMS, "userId": "eve", "iss": "https://id.example", "aud": "board"}), "eve"),
}


def test_each_fault_of_a_token_has_an_example() -> None:
    of_requests = {TokenFault.NO_TOKEN, TokenFault.NOT_ONE_TOKEN, TokenFault.TICKET}
    assert set(FAULTS) == set(TokenFault) - of_requests


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.value)
def test_a_refusal_is_counted_and_logged_by_its_fault_and_explained(fault: TokenFault) -> None:
    meter, (shown, found) = RecordingMeter(), FAULTS[fault]
    strict = authenticator(meter=meter, issuer="https://id.example", audience="board", is_suspended={"eve"}.__contains__)
    with capturedLogs() as events:
        answers = [strict.authenticate(shown) for _ in range(2)]
    assert answers == [SUSPENDED if fault is TokenFault.SUSPENDED else INVALID_TOKEN] * 2, "the answer does not name the fault"
    assert meter.counts == {("token_refusals_total", fault.value): 2}
    assert [(event["reason"], event["found"], event["log_level"].name) for event in events] == [
        (fault.value, found, "info" if fault in FORGERIES else "debug")
    ] * 2
    written = json_line(events[0])
    assert json.loads(written)["message"] == f"a token was refused: {fault.said} ({fault.value})", "nothing in it looks secret"
    assert shown.rpartition(".")[2] not in written or fault is TokenFault.FORM
    assert fault in strict.explain(shown).faults


def test_a_valid_token_is_explained_with_its_key_and_without_a_fault() -> None:
    explained = authenticator(ring=keyring(SECRET, (OLDER,))).explain(token(secret=OLDER))
    assert (explained.faults, explained.key_id, explained.claims) == ((), key_id(OLDER), CLAIMS)


def test_all_faults_of_the_claims_are_explained_at_once() -> None:
    strict = authenticator(issuer="https://id.example", audience="board")
    explained = strict.explain(token({**CLAIMS, "userId": "a b", "exp": NOW_S - 1}))
    assert explained.faults == (TokenFault.USER_ID, TokenFault.ISSUER, TokenFault.AUDIENCE, TokenFault.EXPIRED)
    assert explained.key_id == key_id(SECRET)


@given(st.text(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_a_token_is_explained_as_valid_only_if_it_is(text: str, header: bytes, payload: bytes) -> None:
    for one in (text, f"{b64(header)}.{b64(payload)}.{text}", token(payload=payload), token(header=header.decode("latin-1"))):
        assert authenticator().explain(one).faults != ()
        assert authenticator().explain(one).key_id in (None, key_id(SECRET))


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
        user_id="user-1", username="Ada", role="spectator", expires_at_s=NOW_S + 600, issued_at_s=NOW_S
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
        ([b"Bearer"], NOT_ONE_TOKEN),
        ([b"Bearer "], NOT_ONE_TOKEN),
        ([b"Bearer a b"], NOT_ONE_TOKEN),
        ([b"Bearer a, Bearer b"], NOT_ONE_TOKEN),
        ([b"Bearer a", b"Bearer a"], NOT_ONE_TOKEN),
        ([b"Bearer \xff"], NOT_ONE_TOKEN),
        ([b"Bearer a"], "a"),
        ([b"bEARER  a "], "a"),
    ],
)
def test_authorization_is_one_bearer_token(values: list[bytes], token_or_refusal: object) -> None:
    assert bearer(values) == token_or_refusal
