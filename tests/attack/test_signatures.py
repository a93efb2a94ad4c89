"""Only a grant that our key signed for this player is awarded; each generator of other signatures finds its hole."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.errors import NoSuchExample

from scoreboard.domain.grants import Grant, keyring, sign, verify
from scoreboard.domain.refusals import INVALID_ACTION, Reason, Refusal
from tests.attack.holes import Hole, holed_module
from tests.attack.signatures import FORGERS, grant, submission
from tests.attack.test_tokens import INSTANCE, NOW_S, SLOW

NOW = NOW_S * 1000
RING = keyring(INSTANCE.action_secret.encode())
#: The one kind with valid signatures: they are refused, and the answer may be ACTION_TOO_EARLY.
SIGNED_BY_US = "issued later"
AHEAD_MS = 60_000


hole = partial(Hole, "scoreboard/domain/grants.py")


@pytest.mark.parametrize("kind", FORGERS)
def test_no_forged_signature_is_a_grant(kind: str) -> None:
    @settings(SLOW, max_examples=200)
    @given(FORGERS[kind](INSTANCE, NOW))
    def attack(forged: Any) -> None:
        user_id, handed_in = forged
        answer = verify(handed_in, user_id, RING, NOW)
        if kind == SIGNED_BY_US:
            assert isinstance(answer, Refusal)
            assert answer.reason is Reason.ACTION_TOO_EARLY
        else:
            assert answer is INVALID_ACTION

    attack()


@pytest.mark.parametrize("kind", [kind for kind in FORGERS if kind != SIGNED_BY_US])
def test_a_forged_signature_issued_ahead_of_the_clock_gets_the_one_answer(kind: str) -> None:
    """Only a valid signature may get ACTION_TOO_EARLY; every other signature from the future gets INVALID_ACTION."""

    @settings(SLOW, max_examples=200)
    @given(FORGERS[kind](INSTANCE, NOW))
    def attack(forged: Any) -> None:
        user_id, handed_in = forged
        assert verify(handed_in, user_id, RING, NOW - AHEAD_MS) is INVALID_ACTION

    attack()


def test_the_attack_finds_a_check_of_the_issue_time_before_the_signature() -> None:
    ahead = "    if grant.issued_at_ms > now_ms + SKEW_MS_MAX:\n        return too_early(1)\n"
    holed = holed_module(hole("    secret = ring.secrets.get(kid)\n", ahead + "    secret = ring.secrets.get(kid)\n"))
    ring = holed.keyring(INSTANCE.action_secret.encode())
    for kind in ("wrong key", "unknown kid", "something changed", "another spelling"):
        find(
            FORGERS[kind](INSTANCE, NOW),
            lambda forged: holed.verify(forged[1], forged[0], ring, NOW - AHEAD_MS).reason is Reason.ACTION_TOO_EARLY,
            settings=settings(SLOW, max_examples=3000, phases=[Phase.generate], database=None),
        )


def test_a_valid_signature_is_a_grant() -> None:
    of = grant(NOW)
    assert verify(submission(of, sign(of, RING)), "amy", RING, NOW) == of


HOLES: dict[str, tuple[str, Hole]] = {
    "an unknown kid is a key of zeros": (
        "wrong key",
        hole("    secret = ring.secrets.get(kid)\n", '    secret = ring.secrets.get(kid, b"\\0" * 32)\n'),
    ),
    "an unknown kid is our key": (
        "unknown kid",
        hole("    secret = ring.secrets.get(kid)\n", "    secret = ring.secrets.get(kid, ring.secrets[ring.current])\n"),
    ),
    "the signature is not compared": (
        "something changed",
        hole('not hmac.compare_digest(hmac.digest(secret, signed, "sha256"), mac)', "len(mac) != 32"),
    ),
    "the player is not signed": ("something changed", hole("        grant.user_id.encode(),\n", '        b"amy",\n')),
    "the points are not signed": (
        "something changed",
        hole('        grant.points.to_bytes(8, "big", signed=True),\n', "        (100).to_bytes(8, 'big'),\n"),
    ),
    "any issue time": ("issued later", hole("    if grant.issued_at_ms > now_ms + SKEW_MS_MAX:", "    if False:")),
    "claims may be spelt with spaces": (
        "another spelling",
        hole("    if _encode_claims(claims) != claims_json:", "    if False:"),
    ),
    "unused bits of base64": ("another spelling", hole("return raw if _b64(raw) == text else None", "return raw")),
}


@pytest.mark.parametrize("name", HOLES)
def test_each_generator_finds_the_hole_that_it_is_for(name: str) -> None:
    kind, cut = HOLES[name]
    holed = holed_module(cut)
    ring = holed.keyring(INSTANCE.action_secret.encode())

    def admitted(forged: Any) -> bool:
        user_id, handed_in = forged
        found: Grant | object = holed.verify(handed_in, user_id, ring, NOW)
        return hasattr(found, "points")

    fast = settings(SLOW, max_examples=3000, phases=[Phase.generate], database=None)
    try:
        user_id, handed_in = find(FORGERS[kind](INSTANCE, NOW), admitted, settings=fast)
    except NoSuchExample:
        pytest.fail(f"{kind!r} does not find that {name}")
    assert isinstance(verify(handed_in, user_id, RING, NOW), Refusal)


def test_every_generator_has_a_hole_that_only_it_must_find() -> None:
    assert set(FORGERS) == {kind for kind, _ in HOLES.values()}
