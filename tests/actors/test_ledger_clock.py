"""Ledger clock: its samples, steps of either clock, and what is logged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors.ledger_clock import (
    DRIFT_MS_MAX,
    FIRST_SAMPLES,
    POLL_S,
    SAMPLES_KEPT_MAX,
    WARNING_PAUSE_S,
    ClockSample,
    ClockSamples,
    LedgerClock,
)
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import NOW, FakeMeter
from tests.awaiting import result_of, started


class GaugingMeter(FakeMeter):
    def __init__(self) -> None:
        super().__init__()
        self.gauges: dict[str, float] = {}

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value


class SlowLedger(MemoryLedger):
    """A ledger whose clock can be set, and whose answers take as long as the test says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.ahead_ms = 0
        self.out_ms = self.back_ms = 0
        self.trouble: Exception | None = None
        self._time = clock

    async def clock_ms(self) -> int:
        if self.trouble is not None:
            raise self.trouble
        await self._pass(self.out_ms)
        answered = NOW + round(self._time.seconds() * 1000) + self.ahead_ms
        await self._pass(self.back_ms)
        return answered

    async def _pass(self, ms: int) -> None:
        if ms:
            passed: Deferred[None] = Deferred()
            self._time.callLater(ms / 1000, passed.callback, None)
            await passed


class Harness:
    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = SlowLedger(self.clock)
        self.meter = GaugingMeter()
        self.wall_ahead_ms = 0
        self.ledger_clock = LedgerClock(ledger=self.ledger, clock=self.clock, wall_ms=self.wall_ms, meter=self.meter)

    def wall_ms(self) -> int:
        return NOW + round(self.clock.seconds() * 1000) + self.wall_ahead_ms

    def ledger_ms(self) -> int:
        return NOW + round(self.clock.seconds() * 1000) + self.ledger.ahead_ms

    def poll(self) -> None:
        """Let the next poll happen and be answered."""
        self.clock.advance(POLL_S)
        self.clock.advance(self.ledger.out_ms / 1000)
        self.clock.advance(self.ledger.back_ms / 1000)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_before_the_first_answer_it_is_our_wall_clock(harness: Harness) -> None:
    assert harness.ledger_clock.now_ms() == harness.wall_ms()
    harness.ledger.trouble = StoreUnavailable("away")
    result_of(harness.ledger_clock.start())
    assert harness.ledger_clock.now_ms() == harness.wall_ms()
    harness.ledger.trouble, harness.ledger.ahead_ms = None, 300_000
    harness.poll()
    assert harness.ledger_clock.now_ms() == harness.ledger_ms()


@pytest.mark.parametrize("ahead_ms", [-300_000, -5_000, 0, 5_000, 300_000])
def test_it_follows_the_ledger_however_wrong_our_clock_is(harness: Harness, ahead_ms: int) -> None:
    harness.ledger.ahead_ms = ahead_ms
    result_of(harness.ledger_clock.start())
    assert harness.ledger_clock.now_ms() == harness.ledger_ms()
    harness.clock.advance(3.3)
    assert harness.ledger_clock.now_ms() == harness.ledger_ms()
    assert harness.meter.gauges["ledger_clock_offset_seconds"] == ahead_ms / 1000


def test_a_step_of_our_wall_clock_changes_nothing(harness: Harness) -> None:
    result_of(harness.ledger_clock.start())
    harness.wall_ahead_ms = 3_600_000
    assert harness.ledger_clock.now_ms() == harness.ledger_ms()


@pytest.mark.parametrize("step_ms", [-86_400_000, -3_600_000, -5_000, 5_000, 3_600_000])
def test_a_step_of_the_ledgers_clock_is_followed_at_the_next_sample(harness: Harness, step_ms: int) -> None:
    result_of(harness.ledger_clock.start())
    harness.ledger.out_ms = harness.ledger.back_ms = 400  # slower than the sample that counts
    harness.ledger.ahead_ms = step_ms
    harness.poll()
    assert harness.ledger_clock.now_ms() == harness.ledger_ms()


def test_the_sample_with_the_shortest_round_trip_of_the_last_minute_counts(harness: Harness) -> None:
    harness.ledger.out_ms = 2
    started(harness.ledger_clock.start())
    for _ in range(FIRST_SAMPLES):
        harness.clock.advance(0.002)
    assert harness.ledger_clock.now_ms() - harness.ledger_ms() == 1
    harness.ledger.out_ms, harness.ledger.back_ms = 900, 0
    for _ in range(SAMPLES_KEPT_MAX - 1):
        harness.poll()
    assert harness.ledger_clock.now_ms() - harness.ledger_ms() == 1
    harness.poll()
    assert harness.ledger_clock.now_ms() - harness.ledger_ms() == 450, "the best sample is too old"


def test_while_the_ledger_does_not_answer_the_last_offset_counts(harness: Harness) -> None:
    harness.ledger.ahead_ms = 5_000
    result_of(harness.ledger_clock.start())
    for trouble in (StoreUnavailable("away"), RuntimeError("a fault of ours")):
        harness.ledger.trouble = trouble
        with capturedLogs():
            harness.poll()
        assert harness.ledger_clock.now_ms() == harness.ledger_ms()
    assert harness.meter.counts["ledger_clock_unavailable_total"] == 2
    harness.ledger.trouble, harness.ledger.ahead_ms = None, -5_000
    harness.poll()
    assert harness.ledger_clock.now_ms() == harness.ledger_ms(), "the loop goes on"


def test_an_offset_above_a_second_is_logged_at_most_every_ten_minutes(harness: Harness) -> None:
    harness.ledger.ahead_ms = -90_500
    with capturedLogs() as logged:
        result_of(harness.ledger_clock.start())
        for _ in range(20):
            harness.poll()
    warnings = [event for event in logged if event["log_level"].name == "warn"]
    assert [(one["seconds"], one["way"]) for one in warnings] == [("90.5", "behind")]
    with capturedLogs() as logged:
        harness.clock.pump([POLL_S] * round(WARNING_PAUSE_S / POLL_S))
    assert len(logged) == 1


def test_a_stopped_clock_leaves_no_timer(harness: Harness) -> None:
    result_of(harness.ledger_clock.start())
    result_of(harness.ledger_clock.stop())
    assert harness.clock.getDelayedCalls() == []


SAMPLES = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(0, 10_000)), min_size=1, max_size=30)


@given(SAMPLES, st.integers(-(10**9), 10**9))
def test_the_offset_is_wrong_by_half_of_the_shortest_recent_round_trip_at_most(
    samples: list[tuple[int, int, int]], offset_ms: int
) -> None:
    """Each sample is (ms to the ledger, ms back, pause in ms)."""
    known, now_ms, recent = ClockSamples(), 0, list[int]()
    for out_ms, back_ms, pause_ms in samples:
        offset_known_ms = known.add(
            ClockSample(asked_ms=now_ms, answered_ms=now_ms + out_ms + back_ms, ledger_ms=now_ms + out_ms + offset_ms)
        )
        now_ms += out_ms + back_ms + pause_ms
        recent = [*recent, out_ms + back_ms][-12:]
        assert abs(offset_known_ms - offset_ms) <= min(recent) / 2


@given(SAMPLES, SAMPLES, st.integers(-(10**9), 10**9), st.sampled_from([-1, 1]), st.integers(0, 10**9))
def test_after_a_step_of_the_ledgers_clock_only_later_samples_count(
    before: list[tuple[int, int, int]], after: list[tuple[int, int, int]], offset_ms: int, way: int, beyond_ms: int
) -> None:
    known, now_ms, offset_known_ms = ClockSamples(), 0, 0.0
    step_ms = way * (DRIFT_MS_MAX + 6_001 + beyond_ms)
    for samples, ahead_ms in ((before, offset_ms), (after, offset_ms + step_ms)):
        for out_ms, back_ms, pause_ms in samples:
            offset_known_ms = known.add(
                ClockSample(asked_ms=now_ms, answered_ms=now_ms + out_ms + back_ms, ledger_ms=now_ms + out_ms + ahead_ms)
            )
            now_ms += out_ms + back_ms + pause_ms
    assert abs(offset_known_ms - offset_ms - step_ms) <= 3_000
