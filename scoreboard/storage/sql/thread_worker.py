"""Worker thread of a SqlThread: a daemon thread, the blocking session that it alone uses, and the queue of its calls.

A worker whose call was given up is retired: its session is interrupted and used for no other call. If the thread returns, it
closes the session and ends. If it hangs in something that cannot be interrupted (a name server, a disk), nothing waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.domain.errors import StoreUnavailable


class Blocking(Protocol):
    """A blocking session of a store."""

    def probe(self) -> None:
        """Return if the store answers. Raise its error, or StoreSilent if it does not answer."""

    def interrupt(self) -> None:
        """Make the call that runs now fail soon, and keep it from committing. Any thread may call this; it never waits."""

    def close(self) -> None:
        """Close the connection. A later call opens it again."""


B = TypeVar("B", bound=Blocking)


class StoreSilent(StoreUnavailable):
    """The store gave no answer within the longest time that we wait: the next call would fare no better."""


class Call(Generic[B]):
    """A call in the queue. ``waits`` is true until a worker has finished it or its SqlThread has given it up."""

    __slots__ = ("abandoned", "answer", "began_s", "waits", "work", "worker")

    def __init__(self, work: Callable[[B], Any]) -> None:
        self.work = work
        self.answer: Deferred[Any] = Deferred()
        self.abandoned = False
        self.waits = True
        #: The worker that began the call, and when (monotonic clock).
        self.worker: Worker[B] | None = None
        self.began_s = 0.0

    def run(self, blocking: B) -> Any:
        """The result of the work, or its Failure."""
        try:
            return self.work(blocking)
        except Exception:
            return Failure()


class Worker(Generic[B]):
    """One thread, in which ``answered`` and ``ended`` are called. All workers of a SqlThread share its ``lock``."""

    _log = Logger()

    def __init__(
        self,
        name: str,
        blocking: B,
        calls: SimpleQueue[Call[B] | None],
        lock: Lock,
        answered: Callable[[Worker[B], Call[B], Any], object],
        ended: Callable[[Worker[B]], object],
    ) -> None:
        self.calls = calls
        self._name = name
        self._blocking = blocking
        self._answered = answered
        self._ended = ended
        self._lock = lock
        self._running: Call[B] | None = None
        self._retired = False

    def start(self) -> None:
        """Start the thread. None in the queue ends it."""
        # A daemon: a thread that hangs must not keep the process from ending.
        Thread(target=self._serve, name=self._name, daemon=True).start()

    def runs(self, call: Call[B]) -> bool:
        """Whether this call runs now. The caller holds the lock."""
        return self._running is call

    def retire(self) -> None:
        """Interrupt the call that runs, begin no other, and end the thread."""
        self._retired = True
        self._blocking.interrupt()

    def drop_calls(self) -> list[Call[B]]:
        """Empty the queue; the calls that were in it."""
        dropped: list[Call[B]] = []
        while True:
            try:
                call = self.calls.get_nowait()
            except Empty:
                return dropped
            if call is not None:
                dropped.append(call)

    def _serve(self) -> None:
        while (call := self.calls.get()) is not None and self._begin(call):
            result = call.run(self._blocking) if not call.abandoned else None
            with self._lock:
                self._running = None
                # After a silent call no other begins: the SqlThread decides first what becomes of the calls that wait.
                over = self._retired or (isinstance(result, Failure) and isinstance(result.value, StoreSilent))
            self._answered(self, call, result)
            if over:
                break
        try:
            self._blocking.close()
        except Exception:
            self._log.failure("{name} could not be closed", name=self._name)
        self._ended(self)

    def _begin(self, call: Call[B]) -> bool:
        with self._lock:
            if not call.abandoned:
                self._running = call
                call.worker, call.began_s = self, time.monotonic()
            return not self._retired
