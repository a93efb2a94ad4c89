"""The ledger's order of commits: where it stands, whose totals changed since, and all totals page by page.

A position says which commits came before it. In PostgreSQL it is a snapshot (`pg_current_snapshot`): an entry carries the number
of the transaction that wrote it, and what came after a position is what that snapshot did not see, whether the transaction
began later or was still open. No lock and no clock takes part, and neither a long dump nor an open transaction holds anything
up. SQLite has one writer at a time, so the rows' own numbers are in the order of commits. See docs/decisions/0008.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Connection, TextClause, literal_column, select, text, update

from scoreboard.domain.boards import BOARD_ID
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.players import ledger_shard
from scoreboard.domain.standings import POINTS_MAX, Standing
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.tables import boards, ledger
from scoreboard.storage.sql.thread_worker import Blocking

#: A standing as SQL writes it: user id, username, avatar, points, version, reached at, updated at (milliseconds).
_Row = tuple[str, str, str | None, int, int, int | None, int]
#: A timeline and a snapshot, as `PostgresCommitOrder` writes them.
_POSITION: Final = re.compile(r"[0-9]{1,10}/[0-9]{1,20}:[0-9]{1,20}:[0-9,]*", re.ASCII)
_decode_rows = msgspec.json.Decoder(list[_Row]).decode

_ROW_POSTGRES: Final = """json_build_array(user_id, username, avatar, score, version,
    (date_part('epoch', reached_at) * 1000)::bigint, (date_part('epoch', last_updated) * 1000)::bigint)"""
_ROW_SQLITE: Final = "json_array(user_id, username, avatar, score, version, reached_at, last_updated)"

_ACCOUNTS: Final = """
    SELECT {aggregate} FROM (
        SELECT * FROM user_scores WHERE {which} AND (ledger_shard, user_id) > (:shard, :user_id)
        ORDER BY ledger_shard, user_id LIMIT :limit) AS page
"""
_KNOWN: Final = "version > 0"
_UNRANKED: Final = "version > 0 AND reached_at IS NULL"
#: The order of idx_user_score is mixed, so "below (points, time, id)" is three ranges of it, each read from where it begins.
_RANKED: Final = """
    SELECT {aggregate} FROM (
        SELECT * FROM (
            SELECT * FROM (
                SELECT {columns} FROM user_scores WHERE score = :points AND reached_at = {at} AND user_id < :user_id
                ORDER BY user_id DESC LIMIT :limit) AS same_moment
            UNION ALL SELECT * FROM (
                SELECT {columns} FROM user_scores WHERE score = :points AND reached_at > {at}
                ORDER BY reached_at, user_id DESC LIMIT :limit) AS same_points
            UNION ALL SELECT * FROM (
                SELECT {columns} FROM user_scores WHERE score < :points AND reached_at IS NOT NULL
                ORDER BY score DESC, reached_at, user_id DESC LIMIT :limit) AS fewer_points
        ) AS below ORDER BY score DESC, reached_at, user_id DESC LIMIT :limit) AS page
"""
_COLUMNS: Final = "user_id, username, avatar, score, version, reached_at, last_updated"
#: Entries beyond a key of (position, shard, user id), and the standings of their players now: each is looked up by its key.
_CHANGED: Final = """
    WITH page AS MATERIALIZED (
        SELECT position, ledger_shard, user_id FROM {entries}
        WHERE {beyond} ORDER BY position, ledger_shard, user_id LIMIT :limit)
    SELECT (SELECT count(*) FROM page),
        (SELECT {key} FROM page ORDER BY position DESC, ledger_shard DESC, user_id DESC LIMIT 1),
        (SELECT {aggregate} FROM (SELECT DISTINCT ledger_shard, user_id FROM page) AS changed {lookup})
"""


class CommitOrder(Blocking, Protocol):
    """What both dialects answer, as a lane serves it."""

    def state(self) -> LedgerState:
        """As boundaries.Ledger.state."""

    def sign(self, drawn_on: str) -> None:
        """As boundaries.Ledger.sign."""

    def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""

    def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """As boundaries.Ledger.ranked."""

    def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.unranked."""

    def position(self) -> str:
        """As boundaries.Ledger.position."""

    def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """As boundaries.Ledger.changed_since."""


class PostgresCommitOrder(SqlSession):
    """Positions are ``<timeline>/<xmin>:<xmax>:<transactions that were open, with commas>``.

    The timeline changes with every failover and every restore to a time, and transaction numbers may be given out again then.
    """

    _NOW: Final = "clock_timestamp()"
    _NOW_MS: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    _AT: Final = "CAST(to_timestamp(:at_ms / 1000.0) AS timestamptz(3))"
    _INSTANCE: Final = (
        "SELECT system_identifier || ':' || oid FROM pg_control_system(), pg_database WHERE datname = current_database()"
    )
    #: The fence keeps the planner from walking all accounts, which it finds cheaper while there are few.
    _LOOKUP: Final = (
        "CROSS JOIN LATERAL (SELECT username, avatar, score, version, reached_at, last_updated FROM user_scores AS u"
        " WHERE u.ledger_shard = changed.ledger_shard AND u.user_id = changed.user_id OFFSET 0) AS account"
    )
    _AGGREGATE: Final = f"json_agg({_ROW_POSTGRES})::text"
    #: What is numbered beyond our own snapshot was copied from another database.
    _LATER: Final = "position >= CAST(:since AS xid8) AND position < pg_snapshot_xmax(pg_current_snapshot())"
    _BEYOND: Final = "(position, ledger_shard, user_id) > (CAST(:since AS xid8), :shard, :user_id)"
    _OPEN_THEN: Final = (
        "unnest(CAST(:open_then AS xid8[])) AS open_then CROSS JOIN LATERAL ("
        "SELECT position, ledger_shard, user_id FROM score_transactions WHERE position = open_then OFFSET 0) AS entry"
    )

    def state(self) -> LedgerState:
        """As boundaries.Ledger.state."""
        return _state(self, self._INSTANCE, self._NOW_MS)

    def sign(self, drawn_on: str) -> None:
        """As boundaries.Ledger.sign."""
        _sign(self, self._NOW, drawn_on)

    def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""
        return _accounts(self, self._AGGREGATE, _KNOWN, after_user_id, limit)

    def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """As boundaries.Ledger.ranked."""
        return _ranked(self, self._AGGREGATE, self._AT, after, limit)

    def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.unranked."""
        return _accounts(self, self._AGGREGATE, _UNRANKED, after_user_id, limit)

    def position(self) -> str:
        """As boundaries.Ledger.position.

        What the snapshot takes to be over must be so after a crash, too: the numbers of transactions that ended and whose
        records were not on the disk yet would be given out again. A commit of our own puts those records there.
        """
        with self.writing() as connection:
            snapshot = _snapshot(connection)
            connection.execute(text("SELECT setval('position_flush', 1)"))  # writes a record, and locks nothing
            return snapshot

    def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """As boundaries.Ledger.changed_since.

        What was open at the position comes first, then what began later: ``after`` says in which of the two, and beyond what.
        """
        if _POSITION.fullmatch(position) is None:
            raise LedgerWentBack("the board's position cannot be read")
        timeline, _, snapshot = position.partition("/")
        _, later, open_then = snapshot.split(":")
        phase, since, shard, user_id = _decode_after(after) if after else ("open" if open_then else "later", "0", -1, "")
        if phase == "later" and since == "0":
            since = later
        entries, http_limits = (self._OPEN_THEN, "true") if phase == "open" else ("score_transactions", self._LATER)
        key = f"json_build_array('{phase}', position::text, ledger_shard, user_id)::text"
        asked = {"since": since, "shard": shard, "user_id": user_id, "limit": limit, "open_then": f"{{{open_then}}}"}
        with self.reading() as connection:
            self._refuse_what_went_back(timeline, int(later), _snapshot(connection))
            changed = _changed(entries, f"{http_limits} AND {self._BEYOND}", key, self._AGGREGATE, self._LOOKUP)
            count, last, rows = connection.execute(changed, asked).one()
        if count < limit:
            last = '["later","0",-1,""]' if phase == "open" else ""
        return ChangedPage(standings=_standings(rows), after=last)

    def _refuse_what_went_back(self, timeline: str, later: int, now: str) -> None:
        now_on, _, snapshot = now.partition("/")
        now_later = int(snapshot.split(":")[1])
        if timeline != now_on or later > now_later:
            raise LedgerWentBack(
                f"its timeline is {now_on} and its next transaction {now_later}; the board has seen {timeline} and {later}"
            )


class SqliteCommitOrder(SqlSession):
    """Positions are the number of the newest entry. Entries are never removed, so a vacuum does not renumber them."""

    _NOW: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    _NOW_MS: Final = _NOW
    _AT: Final = ":at_ms"
    _INSTANCE: Final = "SELECT file FROM pragma_database_list WHERE name = 'main'"
    _LOOKUP: Final = "CROSS JOIN user_scores USING (ledger_shard, user_id)"
    _AGGREGATE: Final = f"json_group_array({_ROW_SQLITE})"

    def state(self) -> LedgerState:
        """As boundaries.Ledger.state."""
        return _state(self, self._INSTANCE, self._NOW_MS)

    def sign(self, drawn_on: str) -> None:
        """As boundaries.Ledger.sign."""
        _sign(self, self._NOW, drawn_on)

    def accounts(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.accounts."""
        return _accounts(self, self._AGGREGATE, _KNOWN, after_user_id, limit)

    def ranked(self, after: Standing | None, limit: int) -> list[Standing]:
        """As boundaries.Ledger.ranked."""
        return _ranked(self, self._AGGREGATE, self._AT, after, limit)

    def unranked(self, after_user_id: str, limit: int) -> list[Standing]:
        """As boundaries.Ledger.unranked."""
        return _accounts(self, self._AGGREGATE, _UNRANKED, after_user_id, limit)

    def position(self) -> str:
        """As boundaries.Ledger.position."""
        with self.reading() as connection:
            return str(connection.scalar(text("SELECT coalesce(max(position), 0) FROM score_transactions")))

    def changed_since(self, position: str, after: str, limit: int) -> ChangedPage:
        """As boundaries.Ledger.changed_since."""
        newest = self.position()
        if not (position.isascii() and position.isdecimal()):
            raise LedgerWentBack("the board's position cannot be read")
        if int(position) > int(newest):
            raise LedgerWentBack(f"its newest entry is {newest}; the board has seen {position}")
        asked = {"since": int(after or position), "limit": limit}
        changed = _changed("score_transactions", "position > :since", "position", self._AGGREGATE, self._LOOKUP)
        with self.reading() as connection:
            count, last, rows = connection.execute(changed, asked).one()
        return ChangedPage(standings=_standings(rows), after=str(last) if count == limit else "")


def _state(session: SqlSession, instance: str, now_ms: str) -> LedgerState:
    board = select(boards.c.epoch, boards.c.drawn_on, boards.c.followed_at).where(boards.c.board_id == BOARD_ID)
    with session.reading() as connection:
        epoch, drawn_on, followed_at = connection.execute(board).one_or_none() or (0, None, None)
        return LedgerState(
            ledger_id=connection.scalars(select(ledger.c.ledger_id)).one(),
            instance=connection.scalars(text(instance)).one(),
            epoch=epoch,
            drawn_on=drawn_on or "",
            followed_s_ago=max(0, connection.scalars(text(f"SELECT {now_ms}")).one() - (followed_at or 0)) // 1000,
        )


def _sign(session: SqlSession, now: str, drawn_on: str) -> None:
    signed = update(boards).where(boards.c.board_id == BOARD_ID, boards.c.drawn_on == drawn_on)
    with session.writing() as connection:
        connection.execute(signed.values(followed_at=literal_column(now)))


def _accounts(session: SqlSession, aggregate: str, which: str, after_user_id: str, limit: int) -> list[Standing]:
    after = {"shard": ledger_shard(after_user_id) if after_user_id else -1, "user_id": after_user_id, "limit": limit}
    with session.reading() as connection:
        return _standings(connection.scalar(text(_ACCOUNTS.format(aggregate=aggregate, which=which)), after))


def _ranked(session: SqlSession, aggregate: str, at: str, after: Standing | None, limit: int) -> list[Standing]:
    above_all = {"points": POINTS_MAX + 1, "at_ms": 0, "user_id": ""}
    below = above_all if after is None else {"points": after.points, "at_ms": after.reached_at_ms, "user_id": after.user_id}
    asked = text(_RANKED.format(aggregate=aggregate, columns=_COLUMNS, at=at))
    with session.reading() as connection:
        return _standings(connection.scalar(asked, {**below, "limit": limit}))


def _changed(entries: str, beyond: str, key: str, aggregate: str, lookup: str) -> TextClause:
    return text(_CHANGED.format(entries=entries, beyond=beyond, key=key, aggregate=aggregate, lookup=lookup))


def _snapshot(connection: Connection) -> str:
    wal_file, snapshot = connection.execute(
        text("SELECT pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_snapshot()::text")
    ).one()
    return f"{int(wal_file[:8], 16)}/{snapshot}"


_decode_after = msgspec.json.Decoder(tuple[str, str, int, str]).decode


def _standings(rows: Any) -> list[Standing]:
    return [
        Standing(
            user_id=user_id,
            username=username,
            avatar=avatar,
            points=points,
            version=version,
            reached_at_ms=reached_at_ms,
            updated_at_ms=updated_at_ms,
        )
        for user_id, username, avatar, points, version, reached_at_ms, updated_at_ms in _decode_rows(rows or "[]")
    ]
