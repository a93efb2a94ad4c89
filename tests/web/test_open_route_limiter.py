"""Routes that need no token: each is counted by address, in memory alone; loopback and our proxies are never refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scoreboard.domain.limits import Limit
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX
from scoreboard.web.app import Api
from scoreboard.web.open_route_limiter import ADDRESSES_MAX
from tests.attack.endpoints import OPEN_ENDPOINTS
from tests.web.harness import LIMITS, Harness, Reply, request

FEW = Limit(name="few", quota=3, window_ms=1_000, policy="bucket")
PATHS = [endpoint.split(" ")[1].replace("<path:name>", "board.js") for endpoint in OPEN_ENDPOINTS]
UNKNOWN = "203.0.113.9"


def strict_harness(trusted: tuple[str, ...] = ()) -> Harness:
    return Harness(limits=replace(LIMITS, probes=FEW, pages=FEW), trusted=trusted)


def asked(harness: Harness, path: str, times: int, peer: str = UNKNOWN, headers: dict[str, str] | None = None) -> list[Reply]:
    """The responses to so many requests at once, each on a connection of its own, after the waits."""
    connections = [harness.connection(peer) for _ in range(times)]
    for connection in connections:
        connection.send(request("GET", path, headers=headers))
    harness.clock.advance(SLOW_DOWN_S_MAX)
    return [reply for connection in connections for reply in connection.replies()]


@pytest.mark.parametrize("path", PATHS)
def test_every_route_without_a_token_is_counted_and_asks_nothing_but_memory(path: str) -> None:
    harness = strict_harness()
    replies = asked(harness, path, 5)
    assert [reply.status == 429 for reply in replies] == [False, False, False, True, True]
    assert replies[-1].json["error"] == "RATE_LIMIT_EXCEEDED"
    assert replies[-1].headers["retry-after"] == str(replies[-1].json["retryAfter"]) == "1"
    assert replies[-1].headers["ratelimit-policy"] == '"few";q=3;w=1'
    assert harness.meter.counts["open_requests_limited_total", "few", "refused"] == 2
    assert harness.rate_limiter.asked == []
    harness.clock.advance(1)
    assert asked(harness, path, 1)[0].status != 429


def test_these_are_all_routes_without_a_token() -> None:
    """OpenRouteLimiter limits each handler whose route has neither a token nor one of the shared limits."""
    harness = Harness()
    rules = {rule.rule for rule in Api.app.url_map.iter_rules()}
    elsewhere = {"/ws", "/socket.io/"}  # counted when a socket is opened
    for rule in sorted(rules - elsewhere):
        method = next(iter(rule_methods(rule)))
        harness.ask(method, rule.replace("<path:name>", "board.js"), token=None, body=None)
    open_rules = {endpoint.split(" ")[1] for endpoint in OPEN_ENDPOINTS}
    assert len(harness.rate_limiter.asked) == len(rules - elsewhere - open_rules)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/%2e/", 404),
        ("POST", "/healthz", 405),
        ("GET", "/api/v1/scores/submit", 405),
        ("OPTIONS", "/healthz", 204),
    ],
)
def test_requests_that_reach_no_handler_are_counted_as_well(method: str, path: str, status: int) -> None:
    harness = strict_harness()
    connections = [harness.connection(UNKNOWN) for _ in range(5)]
    for connection in connections:
        connection.send(request(method, path))
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert [reply.status for connection in connections for reply in connection.replies()] == [status] * 3 + [429] * 2


def rule_methods(path: str) -> list[str]:
    """The methods of a route but HEAD; a path with several has each of them counted alike."""
    methods = set().union(*[rule.methods or () for rule in Api.app.url_map.iter_rules() if rule.rule == path])
    return sorted(methods - {"HEAD"})


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "unix", "10.1.2.3"])
def test_loopback_and_our_proxies_are_never_refused_but_wait(peer: str) -> None:
    harness = strict_harness(trusted=("10.0.0.0/8",))
    connections = [harness.connection(peer) for _ in range(50)]
    for one in connections:
        one.send(request("GET", "/readyz"))
    assert [len(one.replies()) for one in connections] == [1] * 3 + [0] * 47
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert {reply.status for one in connections for reply in one.replies()} == {200}
    assert harness.meter.counts["open_requests_limited_total", "few", "late"] == 47


def test_a_client_behind_our_proxy_is_limited_and_its_own_forwarded_header_is_ignored() -> None:
    harness = strict_harness(trusted=("10.0.0.0/8",))
    forwarded = {"X-Forwarded-For": f"127.0.0.1, {UNKNOWN}"}
    assert [reply.status for reply in asked(harness, "/healthz", 5, peer="10.1.2.3", headers=forwarded)] == [200] * 3 + [429] * 2
    assert [reply.status for reply in asked(harness, "/healthz", 5, headers={"X-Forwarded-For": "127.0.0.1"})] == [429] * 5
    assert asked(harness, "/healthz", 1, peer="198.51.100.7")[0].status == 200


def test_a_balancer_that_asks_twice_a_second_is_never_refused() -> None:
    harness = Harness()
    for _ in range(100):
        assert harness.ask("GET", "/readyz", token=None).status == 200
        harness.clock.advance(0.5)


def test_probes_and_pages_have_separate_limits() -> None:
    harness = Harness(limits=replace(LIMITS, probes=FEW, pages=replace(FEW, name="pages")))
    assert {reply.status for reply in asked(harness, "/metrics", 9)} == {200, 429}
    assert asked(harness, "/", 1)[0].status == 404, "there are no pages here"


def test_the_number_of_addresses_in_memory_is_bounded() -> None:
    harness = strict_harness()
    for number in range(ADDRESSES_MAX + 10):
        harness.site.resource._app._instance.health.open_route_limiter._bucket(f"{number}", FEW)
    assert len(harness.site.resource._app._instance.health.open_route_limiter._buckets["few"]) == ADDRESSES_MAX
