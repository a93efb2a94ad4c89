"""Servers whose connections to Redis go silent, follow a failover, or have only the rights that docs/operations.md lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.journeys.server import ServerProcess
from tests.journeys.test_live import leaders, watch
from tests.pauses import pauses
from tests.programs import program
from tests.storage_redis.proxy import RedisProxy
from tests.storage_redis.redis_server import RedisServer
from tests.storage_redis.test_requirements import setuser
from tests.storage_redis.test_subscription import pair, promote

__all__ = ["pair"]

#: The longest delay of a change at a viewer of another server, also if the connection to Redis is lost.
LATE_S_MAX = 2.2
MORE = {"RATE_LIMIT_OPEN_ACTIONS_MAX": "1000000"}


@pytest.fixture
def redis_7() -> Iterator[RedisServer]:
    server = RedisServer(binary=program("redis-server", "redis-server"))
    yield server
    server.close()


class DelayRecorder:
    """A player gets ten awards a second on one server; records the delay of each total at a viewer of another server."""

    def __init__(self, player: ServerProcess, viewed: ServerProcess) -> None:
        self._server = player
        self._viewer = watch(viewed, "viewer")
        self._awarded: list[tuple[float, int]] = []
        self._playing = True
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        while self._playing:
            data = self._server.play("ann").body["data"]
            self._awarded.append((time.monotonic(), data["newTotalScore"]))
            time.sleep(0.1)

    def latest_s(self, seconds: float) -> float:
        """The longest delay of a total without pauses, of the awards of the next ``seconds``."""
        began, worst, shown = time.monotonic(), 0.0, 0
        with pauses() as paused:
            while time.monotonic() < began + seconds:
                with suppress(AssertionError, TimeoutError):
                    update = self._viewer.receive("leaderboard:update", seconds=0.1)
                    shown = max(shown, leaders(update).get("ann", 0))
                waiting = [at for at, total in self._awarded if total > shown and at >= began]
                worst = max(worst, time.monotonic() - min(waiting)) if waiting else worst
            return worst - paused.seconds

    def stop(self) -> None:
        self._playing = False
        self._thread.join(10)


def two_servers(new_server: Callable[..., ServerProcess], database: str, first: str, second: str) -> list[ServerProcess]:
    servers = [new_server(DATABASE_URL=database, REDIS_URL=url, **MORE) for url in (first, second)]
    assert servers[0].command_line("db", "upgrade").returncode == 0
    return [server.start() for server in servers]


@pytest.mark.parametrize("only_subscribed", [True, False])
def test_a_server_replaces_a_silent_connection_to_redis(
    only_subscribed: bool, redis_7: RedisServer, new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    proxy = RedisProxy(lambda: redis_7.socket)
    first, second = two_servers(new_server, postgres_url, redis_7.url, proxy.url)
    play = DelayRecorder(first, second)
    try:
        assert play.latest_s(1.5) < 1.0
        assert proxy.silence(only_subscribed=only_subscribed or None) == (1 if only_subscribed else 2)
        assert play.latest_s(6.0) < LATE_S_MAX
        assert play.latest_s(1.5) < 1.0
        log, metrics = second.log, second.get("/metrics").body  # before the proxy's end, which breaks both connections
    finally:
        play.stop()
        proxy.close()
    of_messages = log.count('"message": "Redis\' messages do not arrive')
    of_commands = log.count('"message": "Redis cannot be asked')
    if only_subscribed:
        assert of_messages == 1
    else:  # commands that are down already say why
        assert of_messages + of_commands >= 1
    assert log.count('"message": "Redis\' messages arrive again') == min(of_messages, 1)
    assert "Traceback" not in log
    assert "redis_subscription_restarts_total 1.0" in metrics


def test_both_servers_follow_a_failover_to_the_new_master(
    pair: tuple[RedisServer, RedisServer, RedisProxy], new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    old, new, balancer = pair
    first, second = two_servers(new_server, postgres_url, balancer.url, balancer.url)
    play = DelayRecorder(first, second)
    try:
        assert play.latest_s(1.5) < 1.0
        promote(new, old)
        play.latest_s(2.0)
        old.stop()
        assert play.latest_s(6.0) < LATE_S_MAX
        assert new.ask("PUBSUB", "NUMSUB", "{leaderboard:global}:changes").endswith(":2\r\n")
    finally:
        play.stop()
    assert "Traceback" not in first.log + second.log


def test_a_server_runs_with_the_documented_redis_user(redis_7: RedisServer, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(REDIS_URL=setuser(redis_7), **MORE).start()
    viewer = watch(server, "viewer")
    for _ in range(3):
        assert "degraded" not in server.play("ann").body["data"]
    viewer.receive("leaderboard:update", lambda update: leaders(update).get("ann") == 300)
    redis_7.flush()
    until = time.monotonic() + 20
    while server.board() != [("ann", 300)] and time.monotonic() < until:
        time.sleep(0.1)
    assert server.board() == [("ann", 300)]
    assert server.post("/api/v1/auth/ticket", server.issue_token("ann"), {}).status < 500
    metrics = server.get("/metrics").body
    assert 'redis_failures_total{kind="NOPERM"}' not in metrics
    assert "NOPERM" not in server.log
    assert server.stop() == 0
