"""Migration 2, the player store: achievements, settings and suspensions; changes are numbered in the order of commits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_MOMENT = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")


def upgrade() -> None:
    """Make the tables, and the triggers that keep suspensions insert-only."""
    op.create_table(
        "achievements",
        sa.Column("user_id", _ID, primary_key=True),
        sa.Column("kind", _ID, primary_key=True),
        sa.Column("milestone", sa.BigInteger, primary_key=True),
        sa.Column("action_id", _ID, nullable=False, comment="the award that first brought the player there"),
        sa.Column("unlocked_at", _MOMENT, nullable=False),
    )
    _change_counter()
    op.create_table(
        "player_settings",
        sa.Column("user_id", _ID, primary_key=True),
        sa.Column("spectators", sa.Boolean, nullable=False, comment="whether others may follow this player's actions"),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_settings_turn", "player_settings", ["turn"], unique=True)
    op.create_table(
        "suspensions",
        sa.Column("suspension_id", _ID, primary_key=True),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("suspended", sa.Boolean, nullable=False, comment="false: a suspension was lifted"),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_suspensions_turn", "suspensions", ["turn"], unique=True)
    op.create_index("idx_suspensions_user", "suspensions", ["user_id", sa.text("turn DESC")])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
            CREATE TRIGGER suspensions_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON suspensions
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
            """
        )
    else:
        _refuse_changes_in_sqlite()


def _change_counter() -> None:
    """One row, which each change locks and raises, so that revisions are in the order of commits."""
    turns = op.create_table(
        "turns",
        sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False, comment="the newest change of settings or suspensions"),
        sa.CheckConstraint("counter = 1", name="there_is_one_counter"),
    )
    op.bulk_insert(turns, [{"counter": 1, "number": 0}])


def _refuse_changes_in_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"""
            CREATE TRIGGER suspensions_no_{change.lower()} BEFORE {change} ON suspensions
            BEGIN SELECT RAISE(ABORT, 'suspensions is insert-only'); END
            """
        )
    # INSERT OR REPLACE deletes a row without firing the trigger above.
    op.execute(
        """
        CREATE TRIGGER suspensions_no_replace BEFORE INSERT ON suspensions
        WHEN EXISTS (SELECT 1 FROM suspensions WHERE suspension_id = NEW.suspension_id OR turn = NEW.turn)
        BEGIN SELECT RAISE(ABORT, 'suspensions is insert-only'); END
        """
    )
