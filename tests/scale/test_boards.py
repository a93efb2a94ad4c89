"""Four boards of many players: how long the filling takes, what a player costs in Redis, and what the end of a bucket costs."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import psycopg
import pytest
import redis

from scoreboard.domain.players import ledger_shard
from scoreboard.storage.schema import migrate
from tests.drills.filled_ledger import fill
from tests.journeys.figures import Figures
from tests.journeys.server import ServerProcess
from tests.scale.cpu_usage import CpuUsage
from tests.storage.postgres_server import PostgresServer
from tests.storage_redis.redis_server import RedisServer

FILL_S_MAX = 60.0
PLAYER_BYTES_MAX = 1_126.4
BUCKET_CPU_S_MAX = 0.05
LOOKS_S = 20.0
BOARDS = ("daily", "weekly", "monthly")


def with_uuids(url: str, players: int, entries: int, at_ms: int) -> None:
    """Give each player a UUID as id, a name of 12 characters, and so many entries of one point."""
    rows = [(ledger_shard(user_id), user_id) for user_id in (str(uuid.uuid4()) for _ in range(players))]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE new_players (ledger_shard smallint, user_id text)")
        with connection.cursor().copy("COPY new_players FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute(
            """INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at, reached_at,
            total_actions) SELECT ledger_shard, user_id, left(user_id, 12), %s, %s, at, at, at, %s
            FROM new_players, to_timestamp(%s / 1000.0) AS at""",
            [entries, entries, entries, at_ms],
        )
        connection.execute(
            """INSERT INTO score_transactions (ledger_shard, user_id, action_id, transaction_id, action_type, score_before,
            score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata, version)
            SELECT ledger_shard, user_id, gen_random_uuid(), gen_random_uuid(), 'COMPLETE_QUEST', n - 1, n, 1,
            to_timestamp(%s / 1000.0), '', '', true, '{}', n FROM new_players, generate_series(1, %s) AS n""",
            [at_ms, entries],
        )
        connection.execute("ANALYZE")


def players_of(server: ServerProcess) -> dict[str, int | None]:
    listed = server.get("/api/v1/boards", server.issue_token("reader")).body["data"]["boards"]
    return {one["board"]: one["players"] for one in listed}


def is_readable(server: ServerProcess, board: str) -> bool:
    return server.get(f"/api/v1/scores/leaderboard?board={board}", server.issue_token("reader")).status == 200


@pytest.mark.parametrize(("players", "entries"), [(10_000, 10), (100_000, 10), (1_000_000, 1)])
def test_boards_are_filled_in_and_fit_into_memory(players: int, entries: int, tmp_path: Path) -> None:
    figures = Figures(f"four boards of {players:,} players with {players * entries:,} entries, PostgreSQL")
    database, store = PostgresServer(), RedisServer()
    server = ServerProcess(tmp_path / "var", {"RATE_LIMIT_GLOBAL_MAX": "1000000", "REDIS_URL": store.url})
    try:
        database.start()
        url = server.more["DATABASE_URL"] = database.fresh()
        migrate(url)
        with_uuids(url, players, entries, int(time.time() * 1000))
        client = redis.Redis(unix_socket_path=store.url.removeprefix("unix://").partition("?")[0])
        empty = int(client.info("memory")["used_memory"])
        server.launch()
        server.wait_until_ready()
        cpu, began_s = CpuUsage(server, client, database), time.monotonic()
        while not all(is_readable(server, name) for name in BOARDS):
            time.sleep(0.2)
        figures.say("filled in: s", time.monotonic() - began_s)
        figures.say("filled in: CPU s", str(cpu.so_far()))
        if players * entries == 1_000_000 and players < 1_000_000:
            figures.promise("a million entries: s", time.monotonic() - began_s, FILL_S_MAX)
        until_s = time.monotonic() + 600
        while players_of(server) != dict.fromkeys(("global", *BOARDS), players) or server.get("/readyz?strict").status != 200:
            assert time.monotonic() < until_s, server.log[-3000:]
            time.sleep(1)
        figures.say("on all boards in Redis: s", time.monotonic() - began_s)
        time.sleep(12)  # the keys that rebuilds wrote aside are gone
        used = int(client.info("memory")["used_memory"]) - empty
        figures.promise("bytes a player on four boards", used / players, PLAYER_BYTES_MAX)
        assert server.stop() == 0
        assert "Traceback" not in server.log
    finally:
        server.kill()
        store.close()
        database.remove()
    assert figures.verdict() == 0


def test_the_end_of_a_bucket_with_many_players_costs_little(tmp_path: Path) -> None:
    """Compares the time around the end of a minute of 100,000 players with a time without one."""
    figures = Figures("the end of a bucket of 100,000 players, SQLite")
    (tmp_path / "boards.toml").write_text('[minute]\nevery = "2m"\n')
    data_dir = tmp_path / "var"
    data_dir.mkdir(mode=0o700)
    url = f"sqlite:///{data_dir}/ledger.db"
    migrate(url)
    server = ServerProcess(data_dir, {"DATABASE_URL": url, "SCOREBOARD_BOARDS_FILE": str(tmp_path / "boards.toml")})
    while not 5 < time.time() % 120 < 40:
        time.sleep(1)
    fill(url, 100_000, at_ms=int(time.time() * 1000))
    try:
        server.start()
        client = redis.Redis(unix_socket_path=str(data_dir / "redis" / "redis.sock"))
        until_s = time.monotonic() + 60
        while players_of(server)["minute"] != 100_000:
            assert time.monotonic() < until_s, server.log[-3000:]
            time.sleep(0.5)
        shares = []
        for begins_s in (LOOKS_S + 5, 10):  # so many seconds before the end: a look that is over by then, and one over the end
            while 120 - time.time() % 120 > begins_s:
                time.sleep(0.1)
            cpu = CpuUsage(server, client, None)
            time.sleep(LOOKS_S)
            shares.append(sum(cpu.so_far().values()))
        figures.say("CPU s in 20 s without an end", shares[0])
        figures.say("CPU s in 20 s with an end", shares[1])
        figures.promise("the end: CPU s", shares[1] - shares[0], BUCKET_CPU_S_MAX)
        assert players_of(server)["minute"] == 0
        assert server.stop() == 0
    finally:
        server.kill()
    assert figures.verdict() == 0
