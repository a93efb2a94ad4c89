"""A session of the database holds a lock on one player's row: that player waits, and the others are not delayed."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from scoreboard.domain.players import ledger_shard
from tests.journeys.server import ServerProcess
from tests.pauses import pauses, within
from tests.storage.sql_stores import run_sql

OTHERS = 8
USERS = [f"user-{n}" for n in range(OTHERS)]
ROUNDS_MAX = 3


def serving(new_server: Callable[..., ServerProcess], url: str, *users: str) -> ServerProcess:
    """A server on this ledger, after one award for each of the players."""
    server = new_server(DATABASE_URL=url)
    assert server.command_line("db", "upgrade").returncode == 0
    server.start()
    for user in users:
        assert server.play(user).status == 200
    return server


def play_on(server: ServerProcess, user: str, going: Callable[[], bool]) -> list[tuple[int, float]]:
    """(status, seconds) of a series of submissions."""
    answered = []
    while going():
        submission = server.initialize(user)
        began_s = time.monotonic()
        answered.append((server.submit(user, submission).status, time.monotonic() - began_s))
    return answered


def for_seconds(seconds: float) -> Callable[[], bool]:
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() < until_s


def p99(answered: list[list[tuple[int, float]]]) -> float:
    return statistics.quantiles([seconds for one in answered for _, seconds in one], n=100)[98]


def test_a_locked_player_delays_no_other_player(new_server: Callable[..., ServerProcess], postgres_url: str) -> None:
    server = serving(new_server, postgres_url, "amy", *USERS)
    with ThreadPoolExecutor(OTHERS + 2) as pool:

        def everyone(seconds: float) -> list[list[tuple[int, float]]]:
            return list(pool.map(lambda user: play_on(server, user, for_seconds(seconds)), USERS))

        rounds = []
        for _ in range(ROUNDS_MAX):  # a busy machine delays one; the fault delayed the others 200 times as long, in each
            before = everyone(2)
            with psycopg.connect(postgres_url) as holder:
                holder.execute("SELECT 1 FROM user_scores WHERE user_id = 'amy' FOR UPDATE")
                waiting = pool.submit(server.play, "amy")
                during = everyone(2)
                assert not waiting.done(), "the submission of the locked player waits"
            assert waiting.result(10).status == 200, "the submission is awarded when the row is unlocked"
            assert {status for answered in (before, during) for one in answered for status, _ in one} == {200}
            rounds.append((p99(before), p99(during)))
            if p99(during) < 3 * p99(before) + 0.05:
                break
        else:
            raise AssertionError(f"the others were delayed in each round: {rounds}")
        with psycopg.connect(postgres_url) as holder:
            holder.execute("SELECT 1 FROM user_scores WHERE user_id = 'amy' FOR UPDATE")
            began_s = time.monotonic()
            with within(6):
                refused = server.play("amy")
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "holds this player" in refused.body["message"]
            assert time.monotonic() - began_s > 3
    assert run_sql(postgres_url, "SELECT version FROM user_scores WHERE user_id = 'amy'") == [(1 + len(rounds),)]


def test_a_player_whose_account_another_session_creates_delays_no_other(
    new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    server = serving(new_server, postgres_url, "bob")
    with ThreadPoolExecutor(4) as pool:
        with psycopg.connect(postgres_url) as holder:
            holder.execute(
                "INSERT INTO user_scores"
                " (ledger_shard, user_id, username, score, version, total_actions, last_updated, created_at)"
                " VALUES (%s, 'amy', 'Amy', 0, 0, 0, now(), now())",
                [ledger_shard("amy")],
            )
            waiting = pool.submit(server.play, "amy")
            time.sleep(0.2)
            with pauses() as paused:
                others = [seconds for _, seconds in play_on(server, "bob", for_seconds(1.5))]
                assert others
                assert max(others) - paused.seconds < 1.5
            holder.rollback()
        assert waiting.result(10).status == 200


def test_a_reset_of_all_players_does_not_wait_for_a_locked_player(
    new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    server = serving(new_server, postgres_url, "amy", *USERS)
    reset = ("reset", "board", "--reason", "season 4", "--operator", "ops", "--yes")
    with ThreadPoolExecutor(OTHERS) as pool, psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT 1 FROM user_scores WHERE user_id = 'amy' FOR UPDATE")
        with pauses() as paused:
            resetting = threading.Event()
            playing = [pool.submit(play_on, server, user, lambda: not resetting.is_set()) for user in USERS]
            ended = server.command_line(*reset)
            resetting.set()
            answered = [one.result() for one in playing]
            paused_s = paused.seconds
    assert ended.returncode == 3
    assert "8 players reset to 0 points; " in ended.stderr
    assert "1 player not reset; another session of the database holds: amy" in ended.stderr
    assert {status for one in answered for status, _ in one} == {200}
    assert max(seconds for one in answered for _, seconds in one) - paused_s < 1.5
    taken_back = "SELECT user_id, count(*) FROM score_transactions WHERE action_type = 'RESET' GROUP BY 1"
    assert dict(run_sql(postgres_url, taken_back)) == dict.fromkeys(USERS, 1), (
        "each player has one reset, also if awards followed"
    )
    assert server.command_line("reset", "user", "amy", *reset[2:]).returncode == 0
    server.wait_until_in_sync()
    assert server.command_line("replay", "verify").returncode == 0
    assert server.stop() == 0
