"""Fan-out pacing: how much of the reactor's time the fan-out of a tick takes, and when the next tick begins.

A fan-out is written in slices. After each slice the reactor handles all other events that are ready. The next slice waits while
an award is being stored: otherwise each step of the award would wait for a slice. A fan-out waits for awards no longer than it
has written, so awards get up to half of the time while it lasts. The pause after a fan-out limits it to a ninth of the
reactor's time. If it could not begin every 125 ms then, it gets more, up to a quarter.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from scoreboard.background import run_in_background
from scoreboard.boundaries.health import Meter

#: For each second of a fan-out, all other work gets at least three, and eight if fan-outs still begin often enough.
OTHERS_PER_FAN_OUT: Final = 3
OTHERS_PER_FAST_FAN_OUT: Final = 8
#: Often enough: the time from the beginning of one fan-out to the next.
PERIOD_S_WANTED: Final = 0.125
#: The longest pause between two fan-outs. A very big room takes more than a quarter because of it.
PAUSE_S_MAX: Final = 0.25
#: How often a fan-out that waits for awards checks whether they are done.
_POLL_S: Final = 0.001


class FanOutPace:
    """Pace of one fan-out at a time. ``is_awarding`` answers from memory whether an award is being stored."""

    def __init__(self, *, clock: IReactorTime, tick_s: float, is_awarding: Callable[[], bool]) -> None:
        self._clock = clock
        self._tick_s = tick_s
        self._is_awarding = is_awarding
        self._began_s = self._slice_began_s = 0.0
        self._spent_s = self._rested_s = 0.0

    def begin(self) -> None:
        """Begin a tick."""
        self._began_s = self._clock.seconds()
        self._spent_s = self._rested_s = 0.0

    def begin_slice(self) -> None:
        """Begin a slice."""
        self._slice_began_s = self._clock.seconds()

    def end_slice(self) -> None:
        """End a slice, and count its time."""
        self._spent_s += self._clock.seconds() - self._slice_began_s

    async def rest(self) -> None:
        """Wait until the next slice may begin."""
        began_s = self._clock.seconds()
        until_s = began_s + self._spent_s - self._rested_s
        await deferLater(self._clock, 0)
        while self._is_awarding() and self._clock.seconds() < until_s:
            await deferLater(self._clock, _POLL_S)
        self._rested_s += self._clock.seconds() - began_s

    def next_s(self) -> float:
        """At the end of a fan-out, return when the next may begin: after a tick at least, and after the others' share."""
        now_s = self._clock.seconds()
        calm_s = min((1 + OTHERS_PER_FAST_FAN_OUT) * self._spent_s, PERIOD_S_WANTED)
        share_s = self._began_s + max((1 + OTHERS_PER_FAN_OUT) * self._spent_s, calm_s) - now_s
        return now_s + max(self._tick_s, min(share_s, PAUSE_S_MAX))


class Ticker:
    """Runs ``tick`` after each `wake`. After a tick, also a failed one, ``ended`` returns whether another one is needed."""

    def __init__(
        self,
        *,
        clock: IReactorTime,
        pace: FanOutPace,
        meter: Meter,
        tick: Callable[[], Coroutine[Any, Any, None]],
        ended: Callable[[], bool],
    ) -> None:
        self._clock, self._pace, self._meter, self._tick, self._ended = clock, pace, meter, tick, ended
        self._next: IDelayedCall | None = None
        self._ticking = self._stopped = False
        self._not_before_s = float("-inf")

    def wake(self) -> None:
        """Begin a tick as soon as possible, unless one is planned or under way."""
        if self._next is None and not self._ticking and not self._stopped:
            wait_s = max(0.0, self._not_before_s - self._clock.seconds())
            self._next = self._clock.callLater(wait_s, self._begin)

    def stop(self) -> None:
        """Begin no more ticks."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._next = None
        self._ticking = True
        self._pace.begin()
        run_in_background("announcer", self._run(), self._meter)

    async def _run(self) -> None:
        try:
            await self._tick()
        finally:  # the next tick comes also after a failed one
            self._ticking = False
            self._not_before_s = self._pace.next_s()  # a big room makes its own ticks rarer before it delays submissions
            if self._ended():
                self.wake()
