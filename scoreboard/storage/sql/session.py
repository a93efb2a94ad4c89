"""SQL session: one SQLAlchemy connection for reads and changes in portable SQL, closed after any failure and opened again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.sql.interruptible import Interruptible


class SqlSession(Interruptible):
    """A session on an engine that has one connection.

    ``interrupt_driver`` ends what runs on a connection of the driver, from another thread. ``check`` is called before each use
    of the connection and raises StoreUnavailable where it must not be used.
    """

    def __init__(self, engine: Engine, interrupt_driver: Callable[[Any], None], check: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._interrupt_driver = interrupt_driver
        self._check = check
        self._in_use: Any = None
        # SQLAlchemy runs some statements on a new connection before it returns it: an interruption must end those too.
        event.listen(engine, "connect", self._connected, insert=True)

    @override
    def probe(self) -> None:
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT version_num FROM alembic_version")

    @override
    def interrupt(self) -> None:
        self._interrupted = True
        in_use = self._in_use
        if in_use is not None:
            self._interrupt_driver(in_use)

    @override
    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reads that need no transaction. Raises StoreUnavailable."""
        with self._connection() as connection:
            settings = _local_settings(connection)
            if settings is None:
                yield connection
            else:
                connection.exec_driver_sql(f"BEGIN READ ONLY; {settings}")
                yield connection
                connection.commit()

    def rows(self, asked: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """All rows of a query. Raises StoreUnavailable."""
        with self.reading() as connection:
            return connection.execute(asked, parameters).all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end and rolled back by any error. Raises StoreUnavailable."""
        with self._connection() as connection:
            # Our connections are in the drivers' autocommit mode. SQLite's lock is taken before anything is read. In PostgreSQL
            # a read after a lock must see what was committed during the wait, whatever the database's default isolation is.
            sqlite = connection.dialect.name == "sqlite"
            begin = "BEGIN IMMEDIATE" if sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED"
            settings = _local_settings(connection)
            connection.exec_driver_sql(begin if settings is None else f"{begin}; {settings}")
            yield connection
            self._require_not_interrupted()
            connection.commit()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            self._require_not_interrupted()
            self._check()
            with self._engine.connect() as connection:
                self._in_use = connection.connection.dbapi_connection
                self._require_not_interrupted()
                yield connection
        except SQLAlchemyError as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(str(cause).strip().partition("\n")[0]) from error
        finally:
            self._in_use = None
            self._interrupted = False  # the interruption was meant for this call

    def _connected(self, connection: Any, _record: object) -> None:
        self._in_use = connection
        self._require_not_interrupted()


def _local_settings(connection: Connection) -> str | None:
    """The settings that each transaction begins with where a pooler stands in between (postgres/session.py); else None."""
    settings: str | None = getattr(connection.connection.dbapi_connection, "local_settings", None)
    return settings
