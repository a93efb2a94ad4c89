"""What both SQL stores are asked, in portable SQL: pages of standings and entries, the board, and whether it all adds up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Text, cast, func, literal, select, tuple_

from scoreboard.domain.entries import Entry, EntryFilter, Finding
from scoreboard.domain.values import BOARD_ID, Standing
from scoreboard.storage.asking import Asker
from scoreboard.storage.tables import Id, Moment, boards, score_transactions, user_scores

_USER: Final = user_scores.c
_ENTRY: Final = score_transactions.c
#: Without accounts of version 0: a suspension inserted those (register_rows), and they have no entries.
_STANDINGS: Final = select(
    _USER.user_id, _USER.username, _USER.avatar, _USER.score, _USER.version, _USER.reached_at, _USER.last_updated
).where(_USER.version > 0)
_ENTRIES: Final = select(
    *(column for column in _ENTRY if column is not _ENTRY.metadata), cast(_ENTRY.metadata, Text).label("metadata")
)
#: SQLite's day 2440587.5 is 1970-01-01.
_CLOCK_MS: Final = {
    "sqlite": "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
}
_ON_BOARD: Final = _USER.reached_at.is_not(None)


class Reads(Asker):
    """Blocking questions to a SQL store."""

    def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""
        return self._standings(_STANDINGS.where(_USER.user_id > after_user_id).order_by(_USER.user_id).limit(limit))

    def changed_since(self, since_ms: int, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.changed_since."""
        changed = select(_ENTRY.user_id).where(_ENTRY.timestamp >= since_ms, _ENTRY.user_id > after_user_id)
        return self._standings(_STANDINGS.where(_USER.user_id.in_(changed)).order_by(_USER.user_id).limit(limit))

    def top(self, offset: int, limit: int) -> tuple[int, list[Standing]]:
        """As boundaries.Ledger.top. Equal points rank first-come-first, then by user id, descending, as a sorted set has it."""
        best = _STANDINGS.where(_ON_BOARD).order_by(_USER.score.desc(), _USER.reached_at, _USER.user_id.desc())
        with self._asking() as connection:
            total = connection.scalar(select(func.count()).select_from(user_scores).where(_ON_BOARD))
            return total or 0, _as_standings(connection.execute(best.offset(offset).limit(limit)))

    def account(self, user_id: str) -> Standing | None:
        """As boundaries.Ledger.account."""
        found = self._standings(_STANDINGS.where(_USER.user_id == user_id))
        return found[0] if found else None

    def epoch(self) -> int:
        """As boundaries.Ledger.epoch."""
        with self._asking() as connection:
            return connection.scalar(select(boards.c.epoch).where(boards.c.board_id == BOARD_ID)) or 0

    def clock_ms(self) -> int:
        """As boundaries.Ledger.clock_ms."""
        with self._asking() as connection:
            return int(connection.exec_driver_sql(_CLOCK_MS[connection.dialect.name]).scalar_one())

    def entries(self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool) -> list[Entry]:
        """As boundaries.Ledger.entries."""
        order = (_ENTRY.timestamp, _ENTRY.transaction_id)
        asked = _ENTRIES.where(*_conditions(where)).limit(limit)
        asked = asked.order_by(*(column.desc() for column in order) if newest_first else order)
        if after is not None:
            here, beyond = tuple_(*order), tuple_(literal(after[0], Moment), literal(after[1], Id))
            asked = asked.where(here < beyond if newest_first else here > beyond)
        with self._asking() as connection:
            return [
                Entry(**{"at_ms" if name == "timestamp" else name: value for name, value in row.items()})
                for row in connection.execute(asked).mappings()
            ]

    def count_entries(self, where: EntryFilter) -> int:
        """As boundaries.Ledger.count_entries."""
        asked = select(func.count()).select_from(score_transactions).where(*_conditions(where))
        with self._asking() as connection:
            return connection.scalar(asked) or 0

    def verify(self, after_user_id: str, limit: int) -> tuple[str | None, list[Finding]]:
        """As boundaries.Ledger.verify."""
        page = (
            select(_USER.user_id, _USER.score, _USER.version)
            .where(_USER.user_id > after_user_id)
            .order_by(_USER.user_id)
            .limit(limit)
            .subquery()
        )
        asked = (
            select(*page.c)
            .add_columns(func.coalesce(func.sum(_ENTRY.score_awarded), 0), func.count(_ENTRY.transaction_id))
            .select_from(page.outerjoin(score_transactions, _ENTRY.user_id == page.c.user_id))
            .group_by(*page.c)
            .order_by(page.c.user_id)
        )
        with self._asking() as connection:
            rows = connection.execute(asked).all()
        findings = [
            Finding(
                user_id=user_id,
                where="user_scores",
                expected=f"{total} points from {entries} entries",
                found=f"{score} points from {version} entries",
            )
            for user_id, score, version, total, entries in rows
            if (score, version) != (total, entries)
        ]
        return (rows[-1].user_id if len(rows) == limit else None), findings

    def _standings(self, asked: Select[Any]) -> list[Standing]:
        with self._asking() as connection:
            return _as_standings(connection.execute(asked))


def _as_standings(rows: Iterable[Any]) -> list[Standing]:
    return [
        Standing(
            user_id=user_id,
            username=username,
            avatar=avatar,
            points=score,
            version=version,
            reached_at_ms=reached_at,
            updated_at_ms=last_updated,
        )
        for user_id, username, avatar, score, version, reached_at, last_updated in rows
    ]


def _conditions(where: EntryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.user_id is not None:
        conditions.append(_ENTRY.user_id == where.user_id)
    if where.action_id is not None:
        conditions.append(_ENTRY.action_id == where.action_id)
    if where.action_type is not None:
        conditions.append(_ENTRY.action_type == where.action_type)
    if where.since_ms is not None:
        conditions.append(_ENTRY.timestamp >= where.since_ms)
    if where.until_ms is not None:
        conditions.append(_ENTRY.timestamp < where.until_ms)
    return conditions
