"""Which SQL store a URL means: the only file that knows both dialects."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine

from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.award import AwardWriter
from scoreboard.storage.sql.commit_order import CommitOrder, PostgresCommitOrder, SqliteCommitOrder
from scoreboard.storage.sql.player_queries import PlayerQueries, PlayerWriter
from scoreboard.storage.sql.postgres import session as postgres_session
from scoreboard.storage.sql.postgres.session import FOLLOWER_SETTINGS, STATEMENT_MS_MAX, PostgresSession
from scoreboard.storage.sql.postgres.writer import PostgresAwardWriter
from scoreboard.storage.sql.probes import SqlProbe
from scoreboard.storage.sql.queries import LedgerQueries
from scoreboard.storage.sql.sqlite import writer as sqlite
from scoreboard.storage.sql.sqlite.file import SqliteFile
from scoreboard.storage.sql.sqlite.refusal import LedgerUnusable as LedgerUnusable
from scoreboard.storage.sql.sqlite.writer import SqliteAwardWriter
from scoreboard.storage.sql.thread_worker import Blocking

#: An audit may count millions of entries; nobody else waits for it.
AUDIT_STATEMENT_MS_MAX: Final = 30_000
#: A page of a rebuild, on a database that is busy with everything else.
REBUILD_STATEMENT_MS_MAX: Final = 8_000
#: A migration may rewrite a table.
MIGRATION_STATEMENT_MS_MAX: Final = 3_600_000


class ThreadedAwardWriter(AwardWriter, Blocking, Protocol):
    """The writing half of a SQL store, as a lane serves it."""


@dataclass(frozen=True, eq=False)
class SqlStore:
    """The parts of a SQL store, each for one thread: what writes, reads, reads for long, follows commits, and probes."""

    writes: ThreadedAwardWriter
    reads: LedgerQueries
    audits: LedgerQueries
    order: CommitOrder
    commit_probe: SqlProbe


def store_opener(url: str, failpoint: Failpoint = no_failpoint) -> Callable[[], SqlStore]:
    """Opens as many stores as it is called behind ``sqlite:///path`` or ``postgresql://…``, nothing connected yet.

    LedgerUnusable for any other URL. The stores of a SQLite file watch it together.
    """
    database = _database(url)
    if isinstance(database, Path):
        return partial(_sqlite_store, SqliteFile(database), failpoint)
    return partial(_postgres_store, database, failpoint)


def open_store(url: str, failpoint: Failpoint = no_failpoint) -> SqlStore:
    """One store, as ``store_opener`` opens them."""
    return store_opener(url, failpoint)()


def _sqlite_store(file: SqliteFile, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=SqliteAwardWriter(file, failpoint),
        reads=LedgerQueries(sqlite.engine(file), sqlite.interrupt, file.check),
        audits=LedgerQueries(sqlite.engine(file), sqlite.interrupt, file.check),
        order=SqliteCommitOrder(sqlite.engine(file), sqlite.interrupt, file.check),
        commit_probe=SqlProbe(sqlite.engine(file), sqlite.interrupt, file.check),
    )


def _postgres_store(database: str, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=PostgresAwardWriter(database, failpoint),
        reads=LedgerQueries(postgres_session.engine(database, STATEMENT_MS_MAX), PostgresSession.interrupt),
        audits=LedgerQueries(postgres_session.engine(database, AUDIT_STATEMENT_MS_MAX), PostgresSession.interrupt),
        order=PostgresCommitOrder(
            postgres_session.engine(database, REBUILD_STATEMENT_MS_MAX, FOLLOWER_SETTINGS), PostgresSession.interrupt
        ),
        commit_probe=SqlProbe(postgres_session.engine(database, STATEMENT_MS_MAX), PostgresSession.interrupt),
    )


@dataclass(frozen=True, eq=False)
class PlayerSessions:
    """The two halves of a SQL register, each for one thread: who reads, and who changes."""

    reads: PlayerQueries
    changes: PlayerWriter


def player_sessions_opener(url: str) -> Callable[[], PlayerSessions]:
    """As ``store_opener``, for the register beside the ledger."""
    database = _database(url)
    if isinstance(database, Path):
        return partial(_sqlite_player_sessions, SqliteFile(database))
    return partial(_postgres_player_sessions, database)


def open_player_sessions(url: str) -> PlayerSessions:
    """One register, as ``register_opener`` opens them."""
    return player_sessions_opener(url)()


def _sqlite_player_sessions(file: SqliteFile) -> PlayerSessions:
    return PlayerSessions(
        reads=PlayerQueries(sqlite.engine(file), sqlite.interrupt, file.check),
        changes=PlayerWriter(sqlite.engine(file), sqlite.interrupt, file.check),
    )


def _postgres_player_sessions(database: str) -> PlayerSessions:
    reads, changes = (postgres_session.engine(database, STATEMENT_MS_MAX) for _ in range(2))
    return PlayerSessions(
        reads=PlayerQueries(reads, PostgresSession.interrupt), changes=PlayerWriter(changes, PostgresSession.interrupt)
    )


def migration_engine(url: str) -> Engine:
    """For whoever looks at the schema or changes it."""
    database = _database(url)
    return (
        sqlite.engine(SqliteFile(database))
        if isinstance(database, Path)
        else postgres_session.engine(database, MIGRATION_STATEMENT_MS_MAX, explain=True)
    )


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names, or None when the ledger is not in a file."""
    database = _database(url)
    return database if isinstance(database, Path) else None


def conninfo_of(url: str) -> str:
    """What libpq calls a conninfo, of a URL of PostgreSQL."""
    database = _database(url)
    assert isinstance(database, str), "a SQLite file has none"
    return database


def _database(url: str) -> Path | str:
    """A SQLite file, or what libpq calls a conninfo. The URL may hold a password: it is never repeated."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path or path.startswith(":memory:"):
            raise LedgerUnusable("DATABASE_URL: a ledger in memory would not be durable: name a file, sqlite:////path/to/file")
        if "?" in path:
            raise LedgerUnusable("DATABASE_URL: a SQLite URL takes no options: leave out what begins with '?'")
        return Path(path)
    conninfo = re.sub(r"\Apostgres(ql)?(\+psycopg)?://", "postgresql://", url)
    if not conninfo.startswith("postgresql://") or not _is_conninfo(conninfo):
        if conninfo.startswith("postgresql://") and _is_conninfo(conninfo.partition("?")[0]):
            raise LedgerUnusable("DATABASE_URL: what follows '?' holds an option that PostgreSQL's client does not know")
        raise LedgerUnusable("DATABASE_URL should be like postgresql://user:password@host:5432/name or sqlite:////path/to/file")
    return conninfo


def _is_conninfo(text: str) -> bool:
    try:
        conninfo_to_dict(text)
    except psycopg.Error:
        return False
    return True
