"""The Twisted reactor for one command: it runs one coroutine from start to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def run_on_reactor(main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on the reactor, once a process. Ctrl-C or SIGTERM cancels it; KeyboardInterrupt after its cleanup."""
    from twisted.internet import defer, reactor  # importing it takes 0.25 s, which --help does not need
    from twisted.python.failure import Failure

    from scoreboard.monotonic import use_monotonic_time

    clock: Any = reactor
    use_monotonic_time(clock)
    results: list[Any] = []
    interrupted: list[bool] = []

    def start() -> None:
        finished = defer.ensureDeferred(main(clock)).addBoth(results.append)

        def shut_down() -> Any:
            if results:
                return None
            interrupted.append(True)
            finished.cancel()
            return finished

        clock.addSystemEventTrigger("before", "shutdown", shut_down)
        finished.addCallback(lambda _: None if interrupted else clock.stop())

    clock.callWhenRunning(start)
    clock.run()
    if interrupted:
        raise KeyboardInterrupt
    if isinstance(results[0], Failure):
        results[0].raiseException()
    result: T = results[0]
    return result


@contextmanager
def default_sigint() -> Iterator[None]:
    """Let Ctrl-C interrupt a blocking read at once: the reactor's own handler would run only after the read."""
    reactors_handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, reactors_handler)


async def sleep(clock: Any, seconds: float) -> None:
    """Wait without blocking the reactor."""
    from twisted.internet import task

    await task.deferLater(clock, seconds)
