"""How tests wait: at once for what needs no time, on a real reactor for what talks to real stores."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.python.failure import Failure

T = TypeVar("T")


def result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns (or raises), which must be known without waiting."""
    settled: list[Any] = []
    defer.ensureDeferred(coroutine).addBoth(settled.append)
    assert settled, "still waiting: this test was to take no time"
    if isinstance(settled[0], Failure):
        settled[0].raiseException()
    result: T = settled[0]
    return result


def started(coroutine: Coroutine[Any, Any, T]) -> defer.Deferred[T]:
    """The coroutine, begun; its result comes later."""
    return defer.ensureDeferred(coroutine)


def run(main: Callable[[], Coroutine[Any, Any, T]], seconds_max: float = 30.0) -> T:
    """Run a coroutine to its end on the real reactor, which is crashed (not stopped) so that the next test can use it again."""
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor
    settled: list[Any] = []

    def finished(result: Any) -> None:
        settled.append(result)
        reactor.crash()

    def start() -> None:
        d = defer.ensureDeferred(main())
        d.addTimeout(seconds_max, reactor)
        d.addBoth(finished)

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    if isinstance(settled[0], Failure):
        settled[0].raiseException()
    result: T = settled[0]
    return result
