"""Harnesses for the contract tests: a ledger and a player store, in memory or in a real database."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from msgspec.structs import replace

from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from scoreboard.storage.sql.ledger import SqlLedger, open_ledger
from scoreboard.storage.sql.players import SqlPlayerStore, open_player_store
from tests.awaiting import result_of, run
from tests.pauses import within
from tests.storage.sql_stores import Dialect, fresh_url, run_sql

T = TypeVar("T")


class Harness(Protocol):
    """One ledger, one player store, and a way to wait for them."""

    @property
    def ledger(self) -> Ledger:
        """The ledger, started."""

    @property
    def player_store(self) -> PlayerStore:
        """The player store of the same database, started."""

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine; what it returns or raises."""

    def tamper(self, user_id: str, points: int) -> None:
        """Change a total without the ledger."""

    def close(self) -> None:
        """Stop both stores."""


class MemoryHarness:
    """The stores in memory."""

    def __init__(self) -> None:
        self.ledger: MemoryLedger = MemoryLedger(clock_ms=lambda: time.time_ns() // 1_000_000)
        self.player_store: MemoryPlayerStore = MemoryPlayerStore(self.ledger.achievements, self.ledger.suspended)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return result_of(coroutine)

    def tamper(self, user_id: str, points: int) -> None:
        self.ledger.standings[user_id] = replace(self.ledger.standings[user_id], points=points)

    def close(self) -> None:
        pass


class SqlHarness:
    """The stores in a new SQL database."""

    def __init__(self, dialect: Dialect, directory: Path) -> None:
        self.url = fresh_url(dialect, directory)
        self.ledger: SqlLedger = opened(self.url)
        self.player_store: SqlPlayerStore = opened_player_store(self.url)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return run(lambda: coroutine)

    def tamper(self, user_id: str, points: int) -> None:
        run_sql(self.url, f"UPDATE user_scores SET score = {points} WHERE user_id = '{user_id}'")

    def close(self) -> None:
        run(self.player_store.stop)
        run(self.ledger.stop)


def opened(url: str) -> SqlLedger:
    """A ledger on the real reactor, started."""
    from twisted.internet import reactor

    ledger = open_ledger(url, reactor)  # type: ignore[arg-type]  # the module stands for the reactor that it installs
    run(ledger.start)
    return ledger


def opened_player_store(url: str) -> SqlPlayerStore:
    """A player store on the real reactor, started."""
    from twisted.internet import reactor

    player_store = open_player_store(url, reactor)  # type: ignore[arg-type]  # the module stands for the reactor that it installs
    run(player_store.start)
    return player_store


@contextmanager
def refused_within(seconds_max: float) -> Iterator[None]:
    """Assert that the block raises StoreUnavailable in time."""
    with within(seconds_max), pytest.raises(StoreUnavailable):
        yield


def harness_of(kind: str, directory: Path) -> Harness:
    """The harness for ``kind``: "memory", "sqlite" or "postgresql". A SQLite file is made in the directory."""
    if kind == "memory":
        return MemoryHarness()
    return SqlHarness("sqlite" if kind == "sqlite" else "postgresql", directory)
