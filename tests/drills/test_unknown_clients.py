"""Clients without a token send requests as fast as they are answered: no award is refused, and few awards are delayed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.drills.unknown_clients import SpectateLoad, UnknownClients, awards_for
from tests.journeys.server import ServerProcess

SECONDS = 4.0
#: An effect of the unknown clients shows in every round; a pause of the machine shows in some. At 64 awards a second, a pause of
#: 50 ms hits a hundredth of a round, and the load uses both cores: on a quiet machine three rounds of five had a pause, with 34
#: to 113 ms instead of 5. So more rounds follow until one under load has no pause.
ROUNDS_MAX = 10
#: On a quiet machine the ratio is about 1. The floor keeps a difference of a millisecond from failing the test.
RATIO_MAX = 2.0
FLOOR_MS = 10.0
#: The median and the 99th percentile.
SHARES = (0.5, 0.99)
MANY = "1000000"


@pytest.mark.parametrize(("path", "count"), [("/readyz", 64), ("/metrics", 16), ("/openapi.json", 16), ("/", 16)])
def test_requests_without_a_token_do_not_delay_awards(path: str, count: int, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(RATE_LIMIT_OPEN_ACTIONS_MAX=MANY, RATE_LIMIT_INITIALIZE_MAX=MANY).start()
    awards_for(server, 2)
    rounds_ms = []
    for _ in range(ROUNDS_MAX):
        calm = awards_for(server, SECONDS)
        with UnknownClients(server, path, count) as unknown_clients:
            awards = awards_for(server, SECONDS)
        assert set(calm.statuses) == set(awards.statuses) == {200}
        assert set(unknown_clients.statuses) == {200}, "loopback is never refused"
        rounds_ms.append([(calm.quantile_ms(share), awards.quantile_ms(share)) for share in SHARES])
        if all(beside_ms < RATIO_MAX * max(FLOOR_MS, calm_ms) for calm_ms, beside_ms in rounds_ms[-1]):
            break
    else:
        raise AssertionError(f"awards waited in each round: {rounds_ms}")
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_a_flood_from_other_addresses_is_refused_and_the_operator_is_not(new_server: Callable[..., ServerProcess]) -> None:
    """The requests come through a trusted proxy, so each client has its own address."""
    server = new_server(TRUSTED_PROXIES="127.0.0.0/8").start()
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    statuses = [server.get("/readyz", **forwarded).status for _ in range(40)]
    assert set(statuses) == {200, 429}
    assert server.get("/readyz").status == 200
    assert server.get("/readyz", **{"X-Forwarded-For": "203.0.113.10"}).status == 200


def test_constant_spectate_events_do_not_delay_reads_of_others(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    token = server.issue_token("amy")
    statuses, seconds = Counter[int](), []
    with SpectateLoad(server, sockets=400, events_per_s=19):
        until_s = time.monotonic() + SECONDS
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            statuses[server.get("/api/v1/me/settings", token).status] += 1
            seconds.append(time.monotonic() - began_s)
            time.sleep(0.05)
    assert set(statuses) == {200}, statuses
    assert sorted(seconds)[len(seconds) // 2] < 0.5
    assert server.stop() == 0
