"""URLs of the ledger: which file or database a URL names, and how messages for an operator name it.

A URL may hold a password, so no message repeats it: messages name the setting, and the file or the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.file_errors import why_not_written
from scoreboard.storage.redis.errors import RedisUnavailable
from scoreboard.storage.sql.errors import LedgerUnusable, TargetUnusable

_FILE_SETTINGS: Final = "DATABASE_URL (or SCOREBOARD_DATA_DIR)"
_SERVER_SETTINGS: Final = "DATABASE_URL (or DB_*)"


def parse(url: str) -> Path | str:
    """The SQLite file that a URL names, or the libpq conninfo of a database. Raises LedgerUnusable for any other URL."""
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


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names; None for a ledger in PostgreSQL. Raises LedgerUnusable for any other URL."""
    database = parse(url)
    return database if isinstance(database, Path) else None


def location(url: str) -> str:
    """The file or the database that a URL names, in words and without a password. Raises LedgerUnusable for any other URL."""
    database = parse(url)
    if isinstance(database, Path):
        return f"file {database}"
    given = conninfo_to_dict(database)
    name = given.get("dbname") or given.get("user") or given.get("service")
    port = f" port {given['port']}" if given.get("port") else ""
    return f"database {name!r} at {given.get('host') or given.get('hostaddr') or 'localhost'}{port}"


@contextmanager
def ledger_named(url: str) -> Iterator[None]:
    """LedgerUnusable and StoreUnavailable that are raised inside name the setting, and the file or the database."""
    try:
        yield
    except (RedisUnavailable, TargetUnusable):  # the ledger is not the cause
        raise
    except (LedgerUnusable, StoreUnavailable) as trouble:
        said = str(trouble)
        if "DATABASE_URL" in said:
            raise
        raise type(trouble)(f"{_named(url, said)}: {said}") from trouble


def _named(url: str, said: str) -> str:
    """The settings, and the file or the database unless the message names it."""
    path = sqlite_file(url)
    if path is not None and str(path) in said:
        return _FILE_SETTINGS
    return f"{_SERVER_SETTINGS if path is None else _FILE_SETTINGS}, {location(url)}"


def require_file(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file that does not exist: the command may run in a wrong directory."""
    path = sqlite_file(url)
    if path is not None and not _exists(path):
        raise LedgerUnusable(
            f"no ledger at {path}: run it where the server runs, or set DATABASE_URL or SCOREBOARD_DATA_DIR as the server's are"
        )


def require_directory(url: str) -> None:
    """Raise LedgerUnusable if the ledger is a SQLite file whose directory does not exist."""
    path = sqlite_file(url)
    if path is not None and not _exists(path.parent):
        raise LedgerUnusable(
            f"DATABASE_URL (or SCOREBOARD_DATA_DIR): there is no directory {path.parent} for the ledger {path.name}: "
            "make it, or correct the setting"
        )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # we may not enter a directory above it
        raise LedgerUnusable(f"{_FILE_SETTINGS}: {path}: {why_not_written(error)}") from error
