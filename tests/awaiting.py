"""How tests get the result of a coroutine: at once if it needs no time, or on the real reactor if it uses real stores."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.python.failure import Failure

T = TypeVar("T")


def result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result (or exception) of a coroutine that must end without a wait."""
    settled: list[Any] = []
    defer.ensureDeferred(coroutine).addBoth(settled.append)
    assert settled, "the coroutine still waits, but must need no time"
    if isinstance(settled[0], Failure):
        settled[0].raiseException()
    result: T = settled[0]
    return result


def started(coroutine: Coroutine[Any, Any, T]) -> defer.Deferred[T]:
    """Start the coroutine; the Deferred fires with its result."""
    return defer.ensureDeferred(coroutine)


def run(main: Callable[[], Coroutine[Any, Any, T]], seconds_max: float = 30.0) -> T:
    """Run a coroutine to its end on the real reactor. The reactor is crashed, not stopped, so that the next test can use it."""
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
