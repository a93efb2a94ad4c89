"""One blocking call in a daemon thread: the end of the process does not wait for it, as it does for the reactor's own threads."""

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
    """What the work returns or raises; StoreUnavailable if it takes longer, and then its outcome is of no interest."""
    answer: Deferred[Any] = Deferred()

    def tell(returned: Any) -> None:
        if not answer.called:
            answer.callback(returned)  # a Failure goes down the errback's way

    def make() -> None:
        try:
            returned: Any = work(*arguments)
        except Exception:
            returned = Failure()
        reactor.callFromThread(tell, returned)

    def give_up() -> None:
        tell(Failure(StoreUnavailable(f"the ledger did not answer in {seconds_max:g} s")))

    alarm = None if seconds_max is None else reactor.callLater(seconds_max, give_up)
    Thread(target=make, name=getattr(work, "__name__", "work"), daemon=True).start()
    try:
        result: T = await answer
        return result
    finally:
        if alarm is not None and alarm.active():
            alarm.cancel()
