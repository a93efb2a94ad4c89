"""Migration 5, boards: the definitions of the boards beside the global one, and the standings of players on them.

Both tables begin empty. A server fills the standings of each declared board from the entries, page by page, while it serves.
New entries say which of their player's entries they are: neither clocks nor positions tell this order (tables.py).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_MOMENT = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True, precision=3), "postgresql")
_SCORE_MAX = 2**53 - 1


def upgrade() -> None:
    """Create both tables, and a column that needs no row rewritten."""
    op.add_column(
        "score_transactions",
        sa.Column("version", sa.BigInteger, comment="which of the player's entries it is, from 1; null before schema 0005"),
    )
    op.create_table(
        "board_definitions",
        sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("board_id", _ID, nullable=False),
        sa.Column("definition", sa.Text, nullable=False, comment="a JSON object"),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("declared_at", _MOMENT, nullable=False),
        sa.Column("removed_at", _MOMENT),
        sa.Column("filled_through", _ID, comment="the last player whose standings were filled in; null: all were"),
    )
    is_fed = sa.text("removed_at IS NULL")
    op.create_index(
        "fed_board_has_one_name", "board_definitions", ["board_id"], unique=True, postgresql_where=is_fed, sqlite_where=is_fed
    )
    op.create_table(
        "board_standings",
        sa.Column("board", sa.SmallInteger, primary_key=True, autoincrement=False, comment="the number in board_definitions"),
        sa.Column("bucket", _ID, primary_key=True, comment="empty on a board without a period"),
        sa.Column("ledger_shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", _ID, primary_key=True),
        sa.Column("score", sa.BigInteger, nullable=False),
        sa.Column("reached_at", _MOMENT, comment="when the score was reached; null: not on the board"),
        sa.Column("version", sa.BigInteger, nullable=False, comment="the player's entries when this last changed"),
        sa.Column("actions", sa.BigInteger, nullable=False, comment="awards that count in the bucket"),
        sa.CheckConstraint(f"score BETWEEN -{_SCORE_MAX} AND {_SCORE_MAX}", name="board_score_is_exact"),
        sqlite_with_rowid=False,
    )
