"""Base of the stores in SQL: each kind of call has a SqlThread with a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from scoreboard.background import Counter
from scoreboard.storage.sql.thread import Reactor, SqlThread, stop_threads
from scoreboard.storage.sql.thread_worker import B

#: How long a stop waits for the calls that were made; it gives up the others.
STOP_SECONDS_MAX: Final = 2.0


class ThreadedStore:
    """The threads of a store. `start` comes before the first call, `stop` after the last."""

    def __init__(self, reactor: Reactor, name: str, meter: Counter | None) -> None:
        self._reactor, self._name, self._meter = reactor, name, meter
        self._threads: list[SqlThread[Any]] = []

    def _thread(self, kind: str, build: Callable[[], B], waiting_max: int) -> SqlThread[B]:
        """A thread for a kind of call. The threads stop in the order in which they were made."""
        sql_thread = SqlThread(self._reactor, f"{self._name} {kind}", build, waiting_max=waiting_max, meter=self._meter)
        self._threads.append(sql_thread)
        return sql_thread

    async def start(self) -> None:
        """Start the threads. Each connects at its first call."""
        for sql_thread in self._threads:
            sql_thread.start()

    async def stop(self) -> None:
        """Finish the calls that were made, close the connections and end the threads, within about 2 s."""
        await stop_threads(self._threads, STOP_SECONDS_MAX)
