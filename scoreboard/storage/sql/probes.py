"""Readiness probes of SQL stores: small commits that fail where an award would.

An update in place says nothing of a full disk, for it needs no room. So a probe asks for as much as an award does: in SQLite it
appends to the log, which is where awards go first; in PostgreSQL it writes a temporary file beside the tables, and a record into
the log that must reach the disk, and changes no row of the tables that an award changes. Neither touches a row that anybody else
locks, and neither leaves anything that grows.
"""

from __future__ import annotations

from typing import Final

from scoreboard.storage.sql.session import SqlSession

#: Pages of 8 KiB that a probe of PostgreSQL fills: an award needs one in each of its tables and indexes at most.
_FILE_BYTES_MIN: Final = 16 * 8_192
#: What a row of the set takes in the file, at least.
_ROW_BYTES_MIN: Final = 12
#: What an award does, to no row: shows that the tables are there and may be written to.
_NO_ROW: Final = (
    "INSERT INTO score_transactions (transaction_id) SELECT NULL::uuid WHERE false;"
    " UPDATE user_scores SET version = version WHERE false;"
)
#: A set that does not fit into 64 KiB of memory is written to a file where the database keeps its tables. ``temp_tablespaces``
#: might name another disk. The message is a record in the write-ahead log that nobody reads; to commit it flushes the log.
POSTGRES_PROBE: Final = (
    "SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = '';"  # noqa: S608  constants of ours
    f" {_NO_ROW} SELECT count(*) FROM generate_series(1, {_FILE_BYTES_MIN // _ROW_BYTES_MIN});"
    " SELECT pg_logical_emit_message(true, 'scoreboard', '')"
)
#: A row of our own in a table that is there. SQLite has one writer at a time whatever the row.
SQLITE_PROBE: Final = (
    "INSERT INTO boards (board_id, epoch, checks) VALUES ('probe', 0, 1)"
    " ON CONFLICT (board_id) DO UPDATE SET checks = boards.checks + 1"
)


class SqlProbe(SqlSession):
    """Shows whether a SQL store can commit, on a connection of its own."""

    def commit(self) -> None:
        """Commit something that needs room; raises StoreUnavailable."""
        with self.writing() as connection:
            statement = SQLITE_PROBE if connection.dialect.name == "sqlite" else POSTGRES_PROBE
            connection.exec_driver_sql(statement)
