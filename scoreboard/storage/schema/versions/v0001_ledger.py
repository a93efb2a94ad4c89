"""Migration 1, the ledger: accounts, insert-only entries, receipts and epochs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_POINTS_MAX = 2**53 - 1
_ID = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_MOMENT = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
_JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")


def upgrade() -> None:
    """Make the tables, and the triggers that keep entries insert-only."""
    _user_scores()
    _score_transactions()
    op.create_table(
        "action_receipts",
        sa.Column("action_id", _ID, primary_key=True),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.Column("previous_rank", sa.BigInteger),
    )
    op.create_table(
        "boards",
        sa.Column("board_id", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column(
            "checks",
            sa.BigInteger,
            nullable=False,
            server_default=sa.text("0"),
            comment="how often somebody tried whether we can commit",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_in_postgresql()
        # Room on each page, so that a cached rank is rewritten in place and touches no index.
        op.execute("ALTER TABLE user_scores SET (fillfactor = 80)")
    else:
        _refuse_changes_in_sqlite()


def _user_scores() -> None:
    op.create_table(
        "user_scores",
        sa.Column("user_id", _ID, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("avatar", sa.Text),
        sa.Column("score", sa.BigInteger, nullable=False),
        sa.Column("rank", sa.BigInteger, comment="cached: as the board last told, for people; nothing reads it"),
        sa.Column("version", sa.BigInteger, nullable=False, comment="how many entries this player has"),
        sa.Column("last_updated", _MOMENT, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("reached_at", _MOMENT, comment="when the score was reached; null: not on the board"),
        sa.Column("total_actions", sa.BigInteger, nullable=False, comment="awards since the start or the last reset"),
        sa.Column(
            "average_score_per_action",
            sa.Double,
            sa.Computed(
                "CASE WHEN total_actions > 0 THEN CAST(score AS DOUBLE PRECISION) / total_actions ELSE 0 END", persisted=True
            ),
        ),
        sa.Column("last_action_at", _MOMENT),
        sa.CheckConstraint(f"score BETWEEN -{_POINTS_MAX} AND {_POINTS_MAX}", name="score_is_exact"),
    )
    on_board = sa.text("reached_at IS NOT NULL")
    op.create_index(
        "idx_user_score",
        "user_scores",
        [sa.text("score DESC"), "reached_at", sa.text("user_id DESC")],
        postgresql_where=on_board,
        sqlite_where=on_board,
    )


def _score_transactions() -> None:
    op.create_table(
        "score_transactions",
        sa.Column("transaction_id", _ID, primary_key=True),
        sa.Column("user_id", _ID, sa.ForeignKey("user_scores.user_id"), nullable=False),
        sa.Column("action_id", _ID, nullable=False, unique=True),
        sa.Column("action_type", sa.Text, nullable=False),
        sa.Column("score_before", sa.BigInteger, nullable=False),
        sa.Column("score_after", sa.BigInteger, nullable=False),
        sa.Column("score_awarded", sa.BigInteger, nullable=False),
        sa.Column("timestamp", _MOMENT, nullable=False),
        sa.Column("ip_address", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("validated", sa.Boolean, nullable=False),
        sa.Column("metadata", _JSON, nullable=False),
        sa.CheckConstraint("score_after = score_before + score_awarded", name="score_adds_up"),
        sa.CheckConstraint(f"score_after BETWEEN -{_POINTS_MAX} AND {_POINTS_MAX}", name="score_after_is_exact"),
    )
    op.create_index("idx_transactions_user", "score_transactions", ["user_id", sa.text("timestamp DESC")])
    op.create_index("idx_transactions_timestamp", "score_transactions", [sa.text("timestamp DESC")])
    op.create_index("idx_transactions_user_type", "score_transactions", ["user_id", "action_type", sa.text("timestamp DESC")])


def _refuse_changes_in_postgresql() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER score_transactions_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON score_transactions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
    )


def _refuse_changes_in_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"""
            CREATE TRIGGER score_transactions_no_{change.lower()} BEFORE {change} ON score_transactions
            BEGIN SELECT RAISE(ABORT, 'score_transactions is insert-only'); END
            """
        )
    # INSERT OR REPLACE deletes a row without firing the trigger above.
    op.execute(
        """
        CREATE TRIGGER score_transactions_no_replace BEFORE INSERT ON score_transactions
        WHEN EXISTS (SELECT 1 FROM score_transactions WHERE transaction_id = NEW.transaction_id OR action_id = NEW.action_id)
        BEGIN SELECT RAISE(ABORT, 'score_transactions is insert-only'); END
        """
    )
