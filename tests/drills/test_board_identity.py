"""Stores that do not belong together: two ledgers on one Redis, two Redis for one ledger, and a restored ledger."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.journeys.server import ServerProcess
from tests.pauses import until_true
from tests.storage.sql_stores import run_sql
from tests.storage_redis.redis_server import RedisServer

BACK_S_MAX = 8.0  # five seconds, and a reserve for a busy machine
until = partial(until_true, within_s=BACK_S_MAX)


@pytest.fixture
def shared_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def reads(server: ServerProcess) -> tuple[list[tuple[str, int]], bool]:
    """(the top of the board, whether the answer is degraded)."""
    data = server.get("/api/v1/scores/leaderboard", server.issue_token("reader")).body["data"]
    return [(row["userId"], row["score"]) for row in data["leaderboard"]], data.get("degraded", False)


def expect_one_line_for_each_board(server: ServerProcess, text: str) -> None:
    """Assert that each bucket that the server follows has said this once, and not once a second."""
    logged = Counter(json.loads(text_line)["fields"]["board"] for text_line in server.log.splitlines() if text in text_line)
    assert {key.partition(":")[0] for key in logged} == {"global", "daily", "weekly", "monthly"}
    assert set(logged.values()) == {1}


def test_two_ledgers_on_one_redis_never_show_each_others_players(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer
) -> None:
    production = new_server(REDIS_URL=shared_redis.url).start()
    assert production.play("amy").status == 200
    staging = new_server(REDIS_URL=shared_redis.url)
    staging.launch()
    staging.wait_until_ready()
    awarded = staging.play("zed")
    assert (awarded.status, awarded.body["data"]["currentRank"]) == (200, None)
    assert reads(staging) == ([("zed", 100)], True)
    assert reads(production) == ([("amy", 100)], False)
    assert production.play("amy").body["data"]["currentRank"] == 1
    until(lambda: "this Redis holds the board of another ledger" in staging.log)
    time.sleep(3)
    expect_one_line_for_each_board(staging, "this Redis holds the board of another ledger")
    assert "Traceback" not in staging.log + production.log
    refused = staging.command_line("replay", "verify", "--repair")
    assert refused.returncode != 0
    assert "--take-over" in refused.stderr + refused.stdout
    assert reads(production) == ([("amy", 200)], False)
    assert staging.command_line("replay", "verify", "--repair", "--take-over").returncode in (0, 1)
    until(lambda: reads(staging) == ([("zed", 100)], False))
    until(lambda: reads(production) == ([("amy", 200)], True))


def test_two_servers_of_one_ledger_with_separate_redis_log_it_and_never_rebuild_in_turns(
    new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    first = new_server(DATABASE_URL=postgres_url)
    assert first.command_line("db", "upgrade").returncode == 0
    first.start()
    first.play("amy")
    second = new_server(DATABASE_URL=postgres_url)
    second.start()
    until(lambda: "another server keeps this ledger's board in another Redis" in first.log)
    epochs = run_sql(postgres_url, "SELECT epoch FROM boards WHERE board_id = 'global'")
    time.sleep(6)
    assert run_sql(postgres_url, "SELECT epoch FROM boards WHERE board_id = 'global'") == epochs
    expect_one_line_for_each_board(first, "another server keeps this ledger's board in another Redis")
    assert second.play("zed").body["data"]["currentRank"] == 2
    until(lambda: reads(first) == ([("amy", 100), ("zed", 100)], True))
    assert reads(second) == ([("amy", 100), ("zed", 100)], False)


def test_a_restored_ledger_repeats_no_epoch_and_resets_clients(new_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = new_server()
    server.start()
    server.play("amy")
    assert server.stop() == 0
    backup = (server.data_dir / "ledger.db").read_bytes()
    server.start()
    redis_file = server.data_dir / "redis" / "appendonly.aof"
    for _ in range(2):  # two more epochs: Redis is empty each time it returns
        assert server.stop() == 0
        redis_file.unlink()
        server.start()
    server.play("amy")
    cursor = server.get("/api/v1/scores/changes", server.issue_token("amy")).body["data"]["cursor"]
    assert server.stop() == 0
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (server.data_dir / name).unlink(missing_ok=True)
    (server.data_dir / "ledger.db").write_bytes(backup)
    redis_file.unlink()
    server.start()
    answer = server.get(f"/api/v1/scores/changes?since={cursor}", server.issue_token("amy")).body["data"]
    assert answer["reset"] is True
    assert int(answer["cursor"].partition(".")[0]) > int(cursor.partition(".")[0])
    assert reads(server) == ([("amy", 100)], False)
