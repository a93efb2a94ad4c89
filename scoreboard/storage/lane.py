"""One thread and the one blocking thing it serves: the only place in this wing where threads are spoken of."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from scoreboard.boundaries import StoreUnavailable

T = TypeVar("T")


class Reactor(Protocol):
    """What a lane needs of a reactor."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call in so many seconds."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """Call in the reactor's thread."""


class Blocking(Protocol):
    """What a lane serves: something that can be told to hurry up, and to end."""

    def interrupt(self) -> None:
        """Make what is running now fail soon; from another thread."""

    def close(self) -> None:
        """Let go of everything."""


class Lane:
    """Calls in turn, at most ``waiting_max`` of them, each answered by its deadline whatever the thread is doing.

    A call whose deadline passed before its turn is never made; one whose deadline passes while it runs is interrupted. Either way
    the asker hears StoreUnavailable at the deadline and not later.
    """

    def __init__(self, reactor: Reactor, name: str, blocking: Blocking, *, waiting_max: int) -> None:
        self._reactor = reactor
        self._name = name
        self._blocking = blocking
        self._waiting_max = waiting_max
        self._waiting = 0
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._running: _Call | None = None
        self._open = False
        self._ended: Deferred[None] = Deferred()

    def start(self) -> None:
        """From now on calls are made."""
        self._open = True
        # A daemon: whoever forgets to close must not keep the process from ending.
        Thread(target=self._serve, name=self._name, daemon=True).start()

    async def close(self) -> None:
        """Make the calls that wait, take no more, and let go of what was served."""
        if self._open:
            self._open = False
            self._calls.put(None)
            await self._ended

    async def ask(self, seconds_max: float, work: Callable[..., T], *arguments: Any) -> T:
        """What the work returns or raises, called in the thread; StoreUnavailable by the deadline or when too many wait."""
        if not self._open or self._waiting >= self._waiting_max:
            raise StoreUnavailable(f"{self._name} takes no more" if self._open else f"{self._name} is closed")
        call = _Call(work, arguments)
        self._waiting += 1
        alarm = self._reactor.callLater(seconds_max, self._give_up, call, seconds_max)
        self._calls.put(call)
        try:
            answer: T = await call.answer
            return answer
        finally:
            if alarm.active():
                alarm.cancel()

    def _give_up(self, call: _Call, seconds_max: float) -> None:
        call.abandoned = True
        if self._running is call:
            self._blocking.interrupt()
        call.answer.errback(StoreUnavailable(f"{self._name} did not answer in {seconds_max:g} s"))

    def _serve(self) -> None:
        """The thread's own life."""
        while (call := self._calls.get()) is not None:
            self._running = call
            outcome = call.made()
            self._running = None
            self._reactor.callFromThread(self._answer, call, outcome)
        self._blocking.close()
        self._reactor.callFromThread(self._ended.callback, None)

    def _answer(self, call: _Call, outcome: Any) -> None:
        self._waiting -= 1
        if not call.answer.called:
            call.answer.callback(outcome)  # a Failure goes down the errback's way


class _Call:
    """Work that waits for its turn."""

    __slots__ = ("abandoned", "answer", "arguments", "work")

    def __init__(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.work = work
        self.arguments = arguments
        self.answer: Deferred[Any] = Deferred()
        self.abandoned = False

    def made(self) -> Any:
        """The result or the Failure of the work."""
        if self.abandoned:
            return None
        try:
            return self.work(*self.arguments)
        except Exception:
            return Failure()
