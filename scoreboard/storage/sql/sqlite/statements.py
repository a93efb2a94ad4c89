"""SQLite statements of the award path: awards, resets and epochs.

A parameter is a JSON array that ``json_each`` turns into rows: a statement is one step of SQLite, whatever the number of rows. A
step releases the interpreter's lock, and must get it back from the reactor's thread.
"""

# ruff: noqa: S608  only constants of ours are put into these texts

from __future__ import annotations

from typing import Final

from scoreboard.domain.entries import RESET
from scoreboard.domain.judgement import DAY_MS
from scoreboard.domain.players import SCORE_MILESTONE
from scoreboard.storage.sql import award
from scoreboard.storage.sql.award import CLOCK_MS, Statements


def _member(*names: str) -> str:
    return ", ".join(f"json_extract(value, '$.{name}')" for name in names)


def _named(*names: str) -> str:
    return ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)


def _asked(*names: str) -> str:
    return f"(SELECT {_named(*names)} FROM json_each(?)) AS asked"


_TOTAL: Final = ("username", "avatar", "named_at_s", "score", "version", "total_actions", "at_ms", "at_ms", "at_ms")
_PLAYER: Final = ("ledger_shard", "user_id")
#: The columns of an entry but its time, for awards and for resets: RESET_ENTRIES gives its values in this order.
_ENTRY: Final = (
    *("transaction_id", *_PLAYER, "action_id", "action_type", "score_before", "score_after"),
    *("score_awarded", "ip_address", "user_agent", "validated", "metadata", "version"),
)


def set_scores(parameter: str) -> str:
    """The statement that writes standings of boards. ``parameter`` stands for their JSON array."""
    row = _member(*_PLAYER, "board", "bucket", "score", "reached_at_ms", "version", "actions")
    return f"""
        INSERT INTO board_standings (ledger_shard, user_id, board, bucket, score, reached_at, version, actions)
        SELECT {row} FROM json_each({parameter}) WHERE true
        ON CONFLICT (board, bucket, ledger_shard, user_id) DO UPDATE
        SET score = excluded.score, reached_at = excluded.reached_at, version = excluded.version, actions = excluded.actions
    """


STATEMENTS: Final[Statements] = {
    # Takes the writer's lock before anything is read, so the facts that were gathered stay true until the commit.
    "begin": "BEGIN IMMEDIATE",
    "keep_receipts": f"""
        INSERT INTO action_receipts (ledger_shard, user_id, action_id, rank, previous_rank)
        SELECT {_member(*_PLAYER, "action_id", "rank", "previous_rank")} FROM json_each(?) WHERE true
        ON CONFLICT DO NOTHING
    """,
    "accounts": f"""
        SELECT json_object('locked', json_group_object(user_id, json_object('points', score, 'version', version,
            'actions', total_actions, 'created_at_ms', created_at, 'username', username, 'avatar', avatar,
            'named_at_s', named_at)))
        FROM {_asked(*_PLAYER)} CROSS JOIN user_scores USING (ledger_shard, user_id)
    """,
    "suspended": f"""
        SELECT json_group_array(asked.user_id) FROM {_asked(*_PLAYER)}
        WHERE (
            SELECT s.suspended FROM suspensions AS s WHERE s.ledger_shard = asked.ledger_shard AND s.user_id = asked.user_id
            ORDER BY s.turn DESC LIMIT 1)
    """,
    "used": """
        SELECT json_group_array(json_array(t.user_id, t.action_id, json_object(
            'action_type', t.action_type, 'receipt', json_object(
                'points', t.score_awarded, 'total', t.score_after, 'rank', r.rank, 'previous_rank', r.previous_rank,
                'degraded', json(iif(r.rank IS NULL, 'true', 'false'))))))
        FROM score_transactions AS t LEFT JOIN action_receipts AS r USING (ledger_shard, user_id, action_id)
        WHERE t.action_id IN (SELECT value FROM json_each(?))
    """,
    "today": f"""
        SELECT json_group_array(json_array(asked.user_id, asked.action_type, asked.day_ms, (
            SELECT count(*) FROM score_transactions AS t
            WHERE t.ledger_shard = asked.ledger_shard AND t.user_id = asked.user_id AND t.action_type = asked.action_type
            AND t.timestamp >= asked.day_ms AND t.timestamp < asked.day_ms + {DAY_MS})))
        FROM {_asked(*_PLAYER, "action_type", "day_ms")}
    """,
    "completed": f"""
        SELECT json_group_array(json_array(asked.user_id, asked.action_type))
        FROM {_asked(*_PLAYER, "action_type")}
        WHERE EXISTS (
            SELECT 1 FROM score_transactions AS t WHERE t.ledger_shard = asked.ledger_shard
            AND t.user_id = asked.user_id AND t.action_type = asked.action_type)
    """,
    "generation": "SELECT CAST(coalesce(max(change), 0) AS TEXT) FROM board_definitions",
    "definitions": """
        SELECT json_array(coalesce(max(change), 0), json_group_array(json_object('number', number,
            'definition', json(definition), 'filled_through', filled_through)) FILTER (WHERE removed_at IS NULL))
        FROM board_definitions
    """,
    "scores": f"""
        SELECT json_group_array(json_array(s.user_id, s.board, s.bucket, s.score, s.reached_at, s.version, s.actions))
        FROM (SELECT {_named(*_PLAYER)} FROM json_each(?1, '$.players')) AS player
        CROSS JOIN (SELECT {_named("board", "bucket")} FROM json_each(?1, '$.buckets')) AS open
        CROSS JOIN board_standings AS s USING (board, bucket, ledger_shard, user_id)
    """,
    "set_scores": set_scores("?"),
    "open_accounts": f"""
        INSERT INTO user_scores (ledger_shard, user_id, created_at, username, avatar, named_at, score, version, total_actions,
            last_updated, reached_at, last_action_at)
        SELECT {_member(*_PLAYER, "created_at_ms", *_TOTAL)} FROM json_each(?)
    """,
    "raise_totals": f"""
        UPDATE user_scores SET
            (username, avatar, named_at, score, version, total_actions, last_updated, reached_at, last_action_at)
            = ({_member(*_TOTAL)})
        FROM json_each(?) AS r
        WHERE ledger_shard = json_extract(r.value, '$.ledger_shard') AND user_id = json_extract(r.value, '$.user_id')
    """,
    "append": f"""
        INSERT INTO score_transactions (timestamp, {", ".join(_ENTRY)})
        SELECT {_member("at_ms", *_ENTRY)} FROM json_each(?)
    """,
    "unlock": f"""
        INSERT INTO achievements (kind, ledger_shard, user_id, milestone, action_id, unlocked_at)
        SELECT '{SCORE_MILESTONE}', {_member(*_PLAYER, "milestone", "action_id", "at_ms")} FROM json_each(?) WHERE true
        ON CONFLICT DO NOTHING
        RETURNING json_array(user_id, milestone)
    """,
    "cache_ranks": f"""
        UPDATE user_scores SET rank = asked.rank FROM {_asked(*_PLAYER, "rank")}
        WHERE user_scores.ledger_shard = asked.ledger_shard AND user_scores.user_id = asked.user_id
    """,
    "commit": "COMMIT",
}
_GONE: Final = f"""reached_at IS NOT NULL AND (:players IS NULL OR (ledger_shard, user_id) IN (
        SELECT {_member(*_PLAYER)} FROM json_each(:players)))"""
RESET_ENTRIES: Final = f"""
    INSERT INTO score_transactions (timestamp, {", ".join(_ENTRY)})
    SELECT :at_ms, new_id(), ledger_shard, user_id, new_id(), '{RESET}', score, 0, -score, '', '', true, :metadata, version + 1
    FROM user_scores WHERE {_GONE}
"""
RESET_TOTALS: Final = f"""
    UPDATE user_scores SET score = 0, rank = NULL, version = version + 1, total_actions = 0,
        last_updated = :at_ms, reached_at = NULL
    WHERE {_GONE}
    RETURNING user_id, username, avatar, version
"""
#: After both, with the open buckets of all boards: it takes the players of this reset off them.
RESET_SCORES: Final = f"""
    UPDATE board_standings AS s SET score = 0, reached_at = NULL, version = u.version, actions = 0
    FROM (SELECT {_named("board", "bucket")} FROM json_each(:open)) AS open CROSS JOIN user_scores AS u
    WHERE u.reached_at IS NULL AND u.last_updated = :at_ms
        AND (:players IS NULL OR (u.ledger_shard, u.user_id) IN (SELECT {_member(*_PLAYER)} FROM json_each(:players)))
        AND s.board = open.board AND s.bucket = open.bucket AND s.ledger_shard = u.ledger_shard AND s.user_id = u.user_id
        AND s.reached_at IS NOT NULL
"""
NEXT_EPOCH: Final = award.NEXT_EPOCH.format(
    clock_ms=CLOCK_MS["sqlite"],
    greatest="max",
    board_id="json_extract(?1, '$.board_id')",
    run="json_extract(?1, '$.run')",
    above="json_extract(?1, '$.above')",
)
