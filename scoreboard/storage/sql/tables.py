"""Tables of the ledger and the player store, for SQLAlchemy Core. A test compares the migrations with them.

The code that uses them sees times as milliseconds. PostgreSQL stores ``timestamptz(3)``, so that people can read dates in psql;
in the award path the database converts them. SQLite has no dates and stores the number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.types import TypeDecorator

from scoreboard.domain.players import ledger_shard, player_key
from scoreboard.domain.standings import POINTS_MAX

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class TimestampMs(TypeDecorator[int]):
    """A column type: milliseconds since 1970 for us, a date in the database where it has dates."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """``timestamptz(3)`` in PostgreSQL, else an integer."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=3))
        return dialect.type_descriptor(sa.BigInteger())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """The database's value of milliseconds."""
        return value if value is None or dialect.name != "postgresql" else _EPOCH + value * _MS

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """The milliseconds of a database's value."""
        return (value - _EPOCH) // _MS if isinstance(value, datetime) else value


#: Ids are ordered by code point, whatever the database's collation is.
Id: Final = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
#: A UUID type in PostgreSQL (16 bytes), else its text.
Uuid: Final = sa.Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
#: ``json`` and not ``jsonb``: it keeps the text that was signed, and it takes the NUL escapes that would make jsonb fail a batch.
Json: Final = sa.Text().with_variant(postgresql.JSON(), "postgresql")


def _player_key() -> tuple[sa.Column[int], sa.Column[str]]:
    """The first columns of every key with a player: the shard (`players.ledger_shard`, which we write) and the player's id."""
    shard = sa.Column("ledger_shard", sa.SmallInteger, primary_key=True, autoincrement=False)
    return shard, sa.Column("user_id", Id, primary_key=True)


def of_player(columns: ReadOnlyColumnCollection[str, sa.Column[Any]], user_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions for a player's rows, in any table with `_player_key`."""
    return columns.ledger_shard == ledger_shard(user_id), columns.user_id == user_id


def beyond_player(columns: ReadOnlyColumnCollection[str, sa.Column[Any]], user_id: str) -> sa.ColumnElement[bool]:
    """The condition for rows of the players after one, by shard and id; "" is before all players."""
    shard, _ = player_key(user_id)
    return sa.tuple_(columns.ledger_shard, columns.user_id) > sa.tuple_(
        sa.literal(shard, sa.SmallInteger), sa.literal(user_id, Id)
    )


metadata: Final = sa.MetaData()

user_scores: Final = sa.Table(
    "user_scores",
    metadata,
    *_player_key(),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("avatar", sa.Text),
    sa.Column("score", sa.BigInteger, nullable=False),
    sa.Column("rank", sa.BigInteger, comment="cached: as the board last told, for people; nothing reads it"),
    sa.Column("version", sa.BigInteger, nullable=False, comment="how many entries this player has"),
    sa.Column("last_updated", TimestampMs, nullable=False),
    sa.Column("created_at", TimestampMs, nullable=False),
    sa.Column("reached_at", TimestampMs, comment="when the score was reached; null: not on the board"),
    sa.Column("total_actions", sa.BigInteger, nullable=False, comment="awards since the start or the last reset"),
    sa.Column(
        "average_score_per_action",
        sa.Double,
        sa.Computed(
            "CASE WHEN total_actions > 0 THEN CAST(score AS DOUBLE PRECISION) / total_actions ELSE 0 END", persisted=True
        ),
    ),
    sa.Column("last_action_at", TimestampMs),
    sa.Column(
        "named_at",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("0"),
        comment="when the token was issued that gave the name and the avatar, in seconds since 1970",
    ),
    sa.CheckConstraint(f"score BETWEEN -{POINTS_MAX} AND {POINTS_MAX}", name="score_is_exact"),
)
sa.Index(
    "idx_user_score",
    user_scores.c.score.desc(),
    user_scores.c.reached_at,
    user_scores.c.user_id.desc(),
    postgresql_where=sa.text("reached_at IS NOT NULL"),
    sqlite_where=sa.text("reached_at IS NOT NULL"),
)

# A rebuild reads the board by idx_user_score and the few players off the board by this index.
sa.Index(
    "idx_user_unranked",
    user_scores.c.ledger_shard,
    user_scores.c.user_id,
    postgresql_where=sa.text("reached_at IS NULL"),
    sqlite_where=sa.text("reached_at IS NULL"),
)

# The signature binds an action to its player, so the key names both and refuses a second entry of the action. The column
# ``position`` is the entry's position in the order of commits (commit_order.py): in PostgreSQL the number of the transaction that
# wrote it, in SQLite the number of the row. The database fills it in, and no portable statement reads it.
score_transactions: Final = sa.Table(
    "score_transactions",
    metadata,
    *_player_key(),
    sa.Column("action_id", Uuid, primary_key=True),
    sa.Column("transaction_id", Uuid, nullable=False),
    sa.Column("action_type", sa.Text, nullable=False),
    sa.Column("score_before", sa.BigInteger, nullable=False),
    sa.Column("score_after", sa.BigInteger, nullable=False),
    sa.Column("score_awarded", sa.BigInteger, nullable=False),
    sa.Column("timestamp", TimestampMs, nullable=False),
    sa.Column("ip_address", sa.Text, nullable=False),
    sa.Column("user_agent", sa.Text, nullable=False),
    sa.Column("validated", sa.Boolean, nullable=False),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("version", sa.BigInteger, comment="which of the player's entries it is, from 1; null before schema 0005"),
    sa.ForeignKeyConstraint(["ledger_shard", "user_id"], ["user_scores.ledger_shard", "user_scores.user_id"]),
    sa.CheckConstraint("score_after = score_before + score_awarded", name="score_adds_up"),
    sa.CheckConstraint(f"score_after BETWEEN -{POINTS_MAX} AND {POINTS_MAX}", name="score_after_is_exact"),
)
_ENTRY: Final = score_transactions.c
sa.Index("idx_transactions_user", _ENTRY.ledger_shard, _ENTRY.user_id, _ENTRY.timestamp)
sa.Index("idx_transactions_user_type", _ENTRY.ledger_shard, _ENTRY.user_id, _ENTRY.action_type, _ENTRY.timestamp)
# Ascending, because rows added at the end of an index leave its pages full. An index is read in both directions.
sa.Index("idx_transactions_timestamp", _ENTRY.timestamp)
# For `replay check`, which gets no user id.
sa.Index("idx_transactions_action", _ENTRY.action_id)

# No foreign key: only ids of committed awards are inserted, and the check would cost as much as the row.
action_receipts: Final = sa.Table(
    "action_receipts",
    metadata,
    *_player_key(),
    sa.Column("action_id", Uuid, primary_key=True),
    sa.Column("rank", sa.BigInteger, nullable=False),
    sa.Column("previous_rank", sa.BigInteger),
    sqlite_with_rowid=False,
)

# One row, which names the ledger. A copy has the same id; `LedgerState.instance` differs.
ledger: Final = sa.Table("ledger", metadata, sa.Column("ledger_id", Uuid, primary_key=True))

boards: Final = sa.Table(
    "boards",
    metadata,
    sa.Column("board_id", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("drawn_on", sa.Text, comment="the run of the Redis that the epoch was begun on"),
    sa.Column("followed_at", TimestampMs, comment="when a server last said that it draws there"),
    sa.Column(
        "checks",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("0"),
        comment="how often somebody tried whether we can commit",
    ),
)

# The boards beside the global one. A board that is removed and declared again gets another number, so old standings are not taken
# for new ones. ``change`` rises with every change of any row: the newest is the generation, which each award reads.
board_definitions: Final = sa.Table(
    "board_definitions",
    metadata,
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("board_id", Id, nullable=False),
    sa.Column("definition", sa.Text, nullable=False, comment="a JSON object"),
    sa.Column("change", sa.BigInteger, nullable=False),
    sa.Column("declared_at", TimestampMs, nullable=False),
    sa.Column("removed_at", TimestampMs),
    sa.Column("filled_through", Id, comment="the last player whose standings were filled in; null: all were"),
)
_IS_FED: Final = sa.text("removed_at IS NULL")
sa.Index("fed_board_has_one_name", board_definitions.c.board_id, unique=True, postgresql_where=_IS_FED, sqlite_where=_IS_FED)

# No foreign key, for speed: only awards and fillings insert here, in the transaction that holds the lock of the account.
board_standings: Final = sa.Table(
    "board_standings",
    metadata,
    sa.Column("board", sa.SmallInteger, primary_key=True, autoincrement=False, comment="the number in board_definitions"),
    sa.Column("bucket", Id, primary_key=True, comment="empty on a board without a period"),
    *_player_key(),
    sa.Column("score", sa.BigInteger, nullable=False),
    sa.Column("reached_at", TimestampMs, comment="when the score was reached; null: not on the board"),
    sa.Column("version", sa.BigInteger, nullable=False, comment="the player's entries when this last changed"),
    sa.Column("actions", sa.BigInteger, nullable=False, comment="awards that count in the bucket"),
    sa.CheckConstraint(f"score BETWEEN -{POINTS_MAX} AND {POINTS_MAX}", name="board_score_is_exact"),
    sqlite_with_rowid=False,
)

# No foreign key: only awards insert here, in the transaction that writes the account.
achievements: Final = sa.Table(
    "achievements",
    metadata,
    *_player_key(),
    sa.Column("kind", Id, primary_key=True),
    sa.Column("milestone", sa.BigInteger, primary_key=True),
    sa.Column("action_id", Uuid, nullable=False, comment="the award that first brought the player there"),
    sa.Column("unlocked_at", TimestampMs, nullable=False),
)

# One row; the table has its name from an earlier release. Each transaction that changes settings or suspensions raises the number
# and so holds the row's lock until it commits. So revisions are in the order of commits, and a reader of changes misses none.
player_changes: Final = sa.Table(
    "turns",
    metadata,
    sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False, comment="the newest change of settings or suspensions"),
    sa.CheckConstraint("counter = 1", name="there_is_one_counter"),
)

player_settings: Final = sa.Table(
    "player_settings",
    metadata,
    *_player_key(),
    sa.Column("spectators", sa.Boolean, nullable=False, comment="whether others may follow this player's actions"),
    sa.Column("changed_at", TimestampMs, nullable=False),
    sa.Column("turn", sa.BigInteger, key="revision", nullable=False),
)
sa.Index("idx_settings_turn", player_settings.c.revision)

suspensions: Final = sa.Table(
    "suspensions",
    metadata,
    *_player_key(),
    sa.Column("turn", sa.BigInteger, key="revision", primary_key=True, autoincrement=False),
    sa.Column("suspension_id", Id, nullable=False),
    sa.Column("suspended", sa.Boolean, nullable=False, comment="false: a suspension was lifted"),
    sa.Column("operator", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", TimestampMs, nullable=False),
)
sa.Index("idx_suspensions_turn", suspensions.c.revision)
