"""Background work: loops, and tasks whose end no caller awaits. A failure of either is logged with its traceback and counted.

Every loop, and every coroutine that no caller awaits, uses this module: a dropped Deferred would hide its failure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

FAILURES_METRIC: Final = "background_failures_total"

_log: Final = Logger()


class Counter(Protocol):
    """The part of boundaries.health.Meter that is needed here."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""


class Loop:
    """Calls ``body`` once an interval until it is stopped, and never two calls at a time.

    A call that fails is logged and counted, ``on_failure`` is called, and the next call comes as if it had succeeded.
    """

    def __init__(
        self,
        task: str,
        body: Callable[[], Awaitable[object] | None],
        interval_s: float,
        *,
        clock: IReactorTime,
        meter: Counter,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self._task, self._body, self._meter, self._on_failure = task, body, meter, on_failure
        self._interval_s = interval_s
        meter.count(FAILURES_METRIC, 0, task=task)  # so that an alarm finds the series before the first failure
        self._calls = LoopingCall(self.call)
        self._calls.clock = clock

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._calls.running

    def start(self, *, now: bool = False) -> None:
        """Call the body ``now`` or after an interval, and then once an interval."""
        self._calls.start(self._interval_s, now).addErrback(self._ended)

    def stop(self) -> None:
        """No more calls; one that is under way goes on to its end. You may call it for a stopped loop."""
        if self._calls.running:
            self._calls.stop()

    async def call(self) -> None:
        """Call the body once. A failure is logged and counted and does not reach the caller."""
        try:
            result = self._body()
            if result is not None:
                await result
        except Exception:
            report_failure(self._task, self._meter)
            if self._on_failure is not None:
                self._on_failure()

    def _ended(self, failure: Failure) -> None:
        """Only what is no Exception, or a failing ``on_failure``, ends a loop."""
        report_failure(self._task, self._meter, failure)


def run_in_background(task: str, work: Coroutine[Deferred[Any], Any, object], meter: Counter) -> Deferred[None]:
    """Start ``work``. The Deferred fires with None at its end. A failure is logged and counted, and does not reach the caller."""

    def failed(failure: Failure) -> None:
        report_failure(task, meter, failure)

    return ensureDeferred(work).addCallbacks(lambda _: None, failed)


def report_failure(
    task: str, meter: Counter, failure: Failure | None = None, message: str = "background task {task} failed", **fields: Any
) -> None:
    """Log and count a failure of a background task: ``failure``, or the exception that is being handled."""
    _log.failure(message, failure=failure, task=task, **fields)
    meter.count(FAILURES_METRIC, task=task)
