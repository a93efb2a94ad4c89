"""Where the contracts of ledger and register are tried: a house keeps one of each, however it keeps them."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from scoreboard.storage.sql.ledger import SqlLedger, open_ledger
from scoreboard.storage.sql.players import SqlPlayerStore, open_player_store
from tests.awaiting import result_of, run
from tests.storage.sql_stores import Dialect, fresh_url, run_sql

T = TypeVar("T")


class Harness(Protocol):
    """One ledger, one register, and how to wait for them."""

    @property
    def ledger(self) -> Ledger:
        """The ledger itself, started."""

    @property
    def player_store(self) -> PlayerStore:
        """The register beside it, started."""

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises."""

    def tamper(self, user_id: str, points: int) -> None:
        """Change a total behind the ledger's back."""

    def close(self) -> None:
        """Leave."""


class MemoryHarness:
    """The twins."""

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
    """A real database, fresh."""

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
    """A register on the real reactor, started."""
    from twisted.internet import reactor

    player_store = open_player_store(url, reactor)  # type: ignore[arg-type]  # the module stands for the reactor that it installs
    run(player_store.start)
    return player_store


def harness_of(kind: str, directory: Path) -> Harness:
    """memory, sqlite or postgresql."""
    if kind == "memory":
        return MemoryHarness()
    return SqlHarness("sqlite" if kind == "sqlite" else "postgresql", directory)
