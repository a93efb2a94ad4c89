"""One blocking call in a daemon thread. The process can end before the call does, unlike with the reactor's own threads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.thread import Reactor

T = TypeVar("T")


async def call_in_daemon_thread(reactor: Reactor, seconds_max: float | None, work: Callable[..., T], *arguments: Any) -> T:
    """What the work returns or raises; StoreUnavailable if it takes longer than ``seconds_max``: then its result is dropped."""
    answer: Deferred[Any] = Deferred()

    def settle(returned: Any) -> None:
        if not answer.called:
            answer.callback(returned)  # a Failure runs the errbacks

    def run() -> None:
        try:
            returned: Any = work(*arguments)
        except Exception:
            returned = Failure()
        reactor.callFromThread(settle, returned)

    def give_up() -> None:
        settle(Failure(StoreUnavailable(f"the ledger did not answer in {seconds_max:g} s")))

    alarm = None if seconds_max is None else reactor.callLater(seconds_max, give_up)
    Thread(target=run, name=getattr(work, "__name__", "work"), daemon=True).start()
    try:
        result: T = await answer
        return result
    finally:
        if alarm is not None and alarm.active():
            alarm.cancel()
