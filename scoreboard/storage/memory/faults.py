"""The door of a store's twin in memory: it can be told to break or to wait, which the real ones do by themselves."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from scoreboard.domain.errors import StoreUnavailable


class FaultInjection:
    """While ``broken`` is set every call raises it, and nothing happens. Between ``pause`` and ``resume`` every call waits."""

    def __init__(self) -> None:
        self.broken: StoreUnavailable | None = None
        self._waiting: list[Deferred[None]] | None = None

    def pause(self) -> None:
        """From now on every call waits."""
        self._waiting = []

    def resume(self) -> None:
        """Let everyone go on, in the order of their coming."""
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.callback(None)

    async def _wait_or_fail(self) -> None:
        if self._waiting is not None:
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter
        if self.broken is not None:
            raise self.broken
