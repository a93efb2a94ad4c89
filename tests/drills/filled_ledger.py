"""Fills a ledger with many players in seconds: it inserts the rows that awards would have written."""

from __future__ import annotations

import io
import sqlite3
import uuid

import psycopg

from scoreboard.domain.players import ledger_shard

NOW_MS = 1_790_000_000_000


def fill(url: str, players: int, *, entries: bool = True, at_ms: int = NOW_MS) -> None:
    """Insert players ``player-0`` and so on into an upgraded, empty ledger; each has one entry, and its number as points.

    The entry has this time.

    Without entries this takes a tenth of the time. Rebuilds and awards work, but the entries do not add up to the totals.
    """
    if url.startswith("sqlite"):
        _fill_sqlite(url, players, entries, at_ms)
    else:
        _fill_postgres(url, players, entries, at_ms)


def _fill_sqlite(url: str, players: int, entries: bool, at_ms: int) -> None:
    handle = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    handle.create_function("shard", 1, ledger_shard)
    handle.create_function("fresh_id", 0, lambda: str(uuid.uuid4()))
    numbers = f"WITH RECURSIVE g (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {players})"
    handle.execute("BEGIN")
    handle.execute(
        f"""{numbers} INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at,
        reached_at, total_actions) SELECT shard('player-' || n), 'player-' || n, 'Player ' || n, n, 1, {at_ms}, {at_ms},
        {at_ms} + n % 1000, 1 FROM g"""
    )
    handle.execute(
        f"""INSERT INTO score_transactions (ledger_shard, user_id, action_id, transaction_id, action_type, score_before,
        score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata) SELECT ledger_shard, user_id,
        fresh_id(), fresh_id(), 'COMPLETE_QUEST', 0, score, score, {at_ms}, '', '', true, '{{}}' FROM user_scores
        WHERE {entries}"""
    )
    handle.execute("COMMIT")
    handle.close()


def _fill_postgres(url: str, players: int, entries: bool, at_ms: int) -> None:
    rows = io.StringIO()
    for n in range(players):
        user = f"player-{n}"
        rows.write(f"{ledger_shard(user)}\t{user}\tPlayer {n}\t{n}\n")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE new_players (ledger_shard smallint, user_id text, username text, score bigint)"
        )
        with connection.cursor().copy("COPY new_players FROM STDIN") as copy:
            copy.write(rows.getvalue())
        connection.execute(
            """INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at, reached_at,
            total_actions) SELECT ledger_shard, user_id, username, score, 1, at, at, at + score %% 1000 * interval '1 ms', 1
            FROM new_players, to_timestamp(%s / 1000.0) AS at""",
            [at_ms],
        )
        connection.execute(
            """INSERT INTO score_transactions (ledger_shard, user_id, action_id, transaction_id, action_type, score_before,
            score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata) SELECT ledger_shard, user_id,
            gen_random_uuid(), gen_random_uuid(), 'COMPLETE_QUEST', 0, score, score, to_timestamp(%s / 1000.0), '', '', true, '{}'
            FROM new_players WHERE %s""",
            [at_ms, entries],
        )
        connection.execute("ANALYZE")
