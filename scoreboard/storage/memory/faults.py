"""Fault injection: a store in memory can be made to fail or to wait, as real stores do."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from scoreboard.domain.errors import StoreUnavailable


class FaultInjection:
    """While ``broken`` is set, every call raises it and does nothing else. Between ``pause`` and ``resume`` every call waits."""

    def __init__(self) -> None:
        self.broken: StoreUnavailable | None = None
        self._waiting: list[Deferred[None]] | None = None

    def pause(self) -> None:
        """Let every call wait from now on."""
        self._waiting = []

    def resume(self) -> None:
        """Let the calls that wait continue, in the order in which they came."""
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.callback(None)

    async def wait_or_fail(self) -> None:
        """Each call of the store begins with this."""
        if self._waiting is not None:
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter
        if self.broken is not None:
            raise self.broken
