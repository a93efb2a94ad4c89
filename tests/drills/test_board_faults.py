"""The board of 100,000 players under 300 readers: lost, damaged, and at a cold start, on both databases.

Within five seconds after the fault has ended the board equals the ledger, also under reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from scoreboard.storage.schema import migrate
from tests.drills.filled_ledger import fill
from tests.drills.readers import Readers
from tests.journeys.server import ServerProcess
from tests.pauses import pauses, within
from tests.storage.postgres_server import postgres

PLAYERS = 100_000
READERS = 300
BACK_S_MAX = 5.0
LISTENS_S_MAX = 4.0  # on a busy machine most of this is the start of the interpreter
RANKING, KNOWN = "leaderboard:global", "{leaderboard:global}:players"


@pytest.fixture(params=["sqlite", "postgresql"])
def large_server(request: pytest.FixtureRequest, tmp_path: Path) -> ServerProcess:
    """A server that is not started yet, on a ledger with many players, with its own empty Redis."""
    data_dir = tmp_path / "server"
    data_dir.mkdir(mode=0o700)
    url = postgres().fresh() if request.param == "postgresql" else f"sqlite:///{data_dir}/ledger.db"
    migrate(url)
    fill(url, PLAYERS)
    return ServerProcess(data_dir, {"DATABASE_URL": url, "RATE_LIMIT_GLOBAL_MAX": "1000000"})


def store_of(server: ServerProcess) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock"))


def back_after_s(server: ServerProcess, within_s: float = 60.0) -> float:
    """The seconds without pauses until the server answers with the whole board and is not degraded."""
    began = time.monotonic()
    token = server.issue_token("player-7")
    with pauses() as paused:
        while time.monotonic() - began < within_s:
            answer = server.get("/api/v1/scores/me", token)
            data = answer.body.get("data", {}) if answer.status == 200 else {}
            if data.get("rank") in (PLAYERS - 7, PLAYERS - 6) and not data.get("degraded"):  # a new player may be above
                return time.monotonic() - began - paused.seconds
            time.sleep(0.05)
    raise AssertionError(f"the board did not come back within {within_s} s:\n{server.log[-3000:]}")


def test_a_cold_start_listens_at_once_and_awards_during_the_rebuild(large_server: ServerProcess, tmp_path: Path) -> None:
    began = time.monotonic()
    try:
        with within(LISTENS_S_MAX):
            large_server.launch()
            while True:
                try:
                    if large_server.get("/healthz").status == 200:
                        break
                except OSError:
                    assert time.monotonic() - began < 20
                    time.sleep(0.02)
        awarded = large_server.play("newcomer")
        assert awarded.status == 200
        with Readers(large_server, READERS, 30, tmp_path):
            assert back_after_s(large_server) < BACK_S_MAX
        mine = large_server.get("/api/v1/scores/me", large_server.issue_token("newcomer")).body["data"]
        assert (mine["score"], mine["rank"]) == (100, PLAYERS - 99)  # player-100 had this number of points before
    finally:
        large_server.kill()


def lose_everything(store: redis.Redis) -> None:
    store.flushall()


def lose_the_ranking(store: redis.Redis) -> None:
    store.delete(RANKING)


def lose_some_of_the_ranking(store: redis.Redis) -> None:
    store.zremrangebyrank(RANKING, 10, 1_000)


def lose_some_records(store: redis.Redis) -> None:
    store.hdel(KNOWN, *(f"player-{n}" for n in range(PLAYERS - 5, PLAYERS)))


def lose_the_type(store: redis.Redis) -> None:
    store.set(RANKING, "not a sorted set")


@pytest.mark.parametrize("lose", [lose_everything, lose_the_ranking, lose_some_of_the_ranking, lose_some_records, lose_the_type])
def test_the_board_recovers_lost_data_within_five_seconds_under_reads(
    large_server: ServerProcess, lose: Callable[[redis.Redis], None], tmp_path: Path
) -> None:
    large_server.launch()
    try:
        large_server.wait_until_in_sync()
        with Readers(large_server, READERS, 40, tmp_path) as readers:
            time.sleep(3)
            lose(store_of(large_server))
            time.sleep(0.1)
            took = back_after_s(large_server)
            assert large_server.play("player-99999").status == 200
        assert took < BACK_S_MAX, readers.statuses
        assert set(readers.statuses) <= {"200", "200 degraded", "503"}, readers.statuses
        top = large_server.board(2)
        assert top == [("player-99999", PLAYERS - 1 + 100), ("player-99998", PLAYERS - 2)]
        assert large_server.stop() == 0
        assert "Traceback" not in large_server.log
    finally:
        large_server.kill()
