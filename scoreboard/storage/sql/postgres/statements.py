"""PostgreSQL statements of the award path: awards, resets and epochs, and their deadlines.

A parameter is a JSON array. The server converts milliseconds to ``timestamptz`` and back by way of ``float8``, which is exact for
them and costs a quarter of ``numeric``.
"""

# ruff: noqa: S608  only constants of ours are put into these texts

from __future__ import annotations

from typing import Final

from scoreboard.domain.entries import RESET
from scoreboard.domain.judgement import DAY_MS
from scoreboard.domain.players import SCORE_MILESTONE
from scoreboard.storage.sql import award
from scoreboard.storage.sql.award import CLOCK_MS, Statements

LOCK_MS_MAX: Final = 1_500
#: An award waits only for a row that another transaction inserts; after this time it sets the row's player aside.
AWARD_LOCK_MS_MAX: Final = 300
#: Judging takes a millisecond. A process that holds locks and is silent for longer was stopped, and other writers wait for it.
IDLE_MS_MAX: Final = 2_500

#: Players in a parameter: their shard and their id. Each statement on a player's rows names both.
_PLAYERS: Final = "json_to_recordset($1) AS asked (ledger_shard smallint, user_id text"
_TOTALS: Final = (
    "json_to_recordset($1) AS r (ledger_shard smallint, user_id text, username text, avatar text, score bigint, version bigint,"
    " total_actions bigint, at_ms bigint, created_at_ms bigint, named_at_s bigint)"
)
#: The columns of an entry, for awards and for resets: each SELECT gives its values in this order.
_ENTRY: Final = (
    "ledger_shard, user_id, action_id, transaction_id, action_type, score_before, score_after, score_awarded, timestamp,"
    " ip_address, user_agent, validated, metadata, version"
)


def set_scores(parameter: str) -> str:
    """The statement that writes standings of boards. ``parameter`` stands for their JSON array."""
    return f"""
        INSERT INTO board_standings (board, bucket, ledger_shard, user_id, score, reached_at, version, actions)
        SELECT board, bucket, ledger_shard, user_id, score, to_timestamp(reached_at_ms / 1000::float8), version, actions
        FROM json_to_recordset({parameter}) AS r (ledger_shard smallint, user_id text, board smallint, bucket text, score bigint,
            reached_at_ms bigint, version bigint, actions bigint)
        ON CONFLICT (board, bucket, ledger_shard, user_id) DO UPDATE
        SET score = excluded.score, reached_at = excluded.reached_at, version = excluded.version, actions = excluded.actions
    """


STATEMENTS: Final[Statements] = {
    # Each statement must see what was committed while the one before it waited for a lock, whatever the database's default is.
    "begin": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "keep_receipts": f"""
        INSERT INTO action_receipts (ledger_shard, user_id, action_id, rank, previous_rank)
        SELECT ledger_shard, user_id, action_id, rank, previous_rank
        FROM {_PLAYERS}, action_id uuid, rank bigint, previous_rank bigint)
        ON CONFLICT (ledger_shard, user_id, action_id) DO NOTHING
    """,
    # Locks the accounts that are free and waits for none. A known account that is not locked is held by another transaction; when
    # all are locked, which is usual, the second lookup is left out.
    "accounts": f"""
        SELECT json_build_object('locked', coalesce(accounts, '{{}}'), 'known',
            CASE WHEN locked < json_array_length($1) THEN (
                SELECT json_agg(user_id) FROM {_PLAYERS}) JOIN user_scores AS u USING (ledger_shard, user_id)) END)
        FROM (
            SELECT count(*) AS locked, json_object_agg(user_id, json_build_object(
                'points', score, 'version', version, 'actions', total_actions,
                'created_at_ms', (date_part('epoch', created_at) * 1000)::bigint,
                'username', username, 'avatar', avatar, 'named_at_s', named_at)) AS accounts
            FROM (
                SELECT u.user_id, u.score, u.version, u.total_actions, u.created_at, u.username, u.avatar, u.named_at
                FROM {_PLAYERS}) JOIN user_scores AS u USING (ledger_shard, user_id)
                ORDER BY u.ledger_shard, u.user_id FOR NO KEY UPDATE OF u SKIP LOCKED
            ) AS free
        ) AS all_free
    """,
    # A statement of its own, after the locks: its snapshot holds every suspension that was committed before them.
    "suspended": f"""
        SELECT coalesce(json_agg(asked.user_id), '[]') FROM {_PLAYERS})
        WHERE (
            SELECT s.suspended FROM suspensions AS s WHERE s.ledger_shard = asked.ledger_shard AND s.user_id = asked.user_id
            ORDER BY s.turn DESC LIMIT 1)
    """,
    # This query finds actions by their ids alone. With the player, the planner might use an index over all entries of the player.
    "used": """
        SELECT coalesce(json_agg(json_build_array(t.user_id, t.action_id, json_build_object(
            'action_type', t.action_type, 'receipt', json_build_object(
                'points', t.score_awarded, 'total', t.score_after,
                'rank', r.rank, 'previous_rank', r.previous_rank, 'degraded', r.rank IS NULL)))), '[]')
        FROM score_transactions AS t LEFT JOIN action_receipts AS r USING (ledger_shard, user_id, action_id)
        WHERE t.action_id = ANY (ARRAY(SELECT json_array_elements_text($1)::uuid))
    """,
    "today": f"""
        SELECT coalesce(json_agg(json_build_array(asked.user_id, asked.action_type, asked.day_ms, (
            SELECT count(*) FROM score_transactions AS t
            WHERE t.ledger_shard = asked.ledger_shard AND t.user_id = asked.user_id AND t.action_type = asked.action_type
            AND t.timestamp >= to_timestamp(asked.day_ms / 1000::float8)
            AND t.timestamp < to_timestamp((asked.day_ms + {DAY_MS}) / 1000::float8)))), '[]')
        FROM {_PLAYERS}, action_type text, day_ms bigint)
    """,
    "completed": f"""
        SELECT coalesce(json_agg(json_build_array(asked.user_id, asked.action_type)), '[]')
        FROM {_PLAYERS}, action_type text)
        WHERE EXISTS (
            SELECT FROM score_transactions AS t WHERE t.ledger_shard = asked.ledger_shard
            AND t.user_id = asked.user_id AND t.action_type = asked.action_type)
    """,
    "generation": "SELECT coalesce(max(change), 0)::text FROM board_definitions",
    "definitions": """
        SELECT json_build_array(coalesce(max(change), 0), coalesce(json_agg(json_build_object(
            'number', number, 'definition', definition::json, 'filled_through', filled_through) ORDER BY number)
            FILTER (WHERE removed_at IS NULL), '[]')) FROM board_definitions
    """,
    # OFFSET 0 keeps the planner from reading all standings, which it takes for cheaper while there are few.
    "scores": """
        SELECT coalesce(json_agg(json_build_array(player.user_id, open.board, open.bucket, s.score,
            (date_part('epoch', s.reached_at) * 1000)::bigint, s.version, s.actions)), '[]')
        FROM json_to_recordset($1::json -> 'players') AS player (ledger_shard smallint, user_id text)
        CROSS JOIN json_to_recordset($1::json -> 'buckets') AS open (board smallint, bucket text)
        CROSS JOIN LATERAL (
            SELECT score, reached_at, version, actions FROM board_standings AS b WHERE b.board = open.board
            AND b.bucket = open.bucket AND b.ledger_shard = player.ledger_shard AND b.user_id = player.user_id OFFSET 0) AS s
    """,
    "set_scores": set_scores("$1"),
    "open_accounts": f"""
        INSERT INTO user_scores (ledger_shard, user_id, username, avatar, named_at, score, version, total_actions,
            last_updated, reached_at, last_action_at, created_at)
        SELECT ledger_shard, user_id, username, avatar, named_at_s, score, version, total_actions, at, at, at,
            to_timestamp(created_at_ms / 1000::float8)
        FROM {_TOTALS}, to_timestamp(at_ms / 1000::float8) AS at
        ORDER BY ledger_shard, user_id
    """,
    "raise_totals": f"""
        UPDATE user_scores AS u SET username = r.username, avatar = r.avatar, named_at = r.named_at_s, score = r.score,
            version = r.version, total_actions = r.total_actions, last_updated = at, reached_at = at, last_action_at = at
        FROM {_TOTALS}, to_timestamp(at_ms / 1000::float8) AS at
        WHERE u.ledger_shard = r.ledger_shard AND u.user_id = r.user_id
    """,
    "append": f"""
        INSERT INTO score_transactions ({_ENTRY})
        SELECT ledger_shard, user_id, action_id, transaction_id, action_type, score_before, score_after,
            score_awarded, to_timestamp(at_ms / 1000::float8), ip_address, user_agent, validated, metadata::json, version
        FROM {_PLAYERS}, action_id uuid, transaction_id uuid, action_type text,
            score_before bigint, score_after bigint, score_awarded bigint, at_ms bigint,
            ip_address text, user_agent text, validated boolean, metadata text, version bigint)
    """,
    # It never waits: another writer that could unlock a milestone of these players waits for their rows in user_scores.
    "unlock": f"""
        INSERT INTO achievements (ledger_shard, user_id, kind, milestone, action_id, unlocked_at)
        SELECT ledger_shard, user_id, '{SCORE_MILESTONE}', milestone, action_id, to_timestamp(at_ms / 1000::float8)
        FROM {_PLAYERS}, milestone bigint, action_id uuid, at_ms bigint)
        ON CONFLICT DO NOTHING
        RETURNING json_build_array(user_id, milestone)
    """,
    # The rank is for people who read the table. It skips locked rows, so it never waits and takes part in no deadlock.
    "cache_ranks": f"""
        UPDATE user_scores AS u SET rank = seen.rank
        FROM (
            SELECT s.ledger_shard, s.user_id, asked.rank
            FROM {_PLAYERS}, rank bigint) JOIN user_scores AS s USING (ledger_shard, user_id)
            WHERE s.rank IS DISTINCT FROM asked.rank
            FOR NO KEY UPDATE OF s SKIP LOCKED
        ) AS seen
        WHERE u.ledger_shard = seen.ledger_shard AND u.user_id = seen.user_id
    """,
    "commit": "COMMIT",
}
_ALL: Final = "reached_at IS NOT NULL"
_NAMED: Final = f"""{_ALL} AND (ledger_shard, user_id) IN (
            SELECT * FROM json_to_recordset(%(players)s) AS asked (ledger_shard smallint, user_id text))"""
#: It skips the rows that another session has locked.
_RESET: Final = """
    WITH gone AS MATERIALIZED (
        SELECT ledger_shard, user_id, score, version, to_timestamp(%(at_ms)s / 1000::float8) AS at FROM user_scores
        WHERE {which} ORDER BY ledger_shard, user_id FOR NO KEY UPDATE SKIP LOCKED
    ), entered AS (
        INSERT INTO score_transactions ({entry})
        SELECT ledger_shard, user_id, gen_random_uuid(), gen_random_uuid(), '{reset}', score, 0, -score, at, '', '', true,
            %(metadata)s::json, version + 1
        FROM gone
    )
    UPDATE user_scores AS u SET score = 0, rank = NULL, version = u.version + 1, total_actions = 0,
        last_updated = gone.at, reached_at = NULL
    FROM gone WHERE u.ledger_shard = gone.ledger_shard AND u.user_id = gone.user_id
    RETURNING u.user_id, u.username, u.avatar, u.version
"""
RESET_ALL, RESET_NAMED = (_RESET.format(which=which, reset=RESET, entry=_ENTRY) for which in (_ALL, _NAMED))
#: After a reset, in its transaction, with the open buckets of all boards: it takes the players of this reset off them.
_RESET_SCORES: Final = """
    UPDATE board_standings AS s SET score = 0, reached_at = NULL, version = u.version, actions = 0
    FROM user_scores AS u, json_to_recordset(%(open)s) AS open (board smallint, bucket text)
    WHERE {which} AND u.last_updated = CAST(to_timestamp(%(at_ms)s / 1000::float8) AS timestamptz(3)) AND s.board = open.board
        AND s.bucket = open.bucket AND s.ledger_shard = u.ledger_shard AND s.user_id = u.user_id AND s.reached_at IS NOT NULL
"""
_OFF: Final = "u.reached_at IS NULL"
RESET_ALL_SCORES: Final = _RESET_SCORES.format(which=_OFF)
RESET_NAMED_SCORES: Final = _RESET_SCORES.format(
    which=f"""{_OFF} AND (u.ledger_shard, u.user_id) IN (
            SELECT * FROM json_to_recordset(%(players)s) AS asked (ledger_shard smallint, user_id text))"""
)
#: After a reset, in its transaction: the players whose rows were locked, and those who came on the board while it ran.
ALL_ON_BOARD, NAMED_ON_BOARD = (f"SELECT user_id FROM user_scores WHERE {which}" for which in (_ALL, _NAMED))

NEXT_EPOCH: Final = award.NEXT_EPOCH.format(
    clock_ms=CLOCK_MS["postgresql"],
    greatest="greatest",
    board_id="$1::json ->> 'board_id'",
    run="$1::json ->> 'run'",
    above="($1::json ->> 'above')::bigint",
)
