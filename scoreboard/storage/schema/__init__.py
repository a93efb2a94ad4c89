"""The ledger's schema and its history: Alembic revisions, run by the program itself.

Everything here blocks, and is called before the reactor runs or by the CLI. Revisions run in one transaction behind a lock, so
two servers that start at once are safe and a failed upgrade leaves what was there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.sqlite.refusal import refusal
from scoreboard.storage.sql.stores import LedgerUnusable, migration_engine, sqlite_file

#: Any number, as long as every release takes the same.
_ADVISORY_LOCK: Final = 7_236_001
#: Another server's upgrade of a PostgreSQL ledger may take so long.
_LOCK_SECONDS_MAX: Final = 60
#: A start waits so long for whoever holds a SQLite ledger; the service manager tries again.
_FILE_LOCK_SECONDS_MAX: Final = 5


def migrate(url: str) -> str:
    """Bring the schema to its newest revision, which is returned; a SQLite file is made if need be, for its owner's eyes only.

    Raises LedgerUnusable (a newer schema, not a ledger, no permission) or StoreUnavailable.
    """
    path = sqlite_file(url)
    config, head = _config()
    with _explained(url):
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        with _connected(url) as connection, connection.begin():
            _lock(connection)
            _refuse_newer(connection, config)
            _refuse_foreign_tongues(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return head


def schema_status(url: str) -> tuple[str | None, str]:
    """(the revision that the ledger has, None if it is empty or not there yet, and the newest there is)."""
    path = sqlite_file(url)
    _, head = _config()
    if path is not None and not path.exists():
        return None, head
    with _explained(url), _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


def require_schema(url: str) -> None:
    """Return if the ledger has the schema that this program was written for; raise LedgerUnusable if not."""
    config, head = _config()
    with _explained(url), _connected(url) as connection:
        _refuse_newer(connection, config)
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head:
        raise LedgerUnusable(
            f"the ledger's schema is {current or 'missing'}, this program needs {head}: run `scoreboard db upgrade`"
        )


def _config() -> tuple[Config, str]:
    config = Config()
    # Alembic's configuration interpolates.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None, "there is at least one revision"
    return config, head


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _lock(connection: Connection) -> None:
    """Begin the transaction in which everything happens, alone."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {1_000 * _FILE_LOCK_SECONDS_MAX}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("BEGIN")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS_MAX}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def _refuse_newer(connection: Connection, config: Config) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    newer = set(MigrationContext.configure(connection).get_current_heads()) - known
    if newer:
        raise LedgerUnusable(f"the ledger's schema {', '.join(sorted(newer))} was made by a newer release of this program")


def _refuse_foreign_tongues(connection: Connection) -> None:
    """Names come in every script; a database that cannot hold one would fail everyone in its batch."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding not in ("UTF8", "SQL_ASCII"):
            raise LedgerUnusable(f"the database is encoded in {encoding}; make it with ENCODING 'UTF8'")


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Driver errors to the two things an operator can do: wait for the store, or mend what is there."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        path = sqlite_file(url)
        if path is not None and isinstance(cause, OSError | sqlite3.Error):
            raise refusal(cause, path) from error
        said = str(cause).strip().partition("\n")[0]
        if isinstance(cause, psycopg.OperationalError):
            raise StoreUnavailable(f"the ledger cannot be reached: {said}") from error
        raise LedgerUnusable(f"this is not a ledger that can be used: {said}") from error
