"""Servers on stores with a fault that a test begins and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scoreboard.storage.schema import migrate
from tests.journeys.server import ServerProcess
from tests.storage.postgres_proxy import PostgresProxy, Quiet, postgres_proxy
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import run_sql

#: The faults of a store that a test can begin and end.
FAULTS = (
    "PostgreSQL is stopped",
    "PostgreSQL swallows everything",
    "PostgreSQL swallows all after the login",
    "PostgreSQL never gets the commit",
    "PostgreSQL never answers the commit",
    "Redis is stopped",
    "SQLite is locked",
)
_OFTEN = {"RATE_LIMIT_INITIALIZE_MAX": "1000000"}
_QUIET: dict[str, Quiet] = {
    "PostgreSQL swallows everything": "all",
    "PostgreSQL swallows all after the login": "after login",
    "PostgreSQL never gets the commit": "commit lost",
    "PostgreSQL never answers the commit": "commit unanswered",
}


@dataclass(frozen=True)
class Store:
    """A server, the direct URL of its ledger, and functions that begin and end the fault."""

    server: ServerProcess
    database_url: str
    begin: Callable[[], None]
    end: Callable[[], None]

    def awarded(self) -> set[str]:
        """The ids of all awarded actions."""
        return {str(action_id) for (action_id,) in run_sql(self.database_url, "SELECT action_id FROM score_transactions")}


@contextlib.contextmanager
def store_with(fault: str, postgres: PostgresServer, new_server: Callable[..., ServerProcess]) -> Iterator[Store]:
    """A running server on its own store, which has no fault yet. The fault ends with the block at the latest."""
    with contextlib.ExitStack() as stack:
        if fault.startswith("PostgreSQL"):
            url = postgres.fresh()
            migrate(url)
            proxy = stack.enter_context(postgres_proxy(postgres.directory))
            server = new_server(**_OFTEN, DATABASE_URL=url if fault == "PostgreSQL is stopped" else proxy.url(url)).start()
            begin, end = _postgres_fault(fault, postgres, proxy)
        else:
            server = new_server(**_OFTEN).start()
            url = f"sqlite:///{server.data_dir}/ledger.db"
            begin, end = _redis_fault(server) if fault == "Redis is stopped" else _sqlite_fault(server.data_dir / "ledger.db")
        stack.callback(end)
        yield Store(server, url, begin, end)


def _postgres_fault(fault: str, postgres: PostgresServer, proxy: PostgresProxy) -> tuple[Callable[[], None], Callable[[], None]]:
    if fault == "PostgreSQL is stopped":
        return lambda: postgres.signal(signal.SIGSTOP), lambda: postgres.signal(signal.SIGCONT)

    def begin() -> None:
        proxy.quiet = _QUIET[fault]
        if fault == "PostgreSQL swallows all after the login":  # the fault needs new connections
            run_sql(
                postgres.url(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scoreboard'"
            )

    def end() -> None:
        proxy.quiet = ""

    return begin, end


def _redis_fault(server: ServerProcess) -> tuple[Callable[[], None], Callable[[], None]]:
    assert server.process is not None
    pid = server.process.pid
    (child,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)

    return lambda: os.kill(child, signal.SIGSTOP), end


def _sqlite_fault(path: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def begin() -> None:
        until_s = time.monotonic() + 30
        while True:  # the players' batches hold the lock most of the time, and SQLite has no queue
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("BEGIN EXCLUSIVE")
                return
            assert time.monotonic() < until_s, "SQLite gave no lock"

    return begin, other.close
