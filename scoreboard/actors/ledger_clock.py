"""The ledger's clock, estimated from round trips: servers whose own clocks differ issue and judge actions by it.

Each look at the ledger's clock is asked and answered at a monotonic time, and the ledger read its clock somewhere in between:
the middle is at most half a round trip wrong. Of the recent looks the one with the shortest round trip is believed. Between looks
time goes on by the monotonic clock, so a step of this server's wall clock changes nothing. A step of the ledger's clock is
noticed by the next look, whose bounds exclude what was believed; then all earlier looks are forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.background import Loop
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.value import Value

POLL_S: Final = 5.0
#: The first look of all waits for a connection too, so its round trip is long.
FIRST_SAMPLES: Final = 3
#: A minute's looks.
SAMPLES_KEPT_MAX: Final = 12
#: How far two clocks that nobody sets may drift apart within the looks kept (500 ppm, as NTP slews), and rounding.
DRIFT_MS_MAX: Final = 50
#: An offset between the ledger's clock and ours that an operator should hear of, and how often.
OFFSET_WARNED_MS: Final = 1_000
WARNING_PAUSE_S: Final = 600.0


class ClockSample(Value, frozen=True, kw_only=True):
    """One answer: asked and answered at monotonic times, and what the ledger's clock said in between; all in milliseconds."""

    asked_ms: float
    answered_ms: float
    ledger_ms: int

    @property
    def round_trip_ms(self) -> float:
        """The longer, the less it says."""
        return self.answered_ms - self.asked_ms

    @property
    def offset_ms(self) -> float:
        """The ledger's clock less the monotonic one, were the ledger asked in the middle of the round trip."""
        return self.ledger_ms - (self.asked_ms + self.answered_ms) / 2

    def agrees(self, other: ClockSample) -> bool:
        """Whether one offset may be true for both, by the bounds of each."""
        bounds_ms = (self.round_trip_ms + other.round_trip_ms) / 2
        return abs(self.offset_ms - other.offset_ms) <= bounds_ms + DRIFT_MS_MAX


class ClockSamples:
    """The recent looks; the one with the shortest round trip is believed."""

    def __init__(self) -> None:
        self._kept: deque[ClockSample] = deque(maxlen=SAMPLES_KEPT_MAX)

    def add(self, sample: ClockSample) -> float:
        """Learn from one more look: the offset that is believed now."""
        if self._kept and not sample.agrees(self._best()):  # one of the clocks was set
            self._kept.clear()
        self._kept.append(sample)
        return self._best().offset_ms

    def _best(self) -> ClockSample:
        return min(self._kept, key=lambda sample: sample.round_trip_ms)


class LedgerClock:
    """The clock by which actions are issued and judged. Before `start`, and until a first answer, it is our wall clock."""

    _log = Logger()

    def __init__(self, *, ledger: Ledger, clock: IReactorTime, wall_ms: Callable[[], int], meter: Meter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wall_ms = wall_ms
        self._meter = meter
        self._samples = ClockSamples()
        self._offset_ms: float | None = None
        self._warned_s: float | None = None
        self._loop = Loop("ledger_clock", self._poll, POLL_S, clock=clock, meter=meter, on_failure=self._count_failure)
        meter.gauge("ledger_clock_offset_seconds", 0)

    def now_ms(self) -> int:
        """The time by the ledger's clock, as far as we know it."""
        if self._offset_ms is None:
            return self._wall_ms()
        return round(self._clock.seconds() * 1000 + self._offset_ms)

    async def start(self) -> None:
        """Look a few times (a ledger that does not answer does not hinder) and go on looking."""
        for _ in range(FIRST_SAMPLES):
            await self._loop.call()
        self._loop.start()

    async def stop(self) -> None:
        """Look no more."""
        self._loop.stop()

    async def _poll(self) -> None:
        asked_ms = self._clock.seconds() * 1000
        try:
            ledger_ms = await self._ledger.clock_ms()
        except StoreUnavailable as away:
            self._count_failure()
            self._log.debug("the ledger's clock could not be read: {away}", away=str(away))
            return
        sample = ClockSample(asked_ms=asked_ms, answered_ms=self._clock.seconds() * 1000, ledger_ms=ledger_ms)
        self._offset_ms = self._samples.add(sample)
        self._report(self.now_ms() - self._wall_ms())

    def _count_failure(self) -> None:
        self._meter.count("ledger_clock_unavailable_total")

    def _report(self, ahead_ms: int) -> None:
        self._meter.gauge("ledger_clock_offset_seconds", ahead_ms / 1000)
        now_s = self._clock.seconds()
        if abs(ahead_ms) <= OFFSET_WARNED_MS or (self._warned_s is not None and now_s - self._warned_s < WARNING_PAUSE_S):
            return
        self._warned_s = now_s
        self._log.warn(
            "the ledger's clock is {seconds} s {way} this server's: actions follow the ledger's; check NTP on both",
            seconds=f"{abs(ahead_ms) / 1000:.1f}",
            way="ahead of" if ahead_ms > 0 else "behind",
        )
