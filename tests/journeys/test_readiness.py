"""Readiness of a real server: /readyz stays 200 when it is degraded, strict /readyz fails, and a lost ledger shows within 2 s."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from scoreboard.storage.schema import migrate
from tests.drills.test_redis_faults import redis_pid
from tests.journeys.server import UP_S_MAX, ServerProcess
from tests.pauses import within
from tests.storage.postgres_server import PostgresServer

KNOWN_S_MAX = 2.0


def wait_for(server: ServerProcess, path: str, status: int, seconds_max: float = KNOWN_S_MAX) -> None:
    """Wait until the path is answered with this status."""
    until_s = time.monotonic() + 20
    with within(seconds_max):
        while (answer := server.get(path)).status != status:
            assert time.monotonic() < until_s, answer
            time.sleep(0.02)


def test_without_redis_readyz_stays_200_and_strict_readyz_fails(new_server: Callable[..., ServerProcess]) -> None:

    server = new_server().start()
    wait_for(server, "/readyz?strict", 200)
    pid = redis_pid(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(4):  # calls without an answer: only they show that Redis is silent
            server.board()
        wait_for(server, "/readyz?strict", 503, 5.0)
        with within(5.0):  # other conditions come after the first, so nothing may have changed around the plain read
            steady, until_s = False, time.monotonic() + 20
            while not steady:
                strict, plain, again = (server.get(path) for path in ("/readyz?strict", "/readyz", "/readyz?strict"))
                steady = strict.body == again.body and "redis: Redis cannot be asked" in strict.body["message"]
                assert time.monotonic() < until_s, strict
        assert strict.body["data"]["conditions"] == plain.body["data"]["conditions"]
        assert (plain.status, plain.body["data"]["stores"]["redis"], plain.body["data"]["stores"]["ledger"]) == (200, False, True)
        assert server.play("amy").status == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(server, "/readyz?strict", 200, 5.0)
    metrics = server.get("/metrics").body
    assert 'condition_ok{condition="ledger"} 1.0' in metrics
    assert 'condition_serving{condition="redis"} 1.0' in metrics


def test_the_first_action_after_a_start_is_initialized(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server()
    server.launch()
    until_s = time.monotonic() + UP_S_MAX
    while True:
        try:
            server.get("/healthz")
            break
        except OSError:
            assert time.monotonic() < until_s, server.log[-4000:]
            time.sleep(0.002)
    assert server.play("amy").status == 200


@pytest.fixture(scope="module")
def database() -> PostgresServer:
    """A PostgreSQL server that the tests of this module may stop."""
    server = PostgresServer()
    server.start()
    return server


def test_readiness_shows_a_silent_or_lost_ledger_and_its_return_within_two_seconds(
    database: PostgresServer, new_server: Callable[..., ServerProcess]
) -> None:
    migrate(database.url())
    server = new_server(DATABASE_URL=database.url()).start()
    try:
        database.signal(signal.SIGSTOP)
        wait_for(server, "/readyz", 503)
        answer = server.get("/readyz").body
        assert answer["message"] == "Not ready: ledger: The ledger cannot commit"
        first = answer["data"]["conditions"][0]
        assert first == {"name": "ledger", "ok": False, "serving": False, "detail": "The ledger cannot commit"}
        database.signal(signal.SIGCONT)
        wait_for(server, "/readyz", 200)
        database.stop()
        wait_for(server, "/readyz", 503)
        wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}
        refused = [server.post("/api/v1/actions/initialize", server.issue_token("amy"), wish) for _ in range(60)]
        assert {(one.status, one.body["error"], one.headers["retry-after"]) for one in refused} == {(503, "UNAVAILABLE", "1")}
        database.start()
        wait_for(server, "/readyz", 200)
        assert server.play("amy").status == 200
    finally:
        server.kill()
        database.remove()
