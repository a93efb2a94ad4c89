"""Whoever asks a SQL store in portable SQL: one connection, and none that something failed on is asked again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from scoreboard.boundaries import StoreUnavailable


class Asker:
    """Blocks. One thread asks; another may ``interrupt``, which ``cut`` does as the driver can."""

    def __init__(self, engine: Engine, cut: Callable[[Any], None]) -> None:
        self._engine = engine
        self._cut = cut
        self._asked: Any = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Make what is running now fail soon, and keep it from committing; from another thread."""
        self._interrupted = True
        if self._asked is not None:
            self._cut(self._asked)

    def close(self) -> None:
        """Let go of the database. A later question opens it again."""
        self._engine.dispose()

    @contextlib.contextmanager
    def asking(self) -> Iterator[Connection]:
        """A connection for questions that need no transaction. Raises StoreUnavailable."""
        self._interrupted = False
        try:
            with self._engine.connect() as connection:
                self._asked = connection.connection.dbapi_connection
                yield connection
        except SQLAlchemyError as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(str(cause).strip().partition("\n")[0]) from error
        finally:
            self._asked = None

    @contextlib.contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction, committed at the end; rolled back by whatever is raised. Raises StoreUnavailable."""
        with self.asking() as connection:
            # Our connections are in the drivers' autocommit mode. SQLite's lock is taken before anything is read. In PostgreSQL
            # what is read after a lock must hold what was committed while we waited for it, whatever the database's default is.
            sqlite = connection.dialect.name == "sqlite"
            connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED")
            yield connection
            if self._interrupted:  # whoever asked was told that nothing is known to have changed: then let nothing change
                raise StoreUnavailable("interrupted")
            connection.commit()
