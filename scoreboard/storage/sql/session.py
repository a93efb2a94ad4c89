"""SQL session: one connection for questions and changes in portable SQL, closed after any failure and opened again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from scoreboard.domain.errors import StoreUnavailable


def _no_check() -> None:
    """Nothing to look at."""


class SqlSession:
    """Blocks. One thread asks; another may ``interrupt``, which ``cut`` does as the driver can.

    ``check`` is called before a connection is used, and raises StoreUnavailable where none should be.
    """

    def __init__(self, engine: Engine, interrupt: Callable[[Any], None], check: Callable[[], None] = _no_check) -> None:
        self._engine = engine
        self._interrupt = interrupt
        self._check = check
        self._asked: Any = None
        self._interrupted = False
        # As soon as there is a connection: SQLAlchemy asks it a few things before we do.
        event.listen(engine, "connect", self._connected, insert=True)

    def probe(self) -> None:
        """As lane_worker.Blocking.probe."""
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT version_num FROM alembic_version")

    def interrupt(self) -> None:
        """Make what is running now fail soon, and keep it from committing; from another thread."""
        self._interrupted = True
        asked = self._asked
        if asked is not None:
            self._interrupt(asked)

    def close(self) -> None:
        """Let go of the database. A later question opens it again."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for questions that need no transaction. Raises StoreUnavailable."""
        with self._connection() as connection:
            settings = _local_settings(connection)
            if settings is None:
                yield connection
            else:
                connection.exec_driver_sql(f"BEGIN READ ONLY; {settings}")
                yield connection
                connection.commit()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed at the end; rolled back by whatever is raised. Raises StoreUnavailable."""
        with self._connection() as connection:
            # Our connections are in the drivers' autocommit mode. SQLite's lock is taken before anything is read. In PostgreSQL
            # what is read after a lock must hold what was committed while we waited for it, whatever the database's default is.
            sqlite = connection.dialect.name == "sqlite"
            begin = "BEGIN IMMEDIATE" if sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED"
            settings = _local_settings(connection)
            connection.exec_driver_sql(begin if settings is None else f"{begin}; {settings}")
            yield connection
            self._may_go_on()  # whoever asked was told that nothing is known to have changed: then let nothing change
            connection.commit()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            self._may_go_on()
            self._check()
            with self._engine.connect() as connection:
                self._asked = connection.connection.dbapi_connection
                self._may_go_on()
                yield connection
        except SQLAlchemyError as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(str(cause).strip().partition("\n")[0]) from error
        finally:
            self._asked = None
            self._interrupted = False  # it was meant for this call

    def _connected(self, connection: Any, _record: object) -> None:
        self._asked = connection
        self._may_go_on()

    def _may_go_on(self) -> None:
        if self._interrupted:
            raise StoreUnavailable("interrupted")


def _local_settings(connection: Connection) -> str | None:
    """What a transaction has to begin with where a pooler gives each another session (postgres_session.py)."""
    settings: str | None = getattr(connection.connection.dbapi_connection, "local_settings", None)
    return settings
