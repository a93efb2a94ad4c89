"""Executor of one thread with a circuit breaker: blocking calls in order, each answered by its deadline, whatever the store does.

A call that runs at its deadline is interrupted, and its thread is replaced: it may hang in something that cannot be interrupted.
When the store is *silent* (a call got no answer), the circuit opens: calls that wait and new calls are refused at once, and every
half second another thread probes the store. The first answer to a probe closes the circuit; the thread that got it serves on.
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

from scoreboard.background import Counter, report_failure, run_in_background
from scoreboard.domain.errors import StoreAway, StoreUnavailable
from scoreboard.storage.sql.thread_worker import B, Call, StoreSilent, Worker

T = TypeVar("T")

#: If a call ran for at least this many seconds and then reached its deadline, the store is silent. If it ran for less time, it
#: only began too late, and this says nothing about the store.
SILENT_S_MIN: Final = 1.0
PROBE_EVERY_S: Final = 0.5
PROBE_S_MAX: Final = 2.5
#: How long an interrupted thread may take to return before it counts as one that hangs.
RETURN_S_MAX: Final = 1.0
#: Threads beside the one that serves: five probes at once (PROBE_S_MAX / PROBE_EVERY_S), those just given up, and those that
#: hang. At the limit a probe is left out, and the store's return is noticed half a second later.
SPARE_THREADS_MAX: Final = 8
_SILENT: Final = "{}: the database does not answer"
#: How long each thread has to stop at least, however long those before it took.
STOP_S_MIN: Final = 0.2


class Reactor(Protocol):
    """The methods of a reactor that a SqlThread uses."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call after ``delay`` seconds."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """Call in the reactor's thread, from any thread."""


class NoCounter:
    """A null object: counts nothing."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Do nothing."""


class SqlThread(Generic[B]):
    """Runs calls on a session that ``build`` makes, a new one for each thread. At most ``waiting_max`` calls wait."""

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
        self._started = False
        #: None while the circuit is open, and before the start.
        self._worker: Worker[B] | None = None
        self._probing: dict[Worker[B], IDelayedCall] = {}
        self._leaving: set[Worker[B]] = set()
        self._next_probe: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._started = True
        self._worker = self._start_worker(SimpleQueue())

    async def stop(self, seconds_max: float) -> None:
        """Finish the calls that wait, refuse others, close the session and end the thread; after ``seconds_max`` give up."""
        if not self._started:
            return
        self._started = False
        self._stop_probing()
        worker = self._worker
        if worker is None:
            return
        self._ended = Deferred()
        worker.calls.put(None)
        alarm = self._reactor.callLater(seconds_max, self._give_up_stopping, worker)
        await self._ended
        if alarm.active():
            alarm.cancel()

    async def ask(self, seconds_max: float, work: Callable[[B], T]) -> T:
        """What the work returns or raises when the thread calls it; StoreUnavailable after ``seconds_max``.

        StoreAway if the work did not begin: too many calls wait, the deadline came first (or had passed already), or the store is
        silent.
        """
        if seconds_max <= 0:
            raise StoreAway(f"{self._name} was asked too late")
        if not self._started:
            raise StoreAway(f"{self._name} is closed")
        if self._worker is None:
            raise StoreAway(_SILENT.format(self._name))
        if self._waiting >= self._waiting_max:
            raise StoreAway(f"{self._name} takes no more")
        call: Call[B] = Call(work)
        self._waiting += 1
        alarm = self._reactor.callLater(seconds_max, self._expire, call, seconds_max)
        self._worker.calls.put(call)
        try:
            answer: T = await call.answer
            return answer
        finally:
            if alarm.active():
                alarm.cancel()

    def _start_worker(self, calls: SimpleQueue[Call[B] | None]) -> Worker[B]:
        from_thread = self._reactor.callFromThread
        answered, ended = partial(from_thread, self._answer), partial(from_thread, self._worker_ended)
        worker = Worker(self._name, self._build(), calls, self._lock, answered, ended)
        worker.start()
        return worker

    # Ends of a call

    def _answer(self, worker: Worker[B], call: Call[B], result: Any) -> None:
        self._count_out(call)
        if worker is self._worker and isinstance(result, Failure) and result.check(StoreSilent):
            self._open_circuit(worker)
        if not call.answer.called:
            call.answer.callback(result)  # a Failure runs the errbacks

    def _expire(self, call: Call[B], seconds_max: float) -> None:
        """Give up a call whose deadline has come."""
        with self._lock:
            call.abandoned = True
            worker = call.worker
            running = worker is not None and worker.runs(call)
            if worker is not None and running:
                worker.retire()
        try:
            if worker is not None and running:
                self._count_out(call)
                self._replace(worker, time.monotonic() - call.began_s)
        finally:
            if not call.answer.called:
                kind = StoreAway if worker is None else StoreUnavailable
                call.answer.errback(kind(f"{self._name} did not answer in {seconds_max:g} s"))

    def _count_out(self, call: Call[B]) -> None:
        if call.waits:
            call.waits = False
            self._waiting -= 1

    def _refuse_waiting(self, worker: Worker[B], why: str) -> None:
        for call in worker.drop_calls():
            self._count_out(call)
            call.abandoned = True
            if not call.answer.called:
                call.answer.errback(StoreAway(why.format(self._name)))

    # Replaced workers

    def _replace(self, worker: Worker[B], ran_s: float) -> None:
        self._expect_end(worker)
        if worker is self._worker:
            try:
                self._worker = self._start_worker(worker.calls) if ran_s < SILENT_S_MIN and self._has_spare() else None
            except RuntimeError:  # the system starts no more threads
                self._worker = None
            if self._worker is None:
                self._open_circuit(worker)

    def _has_spare(self) -> bool:
        return len(self._probing) + len(self._leaving) < SPARE_THREADS_MAX

    def _expect_end(self, worker: Worker[B]) -> None:
        if worker in self._leaving:
            return
        self._leaving.add(worker)
        self._reactor.callLater(RETURN_S_MAX, self._count_hanging, worker)

    def _count_hanging(self, worker: Worker[B]) -> None:
        if worker in self._leaving:
            self._meter.count("sql_threads_replaced_total", thread=self._name)
            self._log.warn(
                "{sql_thread}: a thread hangs and was replaced ({hanging} hang)",
                sql_thread=self._name,
                hanging=len(self._leaving),
            )

    def _worker_ended(self, worker: Worker[B]) -> None:
        self._leaving.discard(worker)
        if self._ended is not None and worker is self._worker and not self._ended.called:
            self._ended.callback(None)

    def _give_up_stopping(self, worker: Worker[B]) -> None:
        self._log.warn("{sql_thread}: could not be closed in time", sql_thread=self._name)
        with self._lock:
            worker.retire()
        self._refuse_waiting(worker, "{} is closed")
        if self._ended is not None and not self._ended.called:
            self._ended.callback(None)

    # The circuit breaker

    def _open_circuit(self, worker: Worker[B]) -> None:
        self._worker = None
        self._refuse_waiting(worker, _SILENT)
        if self._ended is not None:  # stopping: the return of the store no longer matters
            if not self._ended.called:
                self._ended.callback(None)
            return
        self._log.warn("{sql_thread}: the database does not answer; calls are refused until it does", sql_thread=self._name)
        self._next_probe = self._reactor.callLater(0, self._probe)

    def _probe(self) -> None:
        self._next_probe = self._reactor.callLater(PROBE_EVERY_S, self._probe)
        if self._has_spare():
            run_in_background("sql_probe", self._probe_from_new_thread(), self._meter)

    async def _probe_from_new_thread(self) -> None:
        worker = self._start_worker(SimpleQueue())
        call: Call[B] = Call(lambda blocking: blocking.probe())
        call.waits = False
        alarm = self._probing[worker] = self._reactor.callLater(PROBE_S_MAX, self._expire, call, PROBE_S_MAX)
        worker.calls.put(call)
        failure: Failure | None = None
        try:
            await call.answer
        except Exception:
            failure = Failure()
        if self._probing.pop(worker, None) is None:
            return  # another probe was faster
        if alarm.active():
            alarm.cancel()
        self._close_circuit(worker, failure)

    def _close_circuit(self, worker: Worker[B], failure: Failure | None) -> None:
        """Serve calls again if a probe was answered, be it with an error: a store that answers errors fails calls quickly."""
        if failure is not None:
            if worker in self._leaving or failure.check(StoreSilent):
                return  # the worker ends by itself
            if not failure.check(StoreUnavailable):
                report_failure("sql_probe", self._meter, failure)
        self._stop_probing()
        self._worker = worker
        said = "" if failure is None else f": {failure.getErrorMessage()}"
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
            self._expect_end(worker)


async def stop_threads(threads: Sequence[SqlThread[Any]], seconds_max: float) -> None:
    """Stop the threads of a store one after another. All together take little longer than ``seconds_max``.

    The last connection to a SQLite file writes the log into the file as it closes. If two connections close at the same moment,
    neither does that: nothing is lost, but some awards are then only in the log.
    """
    until_s = time.monotonic() + seconds_max
    for sql_thread in threads:
        await sql_thread.stop(max(STOP_S_MIN, until_s - time.monotonic()))
