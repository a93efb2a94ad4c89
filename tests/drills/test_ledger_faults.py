"""Faults of clocks, commit orders and stores under whole servers: five seconds after a fault the board equals the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis

from tests.journeys.server import ServerProcess
from tests.pauses import until_true
from tests.programs import libfaketime
from tests.storage.sql_stores import run_sql
from tests.storage_redis.redis_server import RedisServer

BACK_S_MAX = 5.0
until = partial(until_true, within_s=BACK_S_MAX)


@pytest.fixture
def shared_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def upgraded(server: ServerProcess) -> ServerProcess:
    assert server.command_line("db", "upgrade").returncode == 0
    return server


def totals(url: str) -> list[tuple[str, int]]:
    """The totals in the ledger, highest first."""
    asked = "SELECT user_id, score FROM user_scores WHERE reached_at IS NOT NULL ORDER BY score DESC, reached_at, user_id DESC"
    return [(user_id, score) for user_id, score in run_sql(url, asked)]


def shows(server: ServerProcess) -> tuple[list[tuple[str, int]], bool]:
    data = server.get("/api/v1/scores/leaderboard?limit=100", server.issue_token("reader")).body["data"]
    return [(row["userId"], row["score"]) for row in data["leaderboard"]], data.get("degraded", False)


def test_awards_with_a_wrong_clock_hide_no_other_awards_from_the_board(
    new_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+50m")
    server = new_server(
        LD_PRELOAD=libfaketime(), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1", DONT_FAKE_MONOTONIC="1"
    )
    server.launch()
    server.wait_until_in_sync()
    # The test's tokens follow the true clock and are valid for an hour, so both servers admit them.
    assert server.play("ahead").status == 200
    clock.write_text("+0")
    time.sleep(1.5)
    server.play("now")
    socket = str(server.data_dir / "redis" / "redis.sock")
    redis.Redis(unix_socket_path=socket).client_kill_filter(_type="normal")
    redis.Redis(unix_socket_path=socket).execute_command("CLIENT", "PAUSE", "6000", "ALL")
    for n in range(5):
        assert server.play(f"meanwhile-{n}").status == 200
    time.sleep(6)
    url = f"sqlite:///{server.data_dir}/ledger.db"
    until(lambda: shows(server) == (totals(url), False))
    assert len(totals(url)) == 7


def test_another_server_sets_a_late_commit_of_a_killed_server_on_the_board(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer, postgres_url: str
) -> None:
    first = upgraded(new_server(DATABASE_URL=postgres_url, REDIS_URL=shared_redis.url))
    first.start()
    second = new_server(DATABASE_URL=postgres_url, REDIS_URL=shared_redis.url)
    second.start(SCOREBOARD_FAILPOINT="committed")  # the server ends after its next commit, before it sets the board
    assert first.play("early").status == 200
    with ThreadPoolExecutor(32) as pool:
        with psycopg.connect(postgres_url) as blocker:
            waiting = [second.initialize(f"late-{n}") for n in range(16)]
            blocker.execute("LOCK TABLE score_transactions IN ACCESS EXCLUSIVE MODE")
            answers = [pool.submit(_submit_until_dead, second, f"late-{n}", one) for n, one in enumerate(waiting)]
            time.sleep(13)
        for answer in answers:
            answer.result(30)
    assert second.process is not None
    second.process.wait(20)
    assert any(user.startswith("late-") for user, _ in totals(postgres_url)), "the award was committed"
    until(lambda: shows(first) == (totals(postgres_url), False))


def _submit_until_dead(server: ServerProcess, user: str, submission: dict[str, object]) -> None:
    """Submit like a client that waits and retries, until the server has ended."""
    until_s = time.monotonic() + 25
    while time.monotonic() < until_s:
        try:
            if server.submit(user, submission).status != 503:
                return
        except OSError:
            return
        time.sleep(0.2)


def test_a_redis_that_refuses_writes_is_not_read_as_current(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer
) -> None:
    server = new_server(REDIS_URL=shared_redis.url).start()
    assert server.play("amy").status == 200
    shared_redis.tell("CONFIG", "SET", "maxmemory", "1")
    for _ in range(3):
        assert server.play("amy").status == 200
    time.sleep(3.2)
    answer = server.get("/api/v1/scores/me", server.issue_token("amy"))
    assert (answer.body["data"]["score"], answer.body["data"]["degraded"]) == (400, True)
    page = server.get("/api/v1/scores/leaderboard", server.issue_token("amy"))
    assert page.body["data"]["degraded"] is True
    assert "etag" not in page.headers
    assert server.get("/readyz").status == 200
    assert server.get("/readyz?strict").status == 503
    shared_redis.tell("CONFIG", "SET", "maxmemory", "0")
    until(lambda: shows(server) == ([("amy", 400)], False))
    until(lambda: server.get("/readyz?strict").status == 200)


@pytest.mark.parametrize("pause_s", [0.0, 0.5], ids=["before the first round", "after it"])
@pytest.mark.parametrize("amys_awards", [3, 2], ids=["an award shows it", "the sweep finds it"])
def test_the_board_soon_equals_a_ledger_that_lost_awards_in_a_failover(
    amys_awards: int, pause_s: float, new_server: Callable[..., ServerProcess], shared_redis: RedisServer, postgres_url: str
) -> None:
    """The next award of a player shows it, if its version is lower than the board's; otherwise the sweep finds it."""
    server = upgraded(new_server(DATABASE_URL=postgres_url, REDIS_URL=shared_redis.url))
    server.start()
    for user in ["amy"] * amys_awards + ["bob", "cat"]:
        assert server.play(user).status == 200
    epoch = run_sql(postgres_url, "SELECT epoch FROM boards WHERE board_id = 'global'")[0][0]
    time.sleep(pause_s)
    # As in a failover to a replica that has only the first award: the others are gone without a trace.
    run_sql(
        postgres_url,
        """
        ALTER TABLE score_transactions DISABLE TRIGGER score_transactions_insert_only;
        DELETE FROM score_transactions WHERE user_id IN ('bob', 'cat') OR (user_id = 'amy' AND score_before > 0);
        ALTER TABLE score_transactions ENABLE TRIGGER score_transactions_insert_only;
        UPDATE user_scores SET score = 100, version = 1, total_actions = 1 WHERE user_id = 'amy';
        DELETE FROM user_scores WHERE user_id IN ('bob', 'cat')
        """,
    )
    assert server.play("amy").status == 200
    until(lambda: shows(server) == (totals(postgres_url), False))
    assert run_sql(postgres_url, "SELECT epoch FROM boards WHERE board_id = 'global'")[0][0] > epoch
    assert "the ledger went back" in server.log
    assert "Traceback" not in server.log


def test_the_sweep_repairs_a_difference_that_no_award_shows(
    new_server: Callable[..., ServerProcess], shared_redis: RedisServer, postgres_url: str
) -> None:
    server = upgraded(new_server(DATABASE_URL=postgres_url, REDIS_URL=shared_redis.url))
    server.start()
    for user in ("amy", "bob", "cat"):
        assert server.play(user).status == 200
    store = redis.Redis(unix_socket_path=shared_redis.url.removeprefix("unix://"))
    store.zadd("leaderboard:global", {"bob": 9_999.25})
    until(lambda: shows(server) == (totals(postgres_url), False))
    assert "board_gaps_total 1" in server.get("/metrics").body
