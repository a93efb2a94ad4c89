"""Routes that need no token: each is counted by address, in memory alone; loopback and our proxies are never refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scoreboard.domain.limits import Limit
from scoreboard.web.app import Api
from scoreboard.web.open_routes import ADDRESSES_MAX, WAIT_S_MAX
from tests.attack.doors import OPEN_DOORS
from tests.web.house import LIMITS, House, Reply, request

FEW = Limit(name="few", quota=3, window_ms=1_000, policy="bucket")
PATHS = [door.split(" ")[1].replace("<path:name>", "board.js") for door in OPEN_DOORS]
STRANGER = "203.0.113.9"


def strict_house(trusted: tuple[str, ...] = ()) -> House:
    return House(limits=replace(LIMITS, probes=FEW, pages=FEW), trusted=trusted)


def asked(house: House, path: str, times: int, peer: str = STRANGER, headers: dict[str, str] | None = None) -> list[Reply]:
    """The answers to so many requests at once, each on a connection of its own, after the wait of those that wait."""
    lines = [house.line(peer) for _ in range(times)]
    for line in lines:
        line.send(request("GET", path, headers=headers))
    house.clock.advance(WAIT_S_MAX)
    return [reply for line in lines for reply in line.replies()]


@pytest.mark.parametrize("path", PATHS)
def test_every_route_without_a_token_is_counted_and_asks_nothing_but_memory(path: str) -> None:
    house = strict_house()
    replies = asked(house, path, 5)
    assert [reply.status == 429 for reply in replies] == [False, False, False, True, True]
    assert replies[-1].json["error"] == "RATE_LIMIT_EXCEEDED"
    assert replies[-1].headers["retry-after"] == str(replies[-1].json["retryAfter"]) == "1"
    assert replies[-1].headers["ratelimit-policy"] == '"few";q=3;w=1'
    assert house.meter.counts["open_requests_limited_total", "few", "refused"] == 2
    assert house.gatekeeper.asked == []
    house.clock.advance(1)
    assert asked(house, path, 1)[0].status != 429


def test_these_are_all_routes_without_a_token() -> None:
    """Each handler of a route that is neither secured nor counted by the shared limits is judged by OpenRoutes."""
    house = House()
    rules = {rule.rule for rule in Api.app.url_map.iter_rules()}
    elsewhere = {"/ws", "/socket.io/"}  # counted when a socket is opened
    for rule in sorted(rules - elsewhere):
        method = next(iter(rule_methods(rule)))
        house.ask(method, rule.replace("<path:name>", "board.js"), token=None, body=None)
    open_rules = {door.split(" ")[1] for door in OPEN_DOORS}
    assert len(house.gatekeeper.asked) == len(rules - elsewhere - open_rules)


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
def test_what_reaches_no_handler_is_counted_as_well(method: str, path: str, status: int) -> None:
    house = strict_house()
    lines = [house.line(STRANGER) for _ in range(5)]
    for line in lines:
        line.send(request(method, path))
    house.clock.advance(WAIT_S_MAX)
    assert [reply.status for line in lines for reply in line.replies()] == [status] * 3 + [429] * 2


def rule_methods(path: str) -> list[str]:
    """The methods of a route but HEAD; a path with several has each of them counted alike."""
    methods = set().union(*[rule.methods or () for rule in Api.app.url_map.iter_rules() if rule.rule == path])
    return sorted(methods - {"HEAD"})


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "unix", "10.1.2.3"])
def test_loopback_and_our_proxies_are_never_refused_but_wait(peer: str) -> None:
    house = strict_house(trusted=("10.0.0.0/8",))
    line = [house.line(peer) for _ in range(50)]
    for one in line:
        one.send(request("GET", "/readyz"))
    assert [len(one.replies()) for one in line] == [1] * 3 + [0] * 47
    house.clock.advance(WAIT_S_MAX)
    assert {reply.status for one in line for reply in one.replies()} == {200}
    assert house.meter.counts["open_requests_limited_total", "few", "late"] == 47


def test_a_stranger_behind_our_proxy_is_a_stranger_and_its_claims_count_for_nothing() -> None:
    house = strict_house(trusted=("10.0.0.0/8",))
    forwarded = {"X-Forwarded-For": f"127.0.0.1, {STRANGER}"}
    assert [reply.status for reply in asked(house, "/healthz", 5, peer="10.1.2.3", headers=forwarded)] == [200] * 3 + [429] * 2
    assert [reply.status for reply in asked(house, "/healthz", 5, headers={"X-Forwarded-For": "127.0.0.1"})] == [429] * 5
    assert asked(house, "/healthz", 1, peer="198.51.100.7")[0].status == 200


def test_a_balancer_that_asks_twice_a_second_is_never_refused() -> None:
    house = House()
    for _ in range(100):
        assert house.ask("GET", "/readyz", token=None).status == 200
        house.clock.advance(0.5)


def test_probes_use_up_nothing_of_what_pages_have() -> None:
    house = House(limits=replace(LIMITS, probes=FEW, pages=replace(FEW, name="pages")))
    assert {reply.status for reply in asked(house, "/metrics", 9)} == {200, 429}
    assert asked(house, "/", 1)[0].status == 404, "there are no pages here"


def test_the_memory_of_addresses_is_bounded() -> None:
    house = strict_house()
    for number in range(ADDRESSES_MAX + 10):
        house.site.resource._app._instance.ops.open_routes._bucket(f"{number}", FEW)
    assert len(house.site.resource._app._instance.ops.open_routes._buckets["few"]) == ADDRESSES_MAX
