"""Change feed of the ledger: the order of its commits, the totals that changed after a position, and all totals page by page.

A position says which commits came before it. In PostgreSQL it is a snapshot (`pg_current_snapshot`), and an entry has the number
of the transaction that wrote it. The entries after a position are those of transactions that began later or were still open. This
needs no lock and no clock, and neither a long dump nor an open transaction delays it. SQLite has one writer at a time, so its row
numbers are in the order of commits. See docs/decisions/0008.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar, Final

import msgspec
from sqlalchemy import Connection, TextClause, literal_column, select, text, update
from typing_extensions import override

from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.ledger_state import ChangedPage, LedgerState
from scoreboard.domain.players import player_key
from scoreboard.domain.standings import POINTS_MAX, Standing
from scoreboard.storage.sql.award import CLOCK_MS
from scoreboard.storage.sql.award_rows import read_standings
from scoreboard.storage.sql.bucket_rows import parameters_of, text_of
from scoreboard.storage.sql.session import SqlSession
from scoreboard.storage.sql.tables import boards, ledger

#: A standing as SQL writes it: user id, username, avatar, points, version, reached at, updated at (milliseconds).
_Row = tuple[str, str, str | None, int, int, int | None, int]
#: A position of PostgresCommitOrder.
_POSITION: Final = re.compile(r"[0-9]{1,10}/[0-9]{1,20}:[0-9]{1,20}:[0-9,]*", re.ASCII)
_decode_rows = msgspec.json.Decoder(list[_Row]).decode

_ROW_POSTGRES: Final = """json_build_array(user_id, username, avatar, score, version,
    (date_part('epoch', reached_at) * 1000)::bigint, (date_part('epoch', last_updated) * 1000)::bigint)"""
_ROW_SQLITE: Final = "json_array(user_id, username, avatar, score, version, reached_at, last_updated)"

_ACCOUNTS: Final = """
    SELECT {aggregate} FROM (
        SELECT * FROM {rows} WHERE {which} AND (ledger_shard, user_id) > (:shard, :user_id)
        ORDER BY ledger_shard, user_id LIMIT :limit) AS page
"""
_KNOWN: Final = "version > 0"
_UNRANKED: Final = "version > 0 AND reached_at IS NULL"
_ON_BOARD: Final = "reached_at IS NOT NULL"
#: The columns of idx_user_score have different directions, so "below (points, time, id)" is three ranges of that index.
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
#: Entries beyond a key of (position, shard, user id), and the present standings of their players, looked up by their keys.
_CHANGED: Final = """
    WITH page AS MATERIALIZED (
        SELECT position, ledger_shard, user_id FROM {entries}
        WHERE {beyond} ORDER BY position, ledger_shard, user_id LIMIT :limit)
    SELECT (SELECT count(*) FROM page),
        (SELECT {key} FROM page ORDER BY position DESC, ledger_shard DESC, user_id DESC LIMIT 1),
        (SELECT {aggregate} FROM (SELECT DISTINCT ledger_shard, user_id FROM page) AS changed {lookup})
"""


class CommitOrder(SqlSession):
    """The blocking half of boundaries.Ledger that follows commits. The class variables are a dialect's SQL."""

    #: The time now as a column keeps it.
    _NOW: ClassVar[str]
    #: The parameter ``at_ms`` as a column keeps it.
    _AT: ClassVar[str]
    #: Asks where this copy of the ledger is.
    _INSTANCE: ClassVar[str]
    #: Many standings as one JSON array.
    _AGGREGATE: ClassVar[str]
    #: The standings of ``changed`` players among ``rows``.
    _LOOKUP: ClassVar[str]

    def state(self, board: BoardBucket) -> LedgerState:
        """Which ledger this is, and the epoch of a board."""
        asked = select(boards.c.epoch, boards.c.drawn_on, boards.c.followed_at).where(boards.c.board_id == board.key)
        with self.reading() as connection:
            epoch, epoch_run, followed_at = connection.execute(asked).one_or_none() or (0, None, None)
            now_ms = connection.scalars(text(f"SELECT {CLOCK_MS[connection.dialect.name]}")).one()
            return LedgerState(
                ledger_id=connection.scalars(select(ledger.c.ledger_id)).one(),
                instance=connection.scalars(text(self._INSTANCE)).one(),
                epoch=epoch,
                epoch_run=epoch_run or "",
                followed_s_ago=max(0, now_ms - (followed_at or 0)) // 1000,
            )

    def note_followed(self, board: BoardBucket, run: str) -> None:
        """Note that a server follows the ledger on this run of Redis, if the newest epoch began there."""
        row = update(boards).where(boards.c.board_id == board.key, boards.c.drawn_on == run)
        with self.writing() as connection:
            connection.execute(row.values(followed_at=literal_column(self._NOW)))

    def accounts(self, bucket: BoardBucket, after_user_id: str, limit: int) -> list[Standing]:
        """A page of all standings, by shard and user id."""
        return self._accounts_page(bucket, _KNOWN, after_user_id, limit)

    def unranked(self, bucket: BoardBucket, after_user_id: str, limit: int) -> list[Standing]:
        """A page of the standings off the board, by shard and user id."""
        return self._accounts_page(bucket, _UNRANKED, after_user_id, limit)

    def ranked(self, bucket: BoardBucket, after: Standing | None, limit: int) -> list[Standing]:
        """A page of the board: the global one best first, another by shard and user id, because it has no index by score."""
        if not bucket.is_global:
            return self._accounts_page(bucket, _ON_BOARD, "" if after is None else after.user_id, limit)
        above_all = {"points": POINTS_MAX + 1, "at_ms": 0, "user_id": ""}
        below = above_all if after is None else {"points": after.points, "at_ms": after.reached_at_ms, "user_id": after.user_id}
        asked = text(_RANKED.format(aggregate=self._AGGREGATE, columns=_COLUMNS, at=self._AT))
        return self._standings(asked, {**below, "limit": limit})

    @abstractmethod
    def position(self) -> str:
        """Where the order of commits stands now. Only `changed_since` reads a position."""

    @abstractmethod
    def changed_since(self, bucket: BoardBucket, position: str, after: str, limit: int) -> ChangedPage:
        """A page of the standings that changed after a position. Raises LedgerWentBack if this ledger never had it."""

    def _accounts_page(self, bucket: BoardBucket, which: str, after_user_id: str, limit: int) -> list[Standing]:
        shard, user_id = player_key(after_user_id)
        after = {"shard": shard, "user_id": user_id, "limit": limit}
        asked = text(_ACCOUNTS.format(aggregate=self._AGGREGATE, rows=text_of(bucket), which=which))
        return self._standings(asked, {**after, **parameters_of(bucket)})

    def _changed(self, bucket: BoardBucket, entries: str, beyond: str, key: str) -> TextClause:
        rows = text_of(bucket)
        lookup = self._LOOKUP.format(rows=rows, name=rows.rpartition(" ")[2])
        return text(_CHANGED.format(entries=entries, beyond=beyond, key=key, aggregate=self._AGGREGATE, lookup=lookup))

    def _standings(self, asked: TextClause, parameters: dict[str, Any]) -> list[Standing]:
        ((found,),) = self.rows(asked, parameters)
        return _decoded(found)


class PostgresCommitOrder(CommitOrder):
    """Positions are ``<timeline>/<xmin>:<xmax>:<numbers of the transactions that were open, separated by commas>``.

    Every failover, and every restore to a time, begins another timeline, on which transaction numbers may be given out again.
    """

    _NOW = "clock_timestamp()"
    _AT = "CAST(to_timestamp(:at_ms / 1000.0) AS timestamptz(3))"
    _INSTANCE = "SELECT system_identifier || ':' || oid FROM pg_control_system(), pg_database WHERE datname = current_database()"
    _AGGREGATE = f"json_agg({_ROW_POSTGRES})::text"
    #: OFFSET 0 keeps the planner from reading all accounts, which it takes for cheaper while there are few.
    _LOOKUP = (
        "CROSS JOIN LATERAL (SELECT username, avatar, score, version, reached_at, last_updated FROM {rows}"
        " WHERE {name}.ledger_shard = changed.ledger_shard AND {name}.user_id = changed.user_id OFFSET 0) AS account"
    )
    #: An entry with a number beyond our own snapshot was copied from another database.
    _LATER: Final = "position >= CAST(:since AS xid8) AND position < pg_snapshot_xmax(pg_current_snapshot())"
    _BEYOND: Final = "(position, ledger_shard, user_id) > (CAST(:since AS xid8), :shard, :user_id)"
    _OPEN_THEN: Final = (
        "unnest(CAST(:open_then AS xid8[])) AS open_then CROSS JOIN LATERAL ("
        "SELECT position, ledger_shard, user_id FROM score_transactions WHERE position = open_then OFFSET 0) AS entry"
    )

    @override
    def position(self) -> str:
        # If the snapshot says that a transaction has ended, a crash must not undo it. A crash loses the records that are not on
        # the disk yet, and the numbers of their transactions are given out again. A commit of our own, which writes a record
        # and locks nothing, flushes all earlier records.
        with self.writing() as connection:
            snapshot = _snapshot(connection)
            connection.execute(text("SELECT setval('position_flush', 1)"))
            return snapshot

    @override
    def changed_since(self, bucket: BoardBucket, position: str, after: str, limit: int) -> ChangedPage:
        # Two phases: first the transactions that were open at the position, then those that began later. ``after`` holds the
        # phase and the key of the last entry that was read.
        if _POSITION.fullmatch(position) is None:
            raise LedgerWentBack("the board's position cannot be read")
        timeline, _, snapshot = position.partition("/")
        _, later, open_then = snapshot.split(":")
        phase, since, shard, user_id = _decode_after(after) if after else ("open" if open_then else "later", "0", -1, "")
        if phase == "later" and since == "0":
            since = later
        entries, within = (self._OPEN_THEN, "true") if phase == "open" else ("score_transactions", self._LATER)
        key = f"json_build_array('{phase}', position::text, ledger_shard, user_id)::text"
        asked = {"since": since, "shard": shard, "user_id": user_id, "limit": limit, "open_then": f"{{{open_then}}}"}
        asked |= parameters_of(bucket)
        with self.reading() as connection:
            _require_past(timeline, int(later), _snapshot(connection))
            changed = self._changed(bucket, entries, f"{within} AND {self._BEYOND}", key)
            count, last, rows = connection.execute(changed, asked).one()
        if count < limit:
            last = '["later","0",-1,""]' if phase == "open" else ""
        return ChangedPage(standings=_decoded(rows), after=last)


class SqliteCommitOrder(CommitOrder):
    """Positions are the number of the newest entry. Entries are never removed, so a vacuum does not renumber them."""

    _NOW = CLOCK_MS["sqlite"]
    _AT = ":at_ms"
    _INSTANCE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
    _AGGREGATE = f"json_group_array({_ROW_SQLITE})"
    _LOOKUP = "CROSS JOIN {rows} USING (ledger_shard, user_id)"

    @override
    def position(self) -> str:
        return str(self.rows(text("SELECT coalesce(max(position), 0) FROM score_transactions"))[0][0])

    @override
    def changed_since(self, bucket: BoardBucket, position: str, after: str, limit: int) -> ChangedPage:
        newest = self.position()
        if not (position.isascii() and position.isdecimal()):
            raise LedgerWentBack("the board's position cannot be read")
        if int(position) > int(newest):
            raise LedgerWentBack(f"its newest entry is {newest}; the board has seen {position}")
        asked = {"since": int(after or position), "limit": limit, **parameters_of(bucket)}
        changed = self._changed(bucket, "score_transactions", "position > :since", "position")
        ((count, last, rows),) = self.rows(changed, asked)
        return ChangedPage(standings=_decoded(rows), after=str(last) if count == limit else "")


def _require_past(timeline: str, later: int, now: str) -> None:
    """Raise LedgerWentBack unless a position lies before the snapshot ``now``, on its timeline."""
    now_on, _, snapshot = now.partition("/")
    now_later = int(snapshot.split(":")[1])
    if timeline != now_on or later > now_later:
        raise LedgerWentBack(
            f"its timeline is {now_on} and its next transaction {now_later}; the board has seen {timeline} and {later}"
        )


def _snapshot(connection: Connection) -> str:
    wal_file, snapshot = connection.execute(
        text("SELECT pg_walfile_name(pg_current_wal_insert_lsn()), pg_current_snapshot()::text")
    ).one()
    return f"{int(wal_file[:8], 16)}/{snapshot}"


_decode_after = msgspec.json.Decoder(tuple[str, str, int, str]).decode


def _decoded(rows: Any) -> list[Standing]:
    return read_standings(_decode_rows(rows or "[]"))
