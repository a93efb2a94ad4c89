"""Limits of HTTP connections, and which connection is displaced when there are too many."""

from __future__ import annotations

from twisted.logger import capturedLogs

from scoreboard.net.connections import REFUSING_MAX
from scoreboard.net.limits import HttpLimits
from tests.web.harness import Harness, HttpConnection, request

GET = request("GET", "/healthz")


def unknown_clients(harness: Harness, count: int) -> list[HttpConnection]:
    return [harness.connection(f"192.0.2.{n}") for n in range(count)]


def refused(connections: list[HttpConnection]) -> list[bool]:
    """Whether the server refuses each connection's first request."""
    return [connection.ask(GET).status == 503 for connection in connections]


def test_an_eighth_of_the_connections_is_reserved_for_loopback_and_our_proxies() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=16), trusted=("10.0.0.0/8",))
    assert refused(unknown_clients(harness, 16)) == [False] * 14 + [True] * 2
    assert harness.connection("127.0.0.1").ask(GET).status == 200
    assert harness.connection("10.1.2.3").ask(GET).status == 200


def test_loopback_displaces_the_longest_idle_connection_when_the_reserve_is_used_up() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=8))
    local = [harness.connection("127.0.0.1") for _ in range(8)]
    local[0].send(request("POST", "/api/v1/scores/submit", raw=b"{").replace(b"Content-Length: 1", b"Content-Length: 9"))
    newcomer = harness.connection("127.0.0.1")
    assert newcomer.ask(GET).status == 200
    assert [connection.transport.disconnecting for connection in local] == [False, True] + [False] * 6, (
        "the first is asking something"
    )
    assert refused(unknown_clients(harness, 1)) == [True], "and no connection is closed for an unknown client"


def test_loopback_displaces_its_own_idle_connection_beyond_the_limit_of_an_address() -> None:
    harness = Harness(http_limits=HttpLimits(connections_per_address_max=3))
    local = [harness.connection("127.0.0.1") for _ in range(3)]
    assert harness.connection("127.0.0.1").ask(GET).status == 200
    assert [connection.transport.disconnecting for connection in local] == [True, False, False]
    assert harness.connection("127.0.0.2").ask(GET).status == 200


def test_loopback_is_refused_when_no_connection_is_idle() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=2))
    for _ in range(2):
        harness.connection("127.0.0.1").send(request("POST", "/", raw=b"{").replace(b"Content-Length: 1", b"Content-Length: 9"))
    assert refused([harness.connection("127.0.0.1")]) == [True]


def test_a_connection_beyond_the_limit_of_refusals_is_closed_without_a_response() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=0))
    connections = unknown_clients(harness, REFUSING_MAX)
    assert all(connection.replies() == [] for connection in connections)
    one_more = harness.connection("192.0.2.99")
    assert (one_more.replies(), one_more.transport.disconnecting) == ([], True)
    assert refused(connections) == [True] * REFUSING_MAX
    connections[0].hang_up()
    assert refused([harness.connection("192.0.2.99")]) == [True]


def test_a_connection_without_room_is_refused_after_two_seconds_if_it_sends_no_request() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=0))
    connection = harness.connection()
    connection.send(GET[:10])
    harness.pass_time(1)
    assert connection.replies() == []
    harness.pass_time(2)
    assert [(reply.status, reply.headers["connection"]) for reply in connection.replies()] == [(503, "close")]
    harness.pass_time(3)
    assert connection.transport.disconnected


def test_refused_connections_are_counted_and_logged_once_a_second() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=0))
    with capturedLogs() as logged:
        unknown_clients(harness, 20)
        harness.pass_time(3)
        unknown_clients(harness, 5)
        harness.pass_time(3)
    assert [event["refused"] for event in logged] == [20, 5]
    assert harness.meter.counts["http_connections_refused_total",] == 25
    assert len(harness.registry.http) == 0
