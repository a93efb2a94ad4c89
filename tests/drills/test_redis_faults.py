"""Redis is killed, stopped or emptied under load: submissions still succeed, and the board equals the ledger soon after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.journeys.server import ServerProcess
from tests.journeys.test_crashes import totals_in
from tests.journeys.test_live import leaders, watch
from tests.pauses import pauses

PLAYERS = [f"player-{n}" for n in range(6)]
LOAD_S = 3.0
RECOVERY_S_MAX = 5.0


def redis_pid(server: ServerProcess) -> int:
    """The embedded redis-server of this server: the process whose working directory is the server's Redis home."""
    home_dir = (server.data_dir / "redis").resolve()
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and (process / "cwd").resolve() == home_dir
                and (process / "comm").read_text() == "redis-server\n"
            ):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("no embedded Redis is running")


def kill(server: ServerProcess) -> None:
    os.kill(redis_pid(server), signal.SIGKILL)


def stop_for_a_while(server: ServerProcess) -> None:
    pid = redis_pid(server)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(LOAD_S / 2)
    os.kill(pid, signal.SIGCONT)


def empty(server: ServerProcess) -> None:
    redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock")).flushall()


def keep_playing(server: ServerProcess, user: str) -> list[tuple[int, float, Any]]:
    """(status, seconds, data) of each submission in a series, one after the other."""
    answered = []
    until = time.monotonic() + LOAD_S
    while time.monotonic() < until:
        submission = server.initialize(user)
        began = time.monotonic()
        answer = server.submit(user, submission)
        answered.append((answer.status, time.monotonic() - began, answer.body.get("data")))
    return answered


@pytest.mark.parametrize("fault", [kill, stop_for_a_while, empty])
def test_submissions_succeed_during_a_redis_fault_and_the_board_recovers(
    fault: Callable[[ServerProcess], None], new_server: Callable[..., ServerProcess]
) -> None:
    server = new_server(RATE_LIMIT_OPEN_ACTIONS_MAX="1000000").start()
    server.play("player-0")
    viewer = watch(server, "viewer")
    with pauses() as paused, ThreadPoolExecutor(len(PLAYERS) + 1) as pool:
        plays = [pool.submit(keep_playing, server, user) for user in PLAYERS]
        time.sleep(LOAD_S / 4)
        pool.submit(fault, server).result()
        answered = [one for play in plays for one in play.result()]
        paused_s = paused.seconds

    assert {status for status, _, _ in answered} == {200}
    assert max(seconds for _, seconds, _ in answered) - paused_s < 1.5
    for _, _, data in answered:
        assert data.get("degraded", False) == (data["currentRank"] is None)
    expected = totals_in(server)
    assert sum(expected.values()) == 100 * (len(answered) + 1)

    with pauses() as paused:
        until = time.monotonic() + RECOVERY_S_MAX
        while dict(server.board()) != expected and time.monotonic() - paused.seconds < until:
            time.sleep(0.1)
    assert dict(server.board()) == expected
    server.play("latecomer")
    viewer.receive("leaderboard:update", lambda update: leaders(update).get("latecomer") == 100)
    assert viewer.cursors() == sorted(viewer.cursors())
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_an_emptied_redis_gives_no_player_more_than_ten_submissions(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(RATE_LIMIT_MAX_REQUESTS="10", RATE_LIMIT_INITIALIZE_MAX="100").start()
    submissions = [server.initialize("greedy") for _ in range(14)]
    statuses = []
    for number, submission in enumerate(submissions):
        if number == 6:
            empty(server)
        answer = server.submit("greedy", submission)
        statuses.append(answer.status)
    assert statuses == [200] * 10 + [429] * 4
    assert answer.headers["retry-after"] == str(answer.body["retryAfter"])
    assert answer.body["error"] == "RATE_LIMIT_EXCEEDED"
