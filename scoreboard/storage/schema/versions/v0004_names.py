"""Migration 4, names: each account says when the token was issued that gave its name, so that an older token changes it no more.

It adds a column with a constant default, which both databases do without a rewrite of the rows. Any token is newer than none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    comment = "when the token was issued that gave the name and the avatar, in seconds since 1970"
    column = sa.Column("named_at", sa.BigInteger, nullable=False, server_default=sa.text("0"), comment=comment)
    op.add_column("user_scores", column)
