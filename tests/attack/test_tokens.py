"""Only a token that our key signed, in the accepted form, is admitted; each generator of other tokens finds its hole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from scoreboard.domain.grants import key_id, keyring
from scoreboard.domain.players import Player
from scoreboard.net.http.bearer import INVALID_TOKEN
from scoreboard.web.authenticator import JwtAuthenticator
from tests.attack.forged_tokens import FORGERS
from tests.attack.holes import Hole, holed_module
from tests.attack.instance import ROLES, Instance, compact, mistaken_keys
from tests.web.harness import RecordingMeter

NOW_S = 1_761_129_000
INSTANCE = Instance(
    secret="7f2e9b60d4a8135ce8907b1f4d6a3c25",
    older="c1d5a0f38e5b4f0c9a7e2d61b8f43c90",
    retired="5be81f07c93d4a6290ef7d1b38c46a0e",
    action_secret="e40c9d1b72a84f5fb36d08a1c97e52f6",
)
AUTH = "scoreboard/web/authenticator.py"
pytestmark = pytest.mark.filterwarnings("ignore:The HMAC key is")  # some holes accept such keys
SLOW = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)


def authenticator(kind: Callable[..., Any] = JwtAuthenticator, **more: Any) -> Any:
    """A JwtAuthenticator with the secrets of INSTANCE; ``kind`` may come from a module with a hole."""
    ring = keyring(INSTANCE.secret.encode(), (INSTANCE.older.encode(),))
    given = {"now_ms": lambda: NOW_S * 1000, "is_suspended": lambda _user_id: False, "meter": RecordingMeter(), **more}
    return kind(ring=ring, life_s_max=INSTANCE.life_s_max, issuer=INSTANCE.issuer, audience=INSTANCE.audience, **given)


WHOLE: JwtAuthenticator = authenticator()


@pytest.mark.parametrize("kind", FORGERS)
def test_no_forged_token_is_admitted(kind: str) -> None:
    @settings(SLOW, max_examples=200)
    @given(FORGERS[kind](INSTANCE, NOW_S))
    def attack(token: str) -> None:
        assert WHOLE.authenticate(token) is INVALID_TOKEN

    attack()


@given(
    st.sampled_from([INSTANCE.secret, INSTANCE.older]),
    st.booleans(),
    st.sampled_from(ROLES),
    st.sampled_from(["scoreboard", ["scoreboard"], ["other", "scoreboard"]]),
    st.sampled_from(
        [{}, {"nbf": NOW_S + 60}, {"iat": NOW_S + 60}, {"exp": NOW_S + 1}, {"unknown": {"a": [1, None]}}, {"avatar": 5}]
    ),
)
def test_a_valid_token_is_admitted(secret: str, named: bool, role: str, audience: object, more: dict[str, Any]) -> None:
    header = {"alg": "HS256", **({"kid": key_id(secret.encode())} if named else {})}
    player = WHOLE.authenticate(compact(header, INSTANCE.claims(NOW_S, role=role, aud=audience, **more), secret.encode()))
    assert isinstance(player, Player)
    assert (player.user_id, player.role) == ("amy", role)


def test_no_token_signed_with_a_mistaken_key_is_admitted() -> None:
    for key in mistaken_keys(INSTANCE):
        for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "x"}, {"alg": "HS256", "kid": key_id(key)}):
            assert WHOLE.authenticate(compact(header, INSTANCE.claims(NOW_S), key)) is INVALID_TOKEN


auth = partial(Hole, AUTH)
KEY_IF_KNOWN = 'return () if secret is None else ((header["kid"], secret),)'
#: For each hole: what is missing, the generator that must find it, the changes.
HOLES: dict[str, tuple[str, list[Hole]]] = {
    "an unknown kid is a key of zeros (the hole of the first release)": (
        "unknown kid",
        [auth(KEY_IF_KNOWN, 'return (("x", secret or b"\\0" * 32),)')],
    ),
    "an unknown kid is the empty key": ("wrong key", [auth(KEY_IF_KNOWN, 'return (("x", secret or b"\\0"),)')]),
    "an unknown kid is any of our keys": (
        "unknown kid",
        [auth(KEY_IF_KNOWN, "return self.ring.secrets.items() if secret is None else ((header['kid'], secret),)")],
    ),
    "any kid is any of our keys": ("another key than named", [auth('if "kid" not in header:', "if True:")]),
    "the signature is not verified": (
        "wrong key",
        [auth("secret, algorithms=_ALGORITHMS)", 'secret, algorithms=_ALGORITHMS, options={"verify_signature": False})')],
    ),
    "the token chooses the algorithm": (
        "algorithm",
        [
            auth('_ALGORITHMS: Final = ["HS256"]', '_ALGORITHMS: Final = ["HS256", "HS384", "HS512"]'),
            auth(r"[A-Za-z0-9_-]{43}", r"[A-Za-z0-9_-]+"),
        ],
    ),
    "the algorithm none is accepted": (
        "algorithm",
        [
            auth('_ALGORITHMS: Final = ["HS256"]', '_ALGORITHMS: Final = ["HS256", "none"]'),
            auth(r"[A-Za-z0-9_-]{43}", r"[A-Za-z0-9_-]*"),
            auth(
                "secret, algorithms=_ALGORITHMS)",
                'secret, algorithms=_ALGORITHMS, options={"verify_signature": header.get("alg") != "none"})',
            ),
        ],
    ),
    "a header may contain a key": ("foreign header member", [auth("not _REFUSED_MEMBERS.isdisjoint(header)", "False")]),
    "any type of token": ("another type of token", [auth('str(header.get("typ", "JWT")).upper() != "JWT"', "False")]),
    "the last of two equal header members counts": (
        "header member twice",
        [auth("read_json(base64url_decode(encoded))", "msgspec.json.decode(base64url_decode(encoded))")],
    ),
    "the last of two equal claims counts": (
        "claim twice",
        [auth("msgspec.convert(read_json(payload), _Claims)", "msgspec.json.decode(payload, type=_Claims)")],
    ),
    "claims are converted": (
        "claim of a wrong type",
        [auth("read_json(payload), _Claims)", "read_json(payload), _Claims, strict=False)")],
    ),
    "any user id": ("claim of a wrong type", [auth("USER_ID.fullmatch(claims.user_id) is not None", "True")]),
    "a claim has a default": (
        "claim missing",
        [
            auth("frozen=True, rename=", "frozen=True, kw_only=True, rename="),
            auth("    role: Role\n", '    role: Role = "user"\n'),
        ],
    ),
    "any role": ("role in another spelling", [auth("    role: Role\n", "    role: str\n")]),
    "a leeway after the end (the hole of the first release)": (
        "time outside a limit",
        [auth("player.expires_at_s <= self.now_ms() // 1000", "player.expires_at_s + 30 <= self.now_ms() // 1000")],
    ),
    "one second after the end": (
        "time outside a limit",
        [auth("player.expires_at_s <= self.now_ms() // 1000", "player.expires_at_s < self.now_ms() // 1000")],
    ),
    "an end is rounded up to a second": (
        "time outside a limit",
        [auth("expires_at_s=int(claims.exp)", "expires_at_s=-int(-claims.exp // 1)")],
    ),
    "any issue time": ("time outside a limit", [auth("issued_s <= latest_s)", "True)")]),
    "issued one second too far ahead": ("time outside a limit", [auth("issued_s <= latest_s)", "issued_s <= latest_s + 1)")]),
    "valid before it begins": ("time outside a limit", [auth("begins_s <= latest_s", "True")]),
    "any lifetime": ("time outside a limit", [auth("ends_s - issued_s <= self.life_s_max", "True")]),
    "one second more than the longest lifetime": (
        "time outside a limit",
        [auth("ends_s - issued_s <= self.life_s_max", "ends_s - issued_s <= self.life_s_max + 1")],
    ),
    "an end before the beginning": ("time outside a limit", [auth("ends_s > issued_s", "True")]),
    "any issuer": ("token of another instance", [auth("self.issuer is None or ", "True or ")]),
    "any audience": ("token of another instance", [auth("self.audience is None or ", "True or ")]),
    "an audience that only begins with ours": (
        "token of another instance",
        [auth("self.audience in audiences)", "any(one.strip().startswith(self.audience) for one in audiences))")],
    ),
    "padding and other lenient base64": (
        "another spelling",
        [
            auth("_COMPACT.fullmatch(token)", '_COMPACT.match(token.replace("=", ""))'),
            auth("_jws.decode(token, ", '_jws.decode(token.replace("=", ""), '),
        ],
    ),
    "any length": ("too long", [auth("if len(token) > TOKEN_CHARS_MAX:", "if False:")]),
    "a byte order mark": (
        "not json",
        [auth("msgspec.convert(read_json(payload)", 'msgspec.convert(read_json(payload.removeprefix(b"\\xef\\xbb\\xbf"))')],
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_each_generator_finds_the_hole_that_it_is_for(hole: str) -> None:
    kind, holes = HOLES[hole]
    holed = authenticator(holed_module(*holes).JwtAuthenticator)
    assert holed.authenticate(INSTANCE.honest(NOW_S)).user_id == "amy", "with the hole it still admits a valid token"
    strategy = FORGERS[kind](INSTANCE, NOW_S)
    fast = settings(SLOW, max_examples=3000, phases=[Phase.generate], database=None)
    try:
        found = find(strategy, lambda token: not hasattr(holed.authenticate(token), "reason"), settings=fast)
    except NoSuchExample:
        pytest.fail(f"{kind!r} does not find that {hole}")
    assert WHOLE.authenticate(found) is INVALID_TOKEN


def test_every_generator_has_a_hole_that_only_it_must_find() -> None:
    assert set(FORGERS) == {kind for kind, _ in HOLES.values()}


# A cached token is authenticated again at each step.


@given(
    st.lists(
        st.tuples(st.sampled_from(["show", "wait", "suspend", "reinstate", "other token"]), st.integers(1, 1000)), max_size=12
    )
)
def test_a_cached_token_ends_at_its_time_and_is_refused_after_a_suspension(steps: list[tuple[str, int]]) -> None:
    assert _run_steps(JwtAuthenticator, steps) is None


def _run_steps(kind: Callable[..., Any], steps: list[tuple[str, int]]) -> str | None:
    """The first error while a player's tokens are used, cached, expired and suspended; None if there is none."""
    now_s, suspended = NOW_S, set[str]()
    subject = authenticator(kind, now_ms=lambda: now_s * 1000, is_suspended=suspended.__contains__)
    ends = NOW_S + 600
    token = INSTANCE.honest(NOW_S)
    for what, seconds in [*steps, ("show", 0)]:
        if what == "wait":
            now_s += seconds
        elif what in ("suspend", "reinstate"):
            (suspended.add if what == "suspend" else suspended.discard)("amy")
        elif what == "other token":
            subject.authenticate(INSTANCE.honest(now_s, exp=now_s + seconds))
        else:
            admitted = isinstance(subject.authenticate(token), Player)
            if admitted != (now_s < ends and "amy" not in suspended):
                return f"at {now_s - NOW_S} s, suspended {sorted(suspended)}: admitted is {admitted}"
    return None


@pytest.mark.parametrize(
    "hole",
    [
        auth("        refusal = self.recheck(known)\n", "        refusal = None\n"),
        auth("return SUSPENDED if self.is_suspended(player.user_id) else None", "return None"),
        auth("player.expires_at_s <= self.now_ms() // 1000", "False"),
    ],
    ids=["a cached token is not checked again", "suspended players are admitted", "no token ends"],
)
def test_the_schedule_finds_a_hole_in_the_cache_of_tokens(hole: Hole) -> None:
    kind = holed_module(hole).JwtAuthenticator
    steps = st.lists(st.tuples(st.sampled_from(["show", "wait", "suspend"]), st.integers(1, 1000)), max_size=8)
    assert find(steps, lambda steps: _run_steps(kind, steps) is not None, settings=settings(SLOW, database=None)) is not None
