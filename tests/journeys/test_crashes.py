"""SIGKILL at each step of a submission: each acknowledged award is in the ledger once, and the board equals the ledger."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.journeys.server import Answer, ServerProcess
from tests.pauses import pauses

STEPS = ["validated", "judged", "committed", "projected", "cached", "announcing"]
PLAYERS = [f"player-{n}" for n in range(8)]


def totals_in(server: ServerProcess) -> dict[str, int]:
    """The sum of the entries of every player, read from the ledger's file."""
    with sqlite3.connect(server.data_dir / "ledger.db") as ledger:
        rows = ledger.execute("SELECT user_id, sum(score_awarded) FROM score_transactions GROUP BY user_id")
        return dict(rows.fetchall())


def awarded_in(server: ServerProcess) -> list[str]:
    with sqlite3.connect(server.data_dir / "ledger.db") as ledger:
        return [_canonical(row[0]) for row in ledger.execute("SELECT action_id FROM score_transactions")]


def _canonical(action_id: Any) -> str:
    text = action_id.hex() if isinstance(action_id, bytes) else str(action_id)
    return text.replace("-", "")


def submit_or_lose(server: ServerProcess, user_id: str, submission: dict[str, Any]) -> Answer | None:
    try:
        return server.submit(user_id, submission)
    except OSError:
        return None


def buckets_in(server: ServerProcess) -> list[tuple[str, str]]:
    """The buckets of the other boards that have players, read from the ledger's file."""
    with sqlite3.connect(server.data_dir / "ledger.db") as ledger:
        return ledger.execute(
            "SELECT DISTINCT board_id, bucket FROM board_standings JOIN board_definitions ON board = number"
        ).fetchall()


def scores_in(server: ServerProcess, board: str, bucket: str) -> dict[str, int]:
    """The scores of all players in a bucket, read from the ledger's file."""
    with sqlite3.connect(server.data_dir / "ledger.db") as ledger:
        rows = ledger.execute(
            "SELECT user_id, score FROM board_standings JOIN board_definitions ON board = number"
            " WHERE board_id = ? AND bucket = ?",
            (board, bucket),
        )
        return dict(rows.fetchall())


def settled_board(server: ServerProcess, expected: dict[str, int], query: str = "") -> dict[str, int]:
    """The board once it is as expected, or after the promised two seconds, in which the machine must not pause."""
    with pauses() as paused:
        until = time.monotonic() + 2
        while (board := dict(server.board(query=query))) != expected and time.monotonic() - paused.seconds < until:
            time.sleep(0.05)
    return board


@pytest.mark.parametrize("step", STEPS)
def test_a_server_killed_at_a_step_loses_no_award_and_repeats_none(step: str, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(SCOREBOARD_FAILPOINT=f"{step}:5").start()
    submissions = [(user, server.initialize(user)) for user in PLAYERS for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: submit_or_lose(server, *one), submissions))
    assert server.wait() == -9, f"the failpoint {step} was not reached"
    assert None in answers or step == "announcing"

    server.start(SCOREBOARD_FAILPOINT="")
    retried = [server.submit(user, submission) for user, submission in submissions]
    for before, after in zip(answers, retried, strict=True):
        assert after.status in (200, 409), after
        if before is not None:
            assert (before.status, after.status) == (200, 409)
            assert after.headers["idempotent-replayed"] == "true"
            assert after.body["data"]["newTotalScore"] == before.body["data"]["newTotalScore"]
    assert sorted(awarded_in(server)) == sorted(_canonical(one["actionId"]) for _, one in submissions)
    assert totals_in(server) == dict.fromkeys(PLAYERS, 200)
    assert settled_board(server, totals_in(server)) == dict.fromkeys(PLAYERS, 200)
    counted: Counter[tuple[str, str]] = Counter()
    for board, bucket in buckets_in(server):
        scores = scores_in(server, board, bucket)
        assert settled_board(server, scores, f"&board={board}&bucket={bucket}") == scores
        counted.update({(board, user_id): score for user_id, score in scores.items()})
    assert counted == {(board, user_id): 200 for board in ("daily", "weekly", "monthly") for user_id in PLAYERS}
    assert server.command_line("replay", "verify").returncode == 0
    assert server.stop() == 0
    assert "Traceback" not in server.log
