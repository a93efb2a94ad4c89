"""Location of the ledger in words: the setting that an operator changes, and the file or the database that it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.file_errors import why_not_written
from scoreboard.storage.redis.errors import RedisUnavailable
from scoreboard.storage.sql.sqlite.backup import TargetUnusable
from scoreboard.storage.sql.stores import LedgerUnusable, conninfo_of, sqlite_file

_FILE_SETTINGS: Final = "DATABASE_URL (or SCOREBOARD_DATA_DIR)"
_SERVER_SETTINGS: Final = "DATABASE_URL (or DB_*)"


@contextmanager
def ledger_named(url: str) -> Iterator[None]:
    """A ledger that cannot be used or reached is named: LedgerUnusable and StoreUnavailable say the setting and the place."""
    try:
        yield
    except (RedisUnavailable, TargetUnusable):  # no trouble of the ledger's
        raise
    except (LedgerUnusable, StoreUnavailable) as trouble:
        said = str(trouble)
        if "DATABASE_URL" in said:
            raise
        raise type(trouble)(f"{_named(url, said)}: {said}") from trouble


def location(url: str) -> str:
    """The file or the database that a URL names; LedgerUnusable for what is no URL of a ledger."""
    path = sqlite_file(url)
    return f"file {path}" if path is not None else _database(conninfo_of(url))


def _named(url: str, said: str) -> str:
    """The settings, and the place unless it is said already. A URL that names no place was refused before."""
    path = sqlite_file(url)
    if path is not None and str(path) in said:
        return _FILE_SETTINGS
    return f"{_SERVER_SETTINGS if path is None else _FILE_SETTINGS}, {location(url)}"


def _database(conninfo: str) -> str:
    """The database and where its server is; never the user's password."""
    given = conninfo_to_dict(conninfo)
    name = given.get("dbname") or given.get("user") or given.get("service")
    port = f" port {given['port']}" if given.get("port") else ""
    return f"database {name!r} at {given.get('host') or given.get('hostaddr') or 'localhost'}{port}"


def require_file(url: str) -> None:
    """Return unless the ledger is a SQLite file that is not there (a command in a wrong directory, say): LedgerUnusable."""
    path = sqlite_file(url)
    if path is not None and not _is_there(path):
        raise LedgerUnusable(
            f"no ledger at {path}: run it where the server runs, or set DATABASE_URL or SCOREBOARD_DATA_DIR as the server's are"
        )


def require_directory(url: str) -> None:
    """Return unless the ledger is a SQLite file whose directory is not there: LedgerUnusable."""
    path = sqlite_file(url)
    if path is not None and not _is_there(path.parent):
        raise LedgerUnusable(
            f"DATABASE_URL (or SCOREBOARD_DATA_DIR): there is no directory {path.parent} for the ledger {path.name}: "
            "make it, or correct the setting"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a directory above it that is not ours to enter
        raise LedgerUnusable(f"{_FILE_SETTINGS}: {path}: {why_not_written(error)}") from error
