"""A thread for what blocks, with a circuit breaker: calls in turn, every answer by its deadline, whatever the store does.

A call whose deadline passes while it runs is interrupted, and its thread is replaced: it may hang in something that nothing can
interrupt. When the store is *silent* (a call waited in vain), the lane is *away*: calls that wait and calls that come are refused
at once, and every half second another thread asks the store for a sign of life, until one is answered. The thread that got the
answer serves the lane from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import StoreAway, StoreUnavailable
from scoreboard.storage.sql.thread_worker import B, Call, StoreSilent, Worker

T = TypeVar("T")

#: A call that ran for so long when its deadline came was not answered; one that ran for less had waited too long for its turn.
SILENT_S_MIN: Final = 1.0
PROBE_EVERY_S: Final = 0.5
PROBE_S_MAX: Final = 2.5
#: How long an interrupted thread may take to come back before it counts as one that hangs.
RETURN_S_MAX: Final = 1.0
#: Threads beside the one that serves: five probes at once (PROBE_S_MAX / PROBE_EVERY_S), those just given up, and those that
#: hang. Where one is missing, a probe is left out, and the store's return is known half a second later.
SPARE_THREADS_MAX: Final = 8
_SILENT: Final = "{}: the database does not answer"
#: What each lane has to close, however long those before it took.
CLOSE_S_MIN: Final = 0.2


class Reactor(Protocol):
    """What a lane needs of a reactor."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call in so many seconds."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """Call in the reactor's thread."""


class Counter(Protocol):
    """What a lane needs of a meter."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""


class NoCounter:
    """Counts nothing."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Nothing happens."""


class SqlThread(Generic[B]):
    """At most ``waiting_max`` calls wait. ``build`` makes what blocks: one for each thread, used by no other."""

    _log = Logger()

    def __init__(
        self, reactor: Reactor, name: str, build: Callable[[], B], *, waiting_max: int, meter: Counter | None = None
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._build = build
        self._waiting_max = waiting_max
        self._meter = meter or NoCounter()
        self._waiting = 0
        self._lock = Lock()
        self._open = False
        #: None while the lane is away, and before the start.
        self._worker: Worker[B] | None = None
        self._probing: dict[Worker[B], IDelayedCall] = {}
        self._leaving: set[Worker[B]] = set()
        self._next_probe: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None

    @property
    def away(self) -> bool:
        """Whether calls are refused because the store did not answer."""
        return self._open and self._worker is None

    def start(self) -> None:
        """From now on calls are made."""
        self._open = True
        self._worker = self._hire(SimpleQueue())

    async def close(self, seconds_max: float) -> None:
        """Make the calls that wait, take no more, and let go of what was served; what is not done in time is given up."""
        if not self._open:
            return
        self._open = False
        self._stop_probing()
        worker = self._worker
        if worker is None:
            return
        self._ended = Deferred()
        worker.calls.put(None)
        alarm = self._reactor.callLater(seconds_max, self._give_up_closing, worker)
        await self._ended
        if alarm.active():
            alarm.cancel()

    async def ask(self, seconds_max: float, work: Callable[[B], T]) -> T:
        """What the work returns or raises, called in the thread; StoreUnavailable by the deadline.

        StoreAway if the work was never begun: too many wait, its turn did not come in time (which may be over before we are
        asked), or the store is silent.
        """
        if seconds_max <= 0:
            raise StoreAway(f"{self._name} was asked too late")
        if not self._open:
            raise StoreAway(f"{self._name} is closed")
        if self._worker is None:
            raise StoreAway(_SILENT.format(self._name))
        if self._waiting >= self._waiting_max:
            raise StoreAway(f"{self._name} takes no more")
        call: Call[B] = Call(work)
        self._waiting += 1
        alarm = self._reactor.callLater(seconds_max, self._give_up, call, seconds_max)
        self._worker.calls.put(call)
        try:
            answer: T = await call.answer
            return answer
        finally:
            if alarm.active():
                alarm.cancel()

    def _hire(self, calls: SimpleQueue[Call[B] | None]) -> Worker[B]:
        from_thread = self._reactor.callFromThread
        answered, ended = partial(from_thread, self._answer), partial(from_thread, self._has_ended)
        worker = Worker(self._name, self._build(), calls, self._lock, answered, ended)
        worker.start()
        return worker

    # What a call comes to

    def _answer(self, worker: Worker[B], call: Call[B], result: Any) -> None:
        self._let_go(call)
        if worker is self._worker and isinstance(result, Failure) and result.check(StoreSilent):
            self._go_away(worker)
        if not call.answer.called:
            call.answer.callback(result)  # a Failure goes down the errback's way

    def _give_up(self, call: Call[B], seconds_max: float) -> None:
        """The deadline of a call has come."""
        with self._lock:
            call.abandoned = True
            worker = call.worker
            running = worker is not None and worker.runs(call)
            if worker is not None and running:
                worker.retire()
        try:
            if worker is not None and running:
                self._let_go(call)
                self._replace(worker, time.monotonic() - call.began_s)
        finally:
            if not call.answer.called:
                kind = StoreAway if worker is None else StoreUnavailable
                call.answer.errback(kind(f"{self._name} did not answer in {seconds_max:g} s"))

    def _let_go(self, call: Call[B]) -> None:
        if call.waits:
            call.waits = False
            self._waiting -= 1

    def _refuse_waiting(self, worker: Worker[B], why: str) -> None:
        for call in worker.drop_calls():
            self._let_go(call)
            call.abandoned = True
            if not call.answer.called:
                call.answer.errback(StoreAway(why.format(self._name)))

    # Threads that were replaced

    def _replace(self, worker: Worker[B], ran_s: float) -> None:
        self._part_with(worker)
        if worker is self._worker:
            try:
                self._worker = self._hire(worker.calls) if ran_s < SILENT_S_MIN and self._may_hire() else None
            except RuntimeError:  # no thread can be started
                self._worker = None
            if self._worker is None:
                self._go_away(worker)

    def _may_hire(self) -> bool:
        return len(self._probing) + len(self._leaving) < SPARE_THREADS_MAX

    def _part_with(self, worker: Worker[B]) -> None:
        if worker in self._leaving:
            return
        self._leaving.add(worker)
        self._reactor.callLater(RETURN_S_MAX, self._count_hanging, worker)

    def _count_hanging(self, worker: Worker[B]) -> None:
        if worker in self._leaving:
            self._meter.count("sql_threads_replaced_total", sql_thread=self._name)
            self._log.warn(
                "{sql_thread}: a thread hangs and was replaced ({hanging} hang)", sql_thread=self._name, hanging=len(self._leaving)
            )

    def _has_ended(self, worker: Worker[B]) -> None:
        self._leaving.discard(worker)
        if self._ended is not None and worker is self._worker and not self._ended.called:
            self._ended.callback(None)

    def _give_up_closing(self, worker: Worker[B]) -> None:
        self._log.warn("{sql_thread}: could not be closed in time", sql_thread=self._name)
        with self._lock:
            worker.retire()
        self._refuse_waiting(worker, "{} is closed")
        if self._ended is not None and not self._ended.called:
            self._ended.callback(None)

    # Away, and back

    def _go_away(self, worker: Worker[B]) -> None:
        self._worker = None
        self._refuse_waiting(worker, _SILENT)
        if self._ended is not None:  # closing: no need to find out when it answers again
            if not self._ended.called:
                self._ended.callback(None)
            return
        self._log.warn("{sql_thread}: the database does not answer; calls are refused until it does", sql_thread=self._name)
        self._next_probe = self._reactor.callLater(0, self._probe)

    def _probe(self) -> None:
        self._next_probe = self._reactor.callLater(PROBE_EVERY_S, self._probe)
        if not self._may_hire():
            return
        worker = self._hire(SimpleQueue())
        call: Call[B] = Call(lambda blocking: blocking.probe())
        call.waits = False
        alarm = self._probing[worker] = self._reactor.callLater(PROBE_S_MAX, self._give_up, call, PROBE_S_MAX)

        def probed(result: Any) -> None:
            if self._probing.pop(worker, None) is None:
                return  # another one was faster
            if alarm.active():
                alarm.cancel()
            self._probed(worker, result)

        call.answer.addBoth(probed)
        worker.calls.put(call)

    def _probed(self, worker: Worker[B], result: Any) -> None:
        """Any answer is one: what is refused or wrong fails by itself, and quickly."""
        if isinstance(result, Failure):
            if worker in self._leaving or result.check(StoreSilent):
                return  # the worker ends by itself
            if not result.check(StoreUnavailable):
                self._log.failure("{sql_thread}: a probe failed", result, sql_thread=self._name)
        self._stop_probing()
        self._worker = worker
        said = f": {result.getErrorMessage()}" if isinstance(result, Failure) else ""
        self._log.info("{sql_thread}: the database answers again{said}", sql_thread=self._name, said=said)

    def _stop_probing(self) -> None:
        if self._next_probe is not None and self._next_probe.active():
            self._next_probe.cancel()
        self._next_probe = None
        probing, self._probing = self._probing, {}
        for worker, alarm in probing.items():
            if alarm.active():
                alarm.cancel()
            with self._lock:
                worker.retire()
            worker.calls.put(None)
            self._part_with(worker)


async def close_threads(threads: Sequence[SqlThread[Any]], seconds_max: float) -> None:
    """Close the lanes of a store one after another. All together take little longer than ``seconds_max``.

    The last connection to a SQLite file writes the log into the file as it closes. Two connections that close at the same moment
    leave that to each other: nothing is lost, but the file alone does not hold all awards.
    """
    until_s = time.monotonic() + seconds_max
    for sql_thread in threads:
        await sql_thread.close(max(CLOSE_S_MIN, until_s - time.monotonic()))
