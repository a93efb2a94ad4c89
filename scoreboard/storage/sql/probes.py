"""Readiness probe of the SQL stores: a small commit that fails where an award would fail.

An update in place needs no room, so it does not notice a full disk. A probe needs as much room as an award: in SQLite it appends
to the log; in PostgreSQL it writes a temporary file beside the tables, and a record into the log that must reach the disk. It
changes no row that another transaction locks, and leaves nothing that grows.
"""

from __future__ import annotations

from typing import Final

from scoreboard.storage.sql.session import SqlSession

#: A probe of PostgreSQL writes at least 16 pages of 8 KiB. An award needs at most one new page in each of its tables and indexes.
_FILE_BYTES_MIN: Final = 16 * 8_192
#: The least that a row of the set takes in that file.
_ROW_BYTES_MIN: Final = 12
#: The statements of an award, on no row: they fail where a table is missing or may not be written to.
_NO_ROW: Final = (
    "INSERT INTO score_transactions (transaction_id) SELECT NULL::uuid WHERE false;"
    " UPDATE user_scores SET version = version WHERE false;"
)
#: PostgreSQL writes a set that does not fit into 64 KiB of memory to a file beside its tables; ``temp_tablespaces`` might name
#: another disk. The message adds a record that nothing reads to the write-ahead log; its commit flushes the log.
POSTGRES_PROBE: Final = (
    "SET LOCAL work_mem = '64kB'; SET LOCAL temp_tablespaces = '';"  # noqa: S608  constants of ours
    f" {_NO_ROW} SELECT count(*) FROM generate_series(1, {_FILE_BYTES_MIN // _ROW_BYTES_MIN});"
    " SELECT pg_logical_emit_message(true, 'scoreboard', '')"
)
#: A row of our own in a table of the ledger.
SQLITE_PROBE: Final = (
    "INSERT INTO boards (board_id, epoch, checks) VALUES ('probe', 0, 1)"
    " ON CONFLICT (board_id) DO UPDATE SET checks = boards.checks + 1"
)


class SqlProbe(SqlSession):
    """A session that tries whether the store can commit."""

    def commit(self) -> None:
        """Commit something that needs room. Raises StoreUnavailable."""
        with self.writing() as connection:
            statement = SQLITE_PROBE if connection.dialect.name == "sqlite" else POSTGRES_PROBE
            connection.exec_driver_sql(statement)
