"""Which SQL store a URL means: the only file that knows both dialects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine

from scoreboard.boundaries import Failpoint, no_failpoint
from scoreboard.storage import postgres, sqlite
from scoreboard.storage.probes import Probe, SqlProbe
from scoreboard.storage.reading import Reads
from scoreboard.storage.register_rows import RegisterChanges, RegisterReads
from scoreboard.storage.writing import Writes

#: An audit may count millions of entries; nobody else waits for it.
AUDIT_STATEMENT_MS_MAX: Final = 30_000
#: A migration may rewrite a table.
MIGRATION_STATEMENT_MS_MAX: Final = 3_600_000


class LedgerUnusable(Exception):
    """The ledger can be reached and is not one that this program can use: a message for the operator, in one line."""


@dataclass(frozen=True, eq=False)
class SqlStore:
    """The parts of a SQL store, each for one thread: who writes, who reads, who may read for long, and who probes."""

    writes: Writes
    reads: Reads
    audits: Reads
    probe: Probe


def open_store(url: str, failpoint: Failpoint = no_failpoint) -> SqlStore:
    """The store behind ``sqlite:///path`` or ``postgresql://…``, nothing connected yet; LedgerUnusable for any other URL."""
    place = _place(url)
    if isinstance(place, Path):
        return SqlStore(
            writes=sqlite.SqliteWrites(place, failpoint),
            reads=Reads(sqlite.engine(place), sqlite.cut),
            audits=Reads(sqlite.engine(place), sqlite.cut),
            probe=SqlProbe(sqlite.engine(place), sqlite.cut),
        )
    return SqlStore(
        writes=postgres.PostgresWrites(place, failpoint),
        reads=Reads(postgres.engine(place, postgres.STATEMENT_MS_MAX), postgres.cut),
        audits=Reads(postgres.engine(place, AUDIT_STATEMENT_MS_MAX), postgres.cut),
        probe=SqlProbe(postgres.engine(place, postgres.STATEMENT_MS_MAX), postgres.cut),
    )


@dataclass(frozen=True, eq=False)
class RegisterStore:
    """The two halves of a SQL register, each for one thread: who reads, and who changes."""

    reads: RegisterReads
    changes: RegisterChanges


def open_register_store(url: str) -> RegisterStore:
    """The register beside the ledger of a URL, nothing connected yet; LedgerUnusable for what is no URL of a ledger."""
    place = _place(url)
    if isinstance(place, Path):
        return RegisterStore(
            reads=RegisterReads(sqlite.engine(place), sqlite.cut), changes=RegisterChanges(sqlite.engine(place), sqlite.cut)
        )
    reads, changes = (postgres.engine(place, postgres.STATEMENT_MS_MAX) for _ in range(2))
    return RegisterStore(reads=RegisterReads(reads, postgres.cut), changes=RegisterChanges(changes, postgres.cut))


def migration_engine(url: str) -> Engine:
    """For whoever looks at the schema or changes it."""
    place = _place(url)
    return sqlite.engine(place) if isinstance(place, Path) else postgres.engine(place, MIGRATION_STATEMENT_MS_MAX)


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names, or None when the ledger is not in a file."""
    place = _place(url)
    return place if isinstance(place, Path) else None


def _place(url: str) -> Path | str:
    """A SQLite file, or what libpq calls a conninfo. The URL may hold a password: it is never repeated."""
    if url.startswith("sqlite:///"):
        path = url.removeprefix("sqlite:///")
        if not path or path.startswith(":memory:"):
            raise LedgerUnusable("a ledger in memory would not be durable: name a file, sqlite:////path/to/file")
        return Path(path)
    conninfo = re.sub(r"\Apostgres(ql)?(\+psycopg)?://", "postgresql://", url)
    try:
        conninfo_to_dict(conninfo)
    except psycopg.Error:
        conninfo = ""
    if not conninfo.startswith("postgresql://"):
        raise LedgerUnusable(
            "the ledger's URL should be like postgresql://user:password@host:5432/name or sqlite:////path/to/file"
        )
    return conninfo
