"""Schema migrations of the ledger: Alembic revisions, which the program itself runs.

All functions block; the server calls them in a thread before it uses the ledger, and the CLI calls them too. Revisions run in one
transaction under a lock: two servers that start at once are safe, and an upgrade that fails changes nothing.
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
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.sqlite.refusal import refusal
from scoreboard.storage.sql.stores import migration_engine
from scoreboard.storage.sql.urls import require_regular, require_writable, sqlite_file

#: An arbitrary number. Every release uses this number.
_ADVISORY_LOCK: Final = 7_236_001
#: How long a start waits for another server's upgrade of a PostgreSQL ledger.
_LOCK_SECONDS_MAX: Final = 60
#: How long a start waits for another process's lock on a SQLite ledger; then the service manager tries again.
_FILE_LOCK_SECONDS_MAX: Final = 5


def migrate(url: str) -> str:
    """Bring the schema to its newest revision, which is returned. A SQLite file that does not exist is made for its owner only.

    Raises LedgerUnusable (a newer schema, no ledger, no permission) or StoreUnavailable.
    """
    path = sqlite_file(url)
    config, head = _config()
    with _explained(url):
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():  # a changed time of a ledger in use would look like another program's write to its server
                path.touch(mode=0o600)
            require_writable(url)
        with _connected(url) as connection, connection.begin():
            _lock(connection)
            _refuse_newer(connection, config)
            _refuse_foreign_tables(connection, path)
            _refuse_narrow_encoding(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return head


def schema_status(url: str) -> tuple[str | None, str]:
    """(the ledger's revision, None if it is empty or does not exist; the newest revision). Raises as `migrate` does."""
    path = sqlite_file(url)
    _, head = _config()
    if path is not None and not path.exists():
        return None, head
    with _explained(url), _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision(), head


def require_schema(url: str, *, older_allowed: bool = False) -> None:
    """Raise LedgerUnusable unless the ledger has the schema that this program needs, or with ``older_allowed`` an older one."""
    config, head = _config()
    with _explained(url), _connected(url) as connection:
        _refuse_newer(connection, config)
        _refuse_foreign_tables(connection, sqlite_file(url))
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head and not older_allowed:
        raise LedgerUnusable(
            f"the ledger's schema is {current or 'missing'}, this program needs {head}: run `scoreboard db upgrade`"
        )


def _config() -> tuple[Config, str]:
    config = Config()
    # Alembic's configuration interpolates %.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None, "there is at least one revision"
    return config, head


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    require_regular(url)
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _lock(connection: Connection) -> None:
    """Begin the transaction of the upgrade, under the lock that lets one upgrade run at a time."""
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


def _refuse_foreign_tables(connection: Connection, path: Path | None) -> None:
    """A SQLite file with tables and without a revision is another program's. A PostgreSQL database may hold both."""
    if path is not None and MigrationContext.configure(connection).get_current_revision() is None:
        # Litestream, which copies a ledger, makes its tables before ours.
        names = [
            name for name in inspect(connection).get_table_names() if not name.startswith(("alembic_version", "_litestream"))
        ]
        if names:
            raise refusal(sqlite3.DatabaseError(f"it holds the table {min(names)} of another program"), path)


def _refuse_narrow_encoding(connection: Connection) -> None:
    """A database that cannot store a name's script would fail the whole batch of that name."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding not in ("UTF8", "SQL_ASCII"):
            raise LedgerUnusable(f"the database is encoded in {encoding}; make it with ENCODING 'UTF8'")


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn an error of a driver into StoreUnavailable (it may pass) or LedgerUnusable (an operator has to mend it)."""
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
