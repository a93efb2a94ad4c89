"""Only what our key signed for this player is awarded: generators of every other signature, and what each of them finds."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.errors import NoSuchExample

from scoreboard.domain.grants import Grant, keyring, sign, verify
from scoreboard.domain.refusals import INVALID_ACTION
from tests.attack.holes import Hole, holed_module
from tests.attack.signatures import FORGERS, grant, submission
from tests.attack.test_tokens import INSTANCE, NOW_S, SLOW

NOW = NOW_S * 1000
RING = keyring(INSTANCE.action_secret.encode())


@pytest.mark.parametrize("kind", FORGERS)
def test_nothing_forged_is_a_grant(kind: str) -> None:
    @settings(SLOW, max_examples=200)
    @given(FORGERS[kind](INSTANCE, NOW))
    def attack(forged: Any) -> None:
        user_id, handed_in = forged
        assert verify(handed_in, user_id, RING, NOW) is INVALID_ACTION

    attack()


def test_what_is_honest_is_a_grant_or_the_generators_would_prove_nothing() -> None:
    of = grant(NOW)
    assert verify(submission(of, sign(of, RING)), "amy", RING, NOW) == of


hole = partial(Hole, "scoreboard/domain/grants.py")
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
    "the time of issue may be any": ("issued later", hole(" or grant.issued_at_ms > now_ms + SKEW_MS_MAX", "")),
    "claims may be spelt with spaces": ("another spelling", hole("_encode_claims(claims) != claims_json or ", "")),
    "free bits of base64": ("another spelling", hole("return raw if _b64(raw) == text else None", "return raw")),
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
    assert verify(handed_in, user_id, RING, NOW) is INVALID_ACTION


def test_every_generator_has_a_hole_to_prove_itself_on() -> None:
    assert set(FORGERS) == {kind for kind, _ in HOLES.values()}
