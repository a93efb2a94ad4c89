"""Migration 3, the keys: each begins with the player's shard. Entries get a position in the order of commits, the ledger an id.

For each table with players, a new table gets the rows of the old one and then its name. All of it is one transaction: if we stop
here, the database is unchanged, and the next `db upgrade` begins again. The server does not run meanwhile.
"""

# ruff: noqa: S608  only names of ours are put into these texts

import uuid
from typing import Final

import sqlalchemy as sa
from alembic import op

from scoreboard.domain.players import ledger_shard

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_USERS_PER_PAGE: Final = 10_000
_POINTS_MAX: Final = 2**53 - 1
_EXACT: Final = f"BETWEEN -{_POINTS_MAX} AND {_POINTS_MAX}"
_SHARD: Final = "ledger_shard smallint NOT NULL"
#: For each dialect: the types of ids, times, ids of 16 bytes and JSON.
_TYPES: Final = {
    "postgresql": {
        "id": 'text COLLATE "C"',
        "moment": "timestamptz(3)",
        "uuid": "uuid",
        "json": "json",
        "double": "double precision",
        "end": "",
    },
    "sqlite": {"id": "text", "moment": "bigint", "uuid": "text", "json": "text", "double": "double", "end": " WITHOUT ROWID"},
}
#: An entry's position in the order of commits: the number of its transaction or, in SQLite, which has one writer, of its row.
_POSITION: Final = {
    "postgresql": "position xid8 NOT NULL DEFAULT pg_current_xact_id(),",
    "sqlite": "position INTEGER PRIMARY KEY,",
}
_ENTRY_KEY: Final = {
    "postgresql": "PRIMARY KEY (ledger_shard, user_id, action_id)",
    "sqlite": "UNIQUE (ledger_shard, user_id, action_id)",
}
_ENTRY_COLUMNS: Final = (
    "action_type, score_before, score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata"
)
_COMMENTS: Final = {
    "user_scores.rank": "cached: as the board last told, for people; nothing reads it",
    "user_scores.version": "how many entries this player has",
    "user_scores.reached_at": "when the score was reached; null: not on the board",
    "user_scores.total_actions": "awards since the start or the last reset",
    "score_transactions.position": "where the entry stands in the order of commits (docs/decisions/0008)",
    "achievements.action_id": "the award that first brought the player there",
    "player_settings.spectators": "whether others may follow this player''s actions",
    "suspensions.suspended": "false: a suspension was lifted",
    "boards.drawn_on": "the run of the Redis that the epoch was begun on",
    "boards.followed_at": "when a server last said that it draws there",
}
#: The columns of each old table that stay as they are.
_KEPT: Final = {
    "user_scores": "username, avatar, score, rank, version, last_updated, created_at, reached_at, total_actions, last_action_at",
    "player_settings": "spectators, changed_at, turn",
    "suspensions": "turn, suspension_id, suspended, operator, reason, at",
}


def upgrade() -> None:
    """Move all rows to tables with the new keys."""
    dialect = op.get_bind().dialect.name
    types = _TYPES[dialect]
    tables = _tables(dialect, types)
    if dialect == "postgresql":  # for sorts and indexes of this one transaction
        op.execute("SET LOCAL work_mem = '128MB'; SET LOCAL maintenance_work_mem = '256MB'")
    _fill_shards(dialect)
    for table, columns, constraints in tables:
        # PostgreSQL builds an index faster over rows that are there; SQLite cannot add a constraint later.
        now = [columns] if dialect == "postgresql" else [columns, *constraints]
        op.execute(f"CREATE TABLE new_{table} ({', '.join(now)}){_end(table, types)}")
    for table, columns in _KEPT.items():
        op.execute(
            f"INSERT INTO new_{table} (ledger_shard, user_id, {columns})"
            f" SELECT s.ledger_shard, t.user_id, {columns} FROM {table} AS t JOIN shards AS s ON s.user_id = t.user_id"
        )
    _move_actions(dialect)
    for table in ("action_receipts", "score_transactions", "user_scores", "achievements", "player_settings", "suspensions"):
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    op.execute("DROP TABLE shards")
    if dialect == "postgresql":
        for table, _, constraints in tables:
            op.execute(f"ALTER TABLE {table} {', '.join(f'ADD {constraint}' for constraint in constraints)}")
    op.execute("ALTER TABLE boards ADD COLUMN drawn_on text")
    op.execute(f"ALTER TABLE boards ADD COLUMN followed_at {types['moment']}")
    _index(dialect)
    _refuse_changes(dialect)
    op.execute(f"CREATE TABLE ledger (ledger_id {types['uuid']} NOT NULL PRIMARY KEY)")
    if dialect == "postgresql":
        op.execute("CREATE SEQUENCE position_flush")
    op.execute(f"INSERT INTO ledger VALUES ('{uuid.uuid4()}')")


def _fill_shards(dialect: str) -> None:
    """Make a table of every player's shard. `players.ledger_shard` never changes."""
    connection = op.get_bind()
    named = "SELECT user_id FROM user_scores UNION SELECT user_id FROM player_settings UNION SELECT user_id FROM suspensions"
    named += " UNION SELECT user_id FROM achievements"
    op.execute(f"CREATE TEMPORARY TABLE shards (user_id {_TYPES[dialect]['id']} PRIMARY KEY, ledger_shard smallint NOT NULL)")
    after = ""
    insert = sa.text("INSERT INTO shards VALUES (:user_id, :ledger_shard)")
    page = sa.text(f"SELECT user_id FROM ({named}) AS named WHERE user_id > :after ORDER BY user_id LIMIT {_USERS_PER_PAGE}")
    while users := connection.execute(page, {"after": after}).scalars().all():
        connection.execute(insert, [{"user_id": user, "ledger_shard": ledger_shard(user)} for user in users])
        after = users[-1]


def _tables(dialect: str, types: dict[str, str]) -> list[tuple[str, str, list[str]]]:
    """The tables, each with its name, columns and constraints; a table that is referred to comes first."""
    player = f"{_SHARD}, user_id {types['id']} NOT NULL"
    moment, identifier = types["moment"], types["uuid"]
    average = "CASE WHEN total_actions > 0 THEN CAST(score AS DOUBLE PRECISION) / total_actions ELSE 0 END"
    accounts = "user_scores" if dialect == "postgresql" else "new_user_scores"
    return [
        (
            "user_scores",
            f"""{player}, username text NOT NULL, avatar text, score bigint NOT NULL, rank bigint, version bigint NOT NULL,
            last_updated {moment} NOT NULL, created_at {moment} NOT NULL, reached_at {moment}, total_actions bigint NOT NULL,
            average_score_per_action {types["double"]} GENERATED ALWAYS AS ({average}) STORED, last_action_at {moment}""",
            ["PRIMARY KEY (ledger_shard, user_id)", f"CONSTRAINT score_is_exact CHECK (score {_EXACT})"],
        ),
        (
            "score_transactions",
            f"""{_POSITION[dialect]} {player}, action_id {identifier} NOT NULL, transaction_id {identifier} NOT NULL,
            action_type text NOT NULL, score_before bigint NOT NULL, score_after bigint NOT NULL, score_awarded bigint NOT NULL,
            timestamp {moment} NOT NULL, ip_address text NOT NULL, user_agent text NOT NULL, validated boolean NOT NULL,
            metadata {types["json"]} NOT NULL""",
            [
                _ENTRY_KEY[dialect],
                "CONSTRAINT entry_has_an_account FOREIGN KEY (ledger_shard, user_id)"
                f" REFERENCES {accounts} (ledger_shard, user_id)",
                "CONSTRAINT score_adds_up CHECK (score_after = score_before + score_awarded)",
                f"CONSTRAINT score_after_is_exact CHECK (score_after {_EXACT})",
            ],
        ),
        (
            "action_receipts",
            f"{player}, action_id {identifier} NOT NULL, rank bigint NOT NULL, previous_rank bigint",
            ["PRIMARY KEY (ledger_shard, user_id, action_id)"],
        ),
        (
            "achievements",
            f"""{player}, kind {types["id"]} NOT NULL, milestone bigint NOT NULL, action_id {identifier} NOT NULL,
            unlocked_at {moment} NOT NULL""",
            ["PRIMARY KEY (ledger_shard, user_id, kind, milestone)"],
        ),
        (
            "player_settings",
            f"{player}, spectators boolean NOT NULL, changed_at {moment} NOT NULL, turn bigint NOT NULL",
            ["PRIMARY KEY (ledger_shard, user_id)"],
        ),
        (
            "suspensions",
            f"""{player}, turn bigint NOT NULL, suspension_id {types["id"]} NOT NULL, suspended boolean NOT NULL,
            operator text NOT NULL, reason text NOT NULL, at {moment} NOT NULL""",
            ["PRIMARY KEY (ledger_shard, user_id, turn)"],
        ),
    ]


def _end(table: str, types: dict[str, str]) -> str:
    return types["end"] if table == "action_receipts" else ""


def _move_actions(dialect: str) -> None:
    """Move entries in the order of their times (the order of commits is not known), then receipts and achievements."""
    cast = "::uuid" if dialect == "postgresql" else ""
    action, transaction = f"t.action_id{cast}", f"t.transaction_id{cast}"
    op.execute(
        f"INSERT INTO new_score_transactions (ledger_shard, user_id, action_id, transaction_id, {_ENTRY_COLUMNS})"
        f" SELECT s.ledger_shard, t.user_id, {action}, {transaction}, {_ENTRY_COLUMNS}"
        " FROM score_transactions AS t JOIN shards AS s ON s.user_id = t.user_id ORDER BY t.timestamp, t.transaction_id"
    )
    op.execute(
        "INSERT INTO new_action_receipts (ledger_shard, user_id, action_id, rank, previous_rank)"
        f" SELECT s.ledger_shard, t.user_id, {action}, r.rank, r.previous_rank FROM action_receipts AS r"
        " JOIN score_transactions AS t ON t.action_id = r.action_id JOIN shards AS s ON s.user_id = t.user_id"
    )
    op.execute(
        "INSERT INTO new_achievements (ledger_shard, user_id, kind, milestone, action_id, unlocked_at)"
        f" SELECT s.ledger_shard, t.user_id, t.kind, t.milestone, {action}, t.unlocked_at"
        " FROM achievements AS t JOIN shards AS s ON s.user_id = t.user_id"
    )


def _index(dialect: str) -> None:
    """Build the indexes over the rows. Indexes on times ascend, because rows added at the end leave the pages full."""
    player = "ledger_shard, user_id"
    op.execute("CREATE INDEX idx_user_score ON user_scores (score DESC, reached_at, user_id DESC) WHERE reached_at IS NOT NULL")
    op.execute(f"CREATE INDEX idx_user_unranked ON user_scores ({player}) WHERE reached_at IS NULL")
    op.execute(f"CREATE INDEX idx_transactions_user ON score_transactions ({player}, timestamp)")
    op.execute(f"CREATE INDEX idx_transactions_user_type ON score_transactions ({player}, action_type, timestamp)")
    op.execute("CREATE INDEX idx_transactions_timestamp ON score_transactions (timestamp)")
    op.execute("CREATE INDEX idx_transactions_action ON score_transactions (action_id)")
    op.execute("CREATE INDEX idx_settings_turn ON player_settings (turn)")
    op.execute("CREATE INDEX idx_suspensions_turn ON suspensions (turn)")
    if dialect == "postgresql":
        for column, said in _COMMENTS.items():
            op.execute(f"COMMENT ON COLUMN {column} IS '{said}'")
        op.execute("CREATE INDEX idx_transactions_position ON score_transactions (position)")
        # Room on each page, so that a cached rank is rewritten in place and touches no index.
        op.execute("ALTER TABLE user_scores SET (fillfactor = 80)")


def _refuse_changes(dialect: str) -> None:
    """Make the triggers that keep entries and suspensions insert-only."""
    if dialect == "postgresql":
        for table in ("score_transactions", "suspensions"):
            op.execute(
                f"CREATE TRIGGER {table}_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    same = {
        "score_transactions": "position = NEW.position OR (ledger_shard, user_id, action_id)"
        " = (NEW.ledger_shard, NEW.user_id, NEW.action_id)",
        "suspensions": "turn = NEW.turn OR suspension_id = NEW.suspension_id",
    }
    for table, found in same.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
        for change in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} {refuse}")
        # INSERT OR REPLACE deletes a row without firing the triggers above.
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
            f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {found}) {refuse}"
        )
