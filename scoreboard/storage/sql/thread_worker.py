"""The worker of a lane: a daemon thread, the blocking thing that it alone uses, and the calls that wait for it.

A worker whose call was given up is retired: its blocking thing is interrupted and never used for another call. If the thread
comes back it lets go and ends; if it hangs in something that cannot be interrupted (a name server, a disk), nothing waits for it.
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
    """What a lane serves: something that can be asked for a sign of life, made to hurry up, and ended."""

    def probe(self) -> None:
        """Return, or raise whatever the store answers; StoreSilent if it does not answer."""

    def interrupt(self) -> None:
        """Make what is running now fail soon, and keep it from committing; from another thread, at any moment. Never waits."""

    def close(self) -> None:
        """Let go of everything."""


B = TypeVar("B", bound=Blocking)


class StoreSilent(StoreUnavailable):
    """The store gave no answer for as long as we wait: the next call would fare no better."""


class Call(Generic[B]):
    """Work that waits for its turn. ``waits`` until a worker is through with it or its lane has given it up."""

    __slots__ = ("abandoned", "answer", "began_s", "waits", "work", "worker")

    def __init__(self, work: Callable[[B], Any]) -> None:
        self.work = work
        self.answer: Deferred[Any] = Deferred()
        self.abandoned = False
        self.waits = True
        #: The worker that began it, and when (monotonic).
        self.worker: Worker[B] | None = None
        self.began_s = 0.0

    def made(self, blocking: B) -> Any:
        """The result or the Failure of the work."""
        try:
            return self.work(blocking)
        except Exception:
            return Failure()


class Worker(Generic[B]):
    """``answered`` and ``ended`` are called in the worker's thread. All workers of a lane share its ``lock``."""

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
        """From now on calls are made."""
        # A daemon: a thread that hangs must not keep the process from ending.
        Thread(target=self._serve, name=self._name, daemon=True).start()

    def runs(self, call: Call[B]) -> bool:
        """Whether the call is being made. Ask with the lock."""
        return self._running is call

    def retire(self) -> None:
        """Interrupt what runs, make no other call, and end."""
        self._retired = True
        self._blocking.interrupt()

    def drop_calls(self) -> list[Call[B]]:
        """The calls that wait, which are not made any more."""
        dropped: list[Call[B]] = []
        while True:
            try:
                call = self.calls.get_nowait()
            except Empty:
                return dropped
            if call is not None:
                dropped.append(call)

    def _serve(self) -> None:
        """The thread's own life."""
        while (call := self.calls.get()) is not None and self._begin(call):
            result = call.made(self._blocking) if not call.abandoned else None
            with self._lock:
                self._running = None
                # Who waited in vain makes no other call: the lane decides first what becomes of those that wait.
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
