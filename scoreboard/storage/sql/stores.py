"""Factory of the SQL stores: it chooses the implementation for a URL. No other file chooses between the dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Engine

from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage.sql.award import AwardWriter
from scoreboard.storage.sql.board_keeper import BoardKeeper, PostgresBoardKeeper, SqliteBoardKeeper
from scoreboard.storage.sql.commit_order import CommitOrder, PostgresCommitOrder, SqliteCommitOrder
from scoreboard.storage.sql.player_queries import PlayerQueries, PlayerWriter
from scoreboard.storage.sql.postgres import session as postgres
from scoreboard.storage.sql.postgres.session import FOLLOWER_SETTINGS, STATEMENT_MS_MAX, PostgresSession
from scoreboard.storage.sql.postgres.writer import PostgresAwardWriter
from scoreboard.storage.sql.probes import SqlProbe
from scoreboard.storage.sql.queries import LedgerQueries
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.sqlite import writer as sqlite
from scoreboard.storage.sql.sqlite.file import SqliteFile
from scoreboard.storage.sql.sqlite.writer import SqliteAwardWriter
from scoreboard.storage.sql.urls import parse

#: An audit may count millions of entries. It delays no other call.
AUDIT_STATEMENT_MS_MAX: Final = 30_000
#: A page of a rebuild, on a database that is busy with everything else.
REBUILD_STATEMENT_MS_MAX: Final = 8_000
#: A migration may rewrite a table.
MIGRATION_STATEMENT_MS_MAX: Final = 3_600_000

S = TypeVar("S", bound=SqlSession)


@dataclass(frozen=True, eq=False)
class SqlStore:
    """The blocking parts of a ledger. Each is used by one thread."""

    writes: AwardWriter
    reads: LedgerQueries
    audits: LedgerQueries
    order: CommitOrder
    keeper: BoardKeeper
    commit_probe: SqlProbe


@dataclass(frozen=True, eq=False)
class PlayerSessions:
    """The blocking parts of a player store. Each is used by one thread."""

    reads: PlayerQueries
    changes: PlayerWriter


def store_opener(url: str, failpoint: Failpoint = no_failpoint) -> Callable[[], SqlStore]:
    """A function that makes a store for this URL, which connects at its first use. The stores of a SQLite file share one watch.

    Raises LedgerUnusable if the URL is not like ``sqlite:///path`` or ``postgresql://…``.
    """
    database = parse(url)
    if isinstance(database, Path):
        return partial(_sqlite_store, SqliteFile(database), failpoint)
    return partial(_postgres_store, database, failpoint)


def player_sessions_opener(url: str) -> Callable[[], PlayerSessions]:
    """As ``store_opener``, for the player store in the same database."""
    database = parse(url)
    if isinstance(database, Path):
        file = SqliteFile(database)
        return lambda: PlayerSessions(reads=_on_sqlite(PlayerQueries, file), changes=_on_sqlite(PlayerWriter, file))
    return lambda: PlayerSessions(reads=_on_postgres(PlayerQueries, database), changes=_on_postgres(PlayerWriter, database))


def migration_engine(url: str) -> Engine:
    """The engine with which the schema is read and changed."""
    database = parse(url)
    if isinstance(database, Path):
        return sqlite.engine(SqliteFile(database))
    return postgres.engine(database, MIGRATION_STATEMENT_MS_MAX, explain=True)


def _sqlite_store(file: SqliteFile, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=SqliteAwardWriter(file, failpoint),
        reads=_on_sqlite(LedgerQueries, file),
        audits=_on_sqlite(LedgerQueries, file),
        order=_on_sqlite(SqliteCommitOrder, file),
        keeper=_on_sqlite(SqliteBoardKeeper, file),
        commit_probe=_on_sqlite(SqlProbe, file),
    )


def _postgres_store(conninfo: str, failpoint: Failpoint) -> SqlStore:
    return SqlStore(
        writes=PostgresAwardWriter(conninfo, failpoint),
        reads=_on_postgres(LedgerQueries, conninfo),
        audits=_on_postgres(LedgerQueries, conninfo, AUDIT_STATEMENT_MS_MAX),
        order=_on_postgres(PostgresCommitOrder, conninfo, REBUILD_STATEMENT_MS_MAX, FOLLOWER_SETTINGS),
        keeper=_on_postgres(PostgresBoardKeeper, conninfo, REBUILD_STATEMENT_MS_MAX),
        # The probe's reason is the one that is logged.
        commit_probe=_on_postgres(SqlProbe, conninfo, explain=True),
    )


def _on_sqlite(session: type[S], file: SqliteFile) -> S:
    return session(sqlite.engine(file), sqlite.interrupt, file.check)


def _on_postgres(
    session: type[S],
    conninfo: str,
    statement_ms_max: int = STATEMENT_MS_MAX,
    settings: Mapping[str, str] | None = None,
    *,
    explain: bool = False,
) -> S:
    return session(postgres.engine(conninfo, statement_ms_max, settings, explain=explain), PostgresSession.interrupt)
