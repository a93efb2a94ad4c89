"""SQL ledgers for tests: empty databases with the newest schema, in SQLite or in a real PostgreSQL."""

from __future__ import annotations

import atexit
import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, Literal

import psycopg
from alembic import command
from alembic.config import Config

from scoreboard.failpoints import Failpoint, no_failpoint
from scoreboard.storage import schema
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.stores import PlayerSessions, SqlStore, migration_engine, player_sessions_opener, store_opener
from tests.storage.postgres_server import postgres

Dialect = Literal["sqlite", "postgresql"]
DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgresql")
_TEMPLATE = "ledger_template"


def fresh_url(dialect: Dialect, directory: Path) -> str:
    """The URL of a new, empty ledger. A SQLite file is made in the directory."""
    if dialect == "postgresql":
        return postgres().fresh(_postgres_template())
    path = Path(tempfile.mkdtemp(dir=directory)) / "ledger.db"
    shutil.copyfile(_sqlite_template(), path)
    return f"sqlite:///{path}"


def open_store(url: str, failpoint: Failpoint = no_failpoint) -> SqlStore:
    """The blocking parts of one ledger."""
    return store_opener(url, failpoint)()


def open_player_sessions(url: str) -> PlayerSessions:
    """The blocking parts of one player store."""
    return player_sessions_opener(url)()


def migrate_to(url: str, revision: str) -> None:
    """Make the schema of an earlier revision in an empty database."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent))
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).touch()
    engine = migration_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()


def run_sql(url: str, statement: str) -> list[Any]:
    """Run a statement without the store, as an operator in a SQL shell does; the rows that it returns."""
    if url.startswith("sqlite"):
        handle = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            return handle.execute(statement).fetchall()
        finally:
            handle.close()
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@functools.cache
def _postgres_template() -> str:
    server = postgres()
    server.copy("template1", _TEMPLATE)
    migrate(server.url(_TEMPLATE))
    return _TEMPLATE


@functools.cache
def _sqlite_template() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="scoreboard-sqlite-")
    atexit.register(directory.cleanup)
    path = Path(directory.name) / "ledger.db"
    migrate(f"sqlite:///{path}")
    return path
