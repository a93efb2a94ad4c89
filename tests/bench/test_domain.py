"""Cost of the domain: `make bench`."""

from __future__ import annotations

from typing import Any

from scoreboard.domain.grants import keyring, sign, verify
from scoreboard.domain.judgement import BatchFacts, judge, judge_batch
from tests.domain.test_grants import NOW, PLAIN, RING, submission
from tests.domain.test_judgement import claim, nothing

BATCH = 32


def test_judging_one_claim(benchmark: Any) -> None:
    one, past = claim(), nothing()
    benchmark(judge, one, past)


def test_judging_a_batch(benchmark: Any) -> None:
    claims = [claim(f"user-{n}", n) for n in range(BATCH)]

    def fresh() -> tuple[tuple[Any, BatchFacts], dict[str, Any]]:
        return (claims, nothing()), {}

    assert len(benchmark.pedantic(judge_batch, setup=fresh, rounds=500)) == BATCH


def test_signing_a_grant(benchmark: Any) -> None:
    benchmark(sign, PLAIN, RING)


def test_verifying_a_grant(benchmark: Any) -> None:
    answered = submission(PLAIN, sign(PLAIN, RING))
    assert benchmark(verify, answered, "user-123", keyring(b"k" * 32), NOW) == PLAIN
