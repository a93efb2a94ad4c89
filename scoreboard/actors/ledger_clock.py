"""Ledger clock: estimates the clock of the ledger from round trips. Servers whose clocks differ issue and judge actions by it.

For each sample the monotonic times of question and answer are known, and the ledger read its clock in between: the middle is
wrong by half a round trip at most. Of the recent samples the one with the shortest round trip counts. Between samples the time
advances by the monotonic clock, so a step of this server's wall clock changes nothing. After a step of the ledger's clock the
next sample contradicts the older ones by more than its round trip, and then the older ones are dropped.
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
#: The very first sample waits for a connection, too, so its round trip is long.
FIRST_SAMPLES: Final = 3
#: The samples of a minute.
SAMPLES_KEPT_MAX: Final = 12
#: How far two clocks may drift apart within the samples that are kept (500 ppm, as NTP slews), and rounding.
DRIFT_MS_MAX: Final = 50
#: If the ledger's clock and ours differ by this much, the log warns the operator; the second constant says how often.
OFFSET_WARNED_MS: Final = 1_000
WARNING_PAUSE_S: Final = 600.0


class ClockSample(Value, frozen=True, kw_only=True):
    """One answer: the monotonic times of question and answer, and the ledger's time in between; all in milliseconds."""

    asked_ms: float
    answered_ms: float
    ledger_ms: int

    @property
    def round_trip_ms(self) -> float:
        """How long the answer took."""
        return self.answered_ms - self.asked_ms

    @property
    def offset_ms(self) -> float:
        """The ledger's clock minus the monotonic one, if the ledger read its clock in the middle of the round trip."""
        return self.ledger_ms - (self.asked_ms + self.answered_ms) / 2

    def agrees(self, other: ClockSample) -> bool:
        """Whether one offset is possible for both, within half a round trip of each."""
        bounds_ms = (self.round_trip_ms + other.round_trip_ms) / 2
        return abs(self.offset_ms - other.offset_ms) <= bounds_ms + DRIFT_MS_MAX


class ClockSamples:
    """The recent samples. The one with the shortest round trip counts."""

    def __init__(self) -> None:
        self._kept: deque[ClockSample] = deque(maxlen=SAMPLES_KEPT_MAX)

    def add(self, sample: ClockSample) -> float:
        """Add a sample; returns the offset (in milliseconds) of the sample that counts now."""
        if self._kept and not sample.agrees(self._best()):  # the ledger's clock was set
            self._kept.clear()
        self._kept.append(sample)
        return self._best().offset_ms

    def _best(self) -> ClockSample:
        return min(self._kept, key=lambda sample: sample.round_trip_ms)


class LedgerClock:
    """The clock by which actions are issued and judged. Until the first answer it is our wall clock."""

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
        """The time by the ledger's clock, in milliseconds since 1970."""
        if self._offset_ms is None:
            return self._wall_ms()
        return round(self._clock.seconds() * 1000 + self._offset_ms)

    async def start(self) -> None:
        """Take the first samples, and then one every 5 s. The server starts even if the ledger does not answer."""
        for _ in range(FIRST_SAMPLES):
            await self._loop.call()
        self._loop.start()

    async def stop(self) -> None:
        """Stop taking samples."""
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
