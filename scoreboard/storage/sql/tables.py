"""Tables of the ledger and the player store, for SQLAlchemy Core. A test compares the migrations with them.

The code that uses them sees times as milliseconds. PostgreSQL stores ``timestamptz(3)``, so that people can read dates in psql;
in the award path the database converts them. SQLite has no dates and stores the number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    Double,
    ForeignKeyConstraint,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    literal,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.types import TypeDecorator

from scoreboard.domain.players import ledger_shard
from scoreboard.domain.standings import POINTS_MAX

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class TimestampMs(TypeDecorator[int]):
    """A column type: milliseconds since 1970 for us, a date in the database where it has dates."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """``timestamptz(3)`` in PostgreSQL, else an integer."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=3))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        """The database's value of milliseconds."""
        return value if value is None or dialect.name != "postgresql" else _EPOCH + value * _MS

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """The milliseconds of a database's value."""
        return (value - _EPOCH) // _MS if isinstance(value, datetime) else value


#: Ids are ordered by code point, whatever the database's collation is.
Id: Final = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
#: A UUID type in PostgreSQL (16 bytes), else its text.
Uuid: Final = Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
#: ``json`` and not ``jsonb``: it keeps the text that was signed, and it takes the NUL escapes that would make jsonb fail a batch.
Json: Final = Text().with_variant(postgresql.JSON(), "postgresql")


def _player_key() -> tuple[Column[int], Column[str]]:
    """The first columns of every key with a player: the shard (`players.ledger_shard`, which we write) and the player's id."""
    return Column("ledger_shard", SmallInteger, primary_key=True, autoincrement=False), Column("user_id", Id, primary_key=True)


def of_player(columns: ReadOnlyColumnCollection[str, Column[Any]], user_id: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions for a player's rows, in any table with `_player_key`."""
    return columns.ledger_shard == ledger_shard(user_id), columns.user_id == user_id


def beyond_player(columns: ReadOnlyColumnCollection[str, Column[Any]], user_id: str) -> ColumnElement[bool]:
    """The condition for rows of the players after one, by shard and id; "" is before all players."""
    key = literal(ledger_shard(user_id) if user_id else -1, SmallInteger), literal(user_id, Id)
    return tuple_(columns.ledger_shard, columns.user_id) > tuple_(*key)


metadata: Final = MetaData()

user_scores: Final = Table(
    "user_scores",
    metadata,
    *_player_key(),
    Column("username", Text, nullable=False),
    Column("avatar", Text),
    Column("score", BigInteger, nullable=False),
    Column("rank", BigInteger, comment="cached: as the board last told, for people; nothing reads it"),
    Column("version", BigInteger, nullable=False, comment="how many entries this player has"),
    Column("last_updated", TimestampMs, nullable=False),
    Column("created_at", TimestampMs, nullable=False),
    Column("reached_at", TimestampMs, comment="when the score was reached; null: not on the board"),
    Column("total_actions", BigInteger, nullable=False, comment="awards since the start or the last reset"),
    Column(
        "average_score_per_action",
        Double,
        Computed("CASE WHEN total_actions > 0 THEN CAST(score AS DOUBLE PRECISION) / total_actions ELSE 0 END", persisted=True),
    ),
    Column("last_action_at", TimestampMs),
    CheckConstraint(f"score BETWEEN -{POINTS_MAX} AND {POINTS_MAX}", name="score_is_exact"),
)
Index(
    "idx_user_score",
    user_scores.c.score.desc(),
    user_scores.c.reached_at,
    user_scores.c.user_id.desc(),
    postgresql_where=text("reached_at IS NOT NULL"),
    sqlite_where=text("reached_at IS NOT NULL"),
)

# A rebuild reads the board by idx_user_score and the few players off the board by this index.
Index(
    "idx_user_unranked",
    user_scores.c.ledger_shard,
    user_scores.c.user_id,
    postgresql_where=text("reached_at IS NULL"),
    sqlite_where=text("reached_at IS NULL"),
)

# The signature binds an action to its player, so the key names both and refuses a second entry of the action. The column
# ``position``, which no portable statement reads and the database fills in, is the entry's position in the order of commits
# (commit_order.py): in PostgreSQL the number of the transaction that wrote it, in SQLite the number of the row.
score_transactions: Final = Table(
    "score_transactions",
    metadata,
    *_player_key(),
    Column("action_id", Uuid, primary_key=True),
    Column("transaction_id", Uuid, nullable=False),
    Column("action_type", Text, nullable=False),
    Column("score_before", BigInteger, nullable=False),
    Column("score_after", BigInteger, nullable=False),
    Column("score_awarded", BigInteger, nullable=False),
    Column("timestamp", TimestampMs, nullable=False),
    Column("ip_address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("validated", Boolean, nullable=False),
    Column("metadata", Json, nullable=False),
    ForeignKeyConstraint(["ledger_shard", "user_id"], ["user_scores.ledger_shard", "user_scores.user_id"]),
    CheckConstraint("score_after = score_before + score_awarded", name="score_adds_up"),
    CheckConstraint(f"score_after BETWEEN -{POINTS_MAX} AND {POINTS_MAX}", name="score_after_is_exact"),
)
_ENTRY: Final = score_transactions.c
Index("idx_transactions_user", _ENTRY.ledger_shard, _ENTRY.user_id, _ENTRY.timestamp)
Index("idx_transactions_user_type", _ENTRY.ledger_shard, _ENTRY.user_id, _ENTRY.action_type, _ENTRY.timestamp)
# Ascending, because rows added at the end of an index leave its pages full. An index is read in both directions.
Index("idx_transactions_timestamp", _ENTRY.timestamp)
# For `replay check`, which gets no user id.
Index("idx_transactions_action", _ENTRY.action_id)

# No foreign key: only ids of committed awards are inserted, and the check would cost as much as the row.
action_receipts: Final = Table(
    "action_receipts",
    metadata,
    *_player_key(),
    Column("action_id", Uuid, primary_key=True),
    Column("rank", BigInteger, nullable=False),
    Column("previous_rank", BigInteger),
    sqlite_with_rowid=False,
)

# One row. A copy of the ledger has the same id; `LedgerState.instance` tells the two apart.
ledger: Final = Table("ledger", metadata, Column("ledger_id", Uuid, primary_key=True))

boards: Final = Table(
    "boards",
    metadata,
    Column("board_id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("drawn_on", Text, comment="the run of the Redis that the epoch was begun on"),
    Column("followed_at", TimestampMs, comment="when a server last said that it draws there"),
    Column(
        "checks", BigInteger, nullable=False, server_default=text("0"), comment="how often somebody tried whether we can commit"
    ),
)

# No foreign key: only awards insert here, in the transaction that writes the account.
achievements: Final = Table(
    "achievements",
    metadata,
    *_player_key(),
    Column("kind", Id, primary_key=True),
    Column("milestone", BigInteger, primary_key=True),
    Column("action_id", Uuid, nullable=False, comment="the award that first brought the player there"),
    Column("unlocked_at", TimestampMs, nullable=False),
)

# One row. Each transaction that changes settings or suspensions raises the number, and so holds the row's lock until it commits:
# revisions are in the order of commits, and a reader who asks for changes after revision n misses none that commits later.
player_changes: Final = Table(
    "turns",
    metadata,
    Column("counter", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False, comment="the newest change of settings or suspensions"),
    CheckConstraint("counter = 1", name="there_is_one_counter"),
)

player_settings: Final = Table(
    "player_settings",
    metadata,
    *_player_key(),
    Column("spectators", Boolean, nullable=False, comment="whether others may follow this player's actions"),
    Column("changed_at", TimestampMs, nullable=False),
    Column("turn", BigInteger, key="revision", nullable=False),
)
Index("idx_settings_turn", player_settings.c.revision)

suspensions: Final = Table(
    "suspensions",
    metadata,
    *_player_key(),
    Column("turn", BigInteger, key="revision", primary_key=True, autoincrement=False),
    Column("suspension_id", Id, nullable=False),
    Column("suspended", Boolean, nullable=False, comment="false: a suspension was lifted"),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", TimestampMs, nullable=False),
)
Index("idx_suspensions_turn", suspensions.c.revision)
