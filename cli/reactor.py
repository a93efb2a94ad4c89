"""How a command waits: one coroutine on the reactor, from start to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def on_reactor(main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run to its end on the reactor (once a process). Ctrl-C or SIGTERM cancels it, lets it clean up and is KeyboardInterrupt."""
    from twisted.internet import defer, reactor  # a quarter of a second, which --help need not pay
    from twisted.python.failure import Failure

    from scoreboard.monotonic import use_monotonic_time

    clock: Any = reactor
    use_monotonic_time(clock)
    outcome: list[Any] = []
    interrupted: list[bool] = []

    def begin() -> None:
        finished = defer.ensureDeferred(main(clock)).addBoth(outcome.append)

        def shut_down() -> Any:
            if outcome:
                return None
            interrupted.append(True)
            finished.cancel()
            return finished

        clock.addSystemEventTrigger("before", "shutdown", shut_down)
        finished.addCallback(lambda _: None if interrupted else clock.stop())

    clock.callWhenRunning(begin)
    clock.run()
    if interrupted:
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: T = outcome[0]
    return result


@contextmanager
def interruptible() -> Iterator[None]:
    """While we wait for somebody's answer, Ctrl-C interrupts at once: the reactor, which minds it otherwise, stands still."""
    minder = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, minder)


async def pause(clock: Any, seconds: float) -> None:
    """Let this much time pass."""
    from twisted.internet import task

    await task.deferLater(clock, seconds)
