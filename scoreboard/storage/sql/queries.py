"""Read queries of the ledger, in portable SQL: pages of standings and entries, the board, and the check that all adds up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, cast, false, func, literal, select, tuple_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from scoreboard.domain.actions import ACTION_ID
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.entries import Entry, EntryFilter, Finding
from scoreboard.domain.players import ledger_shard
from scoreboard.domain.standings import Standing
from scoreboard.storage.sql.award import CLOCK_MS
from scoreboard.storage.sql.award_rows import read_standings
from scoreboard.storage.sql.board_audit import board_findings
from scoreboard.storage.sql.bucket_rows import rows_of
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.tables import TimestampMs, Uuid, beyond_player, of_player, score_transactions, user_scores

_USER: Final = user_scores.c
_ENTRY: Final = score_transactions.c
_NOT_READ: Final = (_ENTRY.metadata, _ENTRY.ledger_shard, _ENTRY.version)
_ENTRIES: Final = select(
    *(column for column in _ENTRY if all(column is not other for other in _NOT_READ)),
    cast(_ENTRY.metadata, Text).label("metadata"),
)


class LedgerQueries(SqlSession):
    """The blocking half of boundaries.Ledger that reads: methods of the same names, with the same promises."""

    def top(self, bucket: BoardBucket, offset: int, limit: int) -> list[Standing]:
        """A page of the board, best first. Equal points rank by time, then by user id descending, as in a Redis sorted set."""
        asked, row = _standings(bucket)
        best = asked.where(row.reached_at.is_not(None)).order_by(row.score.desc(), row.reached_at, row.user_id.desc())
        return read_standings(self.rows(best.offset(offset).limit(limit)))

    def ranked_count(self, bucket: BoardBucket) -> int:
        """How many players are on the board."""
        rows = rows_of(bucket)
        return int(self.rows(select(func.count()).select_from(rows).where(rows.c.reached_at.is_not(None)))[0][0])

    def accounts_of(self, bucket: BoardBucket, user_ids: Sequence[str]) -> list[Standing]:
        """The standings of these players, in their order, without unknown ones."""
        asked, row = _standings(bucket)
        keys = [(ledger_shard(user_id), user_id) for user_id in user_ids]
        found = self.rows(asked.where(tuple_(row.ledger_shard, row.user_id).in_(keys)))
        by_user = {one.user_id: one for one in read_standings(found)}
        return [by_user[user_id] for user_id in user_ids if user_id in by_user]

    def account(self, bucket: BoardBucket, user_id: str) -> Standing | None:
        """One player's standing; None for an unknown player."""
        asked, row = _standings(bucket)
        found = read_standings(self.rows(asked.where(*of_player(row, user_id))))
        return found[0] if found else None

    def clock_ms(self) -> int:
        """The database's time, in milliseconds since 1970."""
        with self.reading() as connection:
            return int(connection.exec_driver_sql(f"SELECT {CLOCK_MS[connection.dialect.name]}").scalar_one())

    def entries(self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool) -> list[Entry]:
        """A page of entries by (time, transaction id), ascending or newest first."""
        order = (_ENTRY.timestamp, _ENTRY.transaction_id)
        asked = _ENTRIES.where(*_conditions(where)).limit(limit)
        asked = asked.order_by(*(column.desc() for column in order) if newest_first else order)
        if after is not None:
            here, beyond = tuple_(*order), tuple_(literal(after[0], TimestampMs), literal(after[1], Uuid))
            asked = asked.where(here < beyond if newest_first else here > beyond)
        rows = [row._asdict() for row in self.rows(asked)]
        return [Entry(**{"at_ms" if name == "timestamp" else name: value for name, value in row.items()}) for row in rows]

    def count_entries(self, where: EntryFilter) -> int:
        """How many entries the filter finds."""
        return int(self.rows(select(func.count()).select_from(score_transactions).where(*_conditions(where)))[0][0])

    def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """Compare the totals of a page of players with their entries: (the last user id, None at the end; the differences)."""
        players = (_USER.ledger_shard, _USER.user_id)
        page = (
            select(*players, _USER.score, _USER.version)
            .where(beyond_player(_USER, after_user_id))
            .order_by(*players)
            .limit(limit)
            .subquery()
        )
        same_player = (_ENTRY.ledger_shard == page.c.ledger_shard) & (_ENTRY.user_id == page.c.user_id)
        asked = (
            select(*page.c)
            .add_columns(func.coalesce(func.sum(_ENTRY.score_awarded), 0), func.count(_ENTRY.action_id))
            .select_from(page.outerjoin(score_transactions, same_player))
            .group_by(*page.c)
            .order_by(page.c.ledger_shard, page.c.user_id)
        )
        rows = self.rows(asked)
        findings = [
            Finding(
                user_id=user_id,
                where="user_scores",
                expected=f"{total} points from {entries} entries",
                found=f"{score} points from {version} entries",
            )
            for _shard, user_id, score, version, total, entries in rows
            if (score, version) != (total, entries)
        ]
        if rows:
            with self.reading() as connection:
                findings += board_findings(connection, rows[0][:2], rows[-1][:2])
        return (rows[-1].user_id if len(rows) == limit else None), findings


def _standings(bucket: BoardBucket) -> tuple[Select[Any], ReadOnlyColumnCollection[str, Any]]:
    """(a query of all standings in a bucket, the columns for its conditions).

    Without the accounts of version 0: a suspension inserted those (player_queries.py), and they have no entries.
    """
    row = rows_of(bucket).c
    asked = select(row.user_id, row.username, row.avatar, row.score, row.version, row.reached_at, row.last_updated)
    return asked.where(row.version > 0), row


def _conditions(where: EntryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.user_id is not None:
        conditions += of_player(_ENTRY, where.user_id)
    if where.action_id is not None:
        known = ACTION_ID.fullmatch(where.action_id) is not None  # PostgreSQL reads no other text as an id
        conditions.append(_ENTRY.action_id == where.action_id if known else false())
    if where.action_type is not None:
        conditions.append(_ENTRY.action_type == where.action_type)
    if where.since_ms is not None:
        conditions.append(_ENTRY.timestamp >= where.since_ms)
    if where.until_ms is not None:
        conditions.append(_ENTRY.timestamp < where.until_ms)
    return conditions
