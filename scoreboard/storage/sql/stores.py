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

from scoreboard.boundaries import Failpoint, no_failpoint
from scoreboard.storage.sql.award import Writes
from scoreboard.storage.sql.commit_order import CommitOrder, PostgresCommitOrder, SqliteCommitOrder
from scoreboard.storage.sql.player_queries import RegisterChanges, RegisterReads
from scoreboard.storage.sql.postgres import session as postgres_session
from scoreboard.storage.sql.postgres.session import FOLLOWER_SETTINGS, STATEMENT_MS_MAX, PostgresSession
from scoreboard.storage.sql.postgres.writer import PostgresWrites
from scoreboard.storage.sql.probes import SqlProbe
from scoreboard.storage.sql.queries import Reads
from scoreboard.storage.sql.sqlite import writer as sqlite
from scoreboard.storage.sql.sqlite.file import SqliteFile
from scoreboard.storage.sql.sqlite.refusal import LedgerUnusable as LedgerUnusable
from scoreboard.storage.sql.sqlite.writer import SqliteWrites
from scoreboard.storage.sql.thread_worker import Blocking

#: An audit may count millions of entries; nobody else waits for it.
AUDIT_STATEMENT_MS_MAX: Final = 30_000
#: A page of a rebuild, on a database that is busy with everything else.
REBUILD_STATEMENT_MS_MAX: Final = 8_000
#: A migration may rewrite a table.
MIGRATION_STATEMENT_MS_MAX: Final = 3_600_000


class LaneWrites(Writes, Blocking, Protocol):
    """The writing half of a SQL store, as a lane serves it."""


@dataclass(frozen=True, eq=False)
class SqlStore:
    """The parts of a SQL store, each for one thread: what writes, reads, reads for long, follows commits, and probes."""

    writes: LaneWrites
    reads: Reads
    audits: Reads
    order: CommitOrder
    commit_probe: SqlProbe


def store_opener(url: str, failpoint: Failpoint = no_failpoint) -> Callable[[], SqlStore]:
    """Opens as many stores as it is called behind ``sqlite:///path`` or ``postgresql://…``, nothing connected yet.

    LedgerUnusable for any other URL. The stores of a SQLite file watch it together.
    """
    place = _place(url)
    if isinstance(place, Path):
        return partial(_sqlite_store, SqliteFile(place), failpoint)
    return partial(_postgres_store, place, failpoint)


def open_store(url: str, failpoint: Failpoint = no_failpoint) -> SqlStore:
    """One store, as ``store_opener`` opens them."""
    return store_opener(url, failpoint)()


def _sqlite_store(file: SqliteFile, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=SqliteWrites(file, failpoint),
        reads=Reads(sqlite.engine(file), sqlite.cut, file.check),
        audits=Reads(sqlite.engine(file), sqlite.cut, file.check),
        order=SqliteCommitOrder(sqlite.engine(file), sqlite.cut, file.check),
        commit_probe=SqlProbe(sqlite.engine(file), sqlite.cut, file.check),
    )


def _postgres_store(place: str, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=PostgresWrites(place, failpoint),
        reads=Reads(postgres_session.engine(place, STATEMENT_MS_MAX), PostgresSession.cut),
        audits=Reads(postgres_session.engine(place, AUDIT_STATEMENT_MS_MAX), PostgresSession.cut),
        order=PostgresCommitOrder(
            postgres_session.engine(place, REBUILD_STATEMENT_MS_MAX, FOLLOWER_SETTINGS), PostgresSession.cut
        ),
        commit_probe=SqlProbe(postgres_session.engine(place, STATEMENT_MS_MAX), PostgresSession.cut),
    )


@dataclass(frozen=True, eq=False)
class RegisterStore:
    """The two halves of a SQL register, each for one thread: who reads, and who changes."""

    reads: RegisterReads
    changes: RegisterChanges


def register_opener(url: str) -> Callable[[], RegisterStore]:
    """As ``store_opener``, for the register beside the ledger."""
    place = _place(url)
    if isinstance(place, Path):
        return partial(_sqlite_register, SqliteFile(place))
    return partial(_postgres_register, place)


def open_register_store(url: str) -> RegisterStore:
    """One register, as ``register_opener`` opens them."""
    return register_opener(url)()


def _sqlite_register(file: SqliteFile) -> RegisterStore:
    return RegisterStore(
        reads=RegisterReads(sqlite.engine(file), sqlite.cut, file.check),
        changes=RegisterChanges(sqlite.engine(file), sqlite.cut, file.check),
    )


def _postgres_register(place: str) -> RegisterStore:
    reads, changes = (postgres_session.engine(place, STATEMENT_MS_MAX) for _ in range(2))
    return RegisterStore(reads=RegisterReads(reads, PostgresSession.cut), changes=RegisterChanges(changes, PostgresSession.cut))


def migration_engine(url: str) -> Engine:
    """For whoever looks at the schema or changes it."""
    place = _place(url)
    return (
        sqlite.engine(SqliteFile(place))
        if isinstance(place, Path)
        else postgres_session.engine(place, MIGRATION_STATEMENT_MS_MAX, explain=True)
    )


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names, or None when the ledger is not in a file."""
    place = _place(url)
    return place if isinstance(place, Path) else None


def conninfo_of(url: str) -> str:
    """What libpq calls a conninfo, of a URL of PostgreSQL."""
    place = _place(url)
    assert isinstance(place, str), "a SQLite file has none"
    return place


def _place(url: str) -> Path | str:
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
