"""Handshakes: which are refused, and why; origins, limits, and the rate limit."""

from __future__ import annotations

import pytest
from twisted.logger import capturedLogs

from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Refusal, too_many_requests
from scoreboard.net.http.cors import cors
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX
from tests.realtime.fake_transport import frame
from tests.realtime.harness import FakeRateLimiter, Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.mark.parametrize(
    ("target", "extra", "headers", "status", "error"),
    [
        ("/elsewhere", (), {}, 404, "NOT_FOUND"),
        ("/ws/below", (), {}, 404, "NOT_FOUND"),
        ("/ws?token=abc", (), {}, 400, "MALFORMED_REQUEST"),
        ("/ws?a=b&ACCESS_TOKEN=abc", (), {}, 400, "MALFORMED_REQUEST"),
        ("/ws#fragment", (), {}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"upgrade": None}, 426, "MALFORMED_REQUEST"),
        ("/?redirect=https://evil.example", (), {"upgrade": None}, 426, "MALFORMED_REQUEST"),
        ("/ws", (), {"upgrade": "h2c"}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"connection": None}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"host": None}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"sec_websocket_key": None}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"sec_websocket_key": "short"}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"sec_websocket_version": "8"}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"sec_websocket_version": "x"}, 400, "MALFORMED_REQUEST"),
        ("/ws", ("host: other",), {}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"origin": "https://evil.example"}, 403, "FORBIDDEN"),
        ("/ws", (), {"origin": "null"}, 403, "FORBIDDEN"),
        ("/ws", (), {"origin": "not an origin"}, 400, "MALFORMED_REQUEST"),
        ("/ws", ("origin: https://game.example",), {"origin": "https://game.example"}, 400, "MALFORMED_REQUEST"),
        ("/ws", (), {"authorization": "Basic YTpi"}, 401, "UNAUTHORIZED"),
        ("/ws", (), {"authorization": "Bearer"}, 401, "INVALID_TOKEN"),
        ("/ws", (), {"authorization": "Bearer a b"}, 401, "INVALID_TOKEN"),
        ("/ws", ("authorization: Bearer zed",), {"authorization": "Bearer amy"}, 401, "INVALID_TOKEN"),
        ("/ws", (), {"authorization": "Bearer bad"}, 401, "INVALID_TOKEN"),
    ],
)
def test_a_handshake_is_refused_in_http(
    harness: Harness, target: str, extra: tuple[str, ...], headers: dict[str, str | None], status: int, error: str
) -> None:
    client = harness.connect()
    head = client.handshake(target, *extra, **headers)
    assert head.startswith(f"HTTP/1.1 {status} ")
    body = client.body()
    assert (body["success"], body["error"]) == (False, error)
    assert client.transport.lost == "closed"
    assert (harness.connected, harness.announcer.known) == (0, set())
    assert harness.meter.values.get("websocket_connections_active", 0) == 0
    if "token=" in target.lower():
        assert "the event auth, with Socket.IO in the option auth" in body["message"]


def test_a_refusal_has_the_headers_that_http_requires(harness: Harness) -> None:
    assert 'WWW-Authenticate: Bearer realm="scoreboard", error="invalid_token"' in harness.connect().handshake(token="bad")
    assert "Upgrade: websocket" in harness.connect().handshake(upgrade=None)
    assert "Sec-WebSocket-Version: 13" in harness.connect().handshake(sec_websocket_version="8")


def test_the_server_never_accepts_the_compression_that_browsers_offer(harness: Harness) -> None:
    head = harness.connect().handshake(sec_websocket_extensions="permessage-deflate; client_max_window_bits")
    assert head.startswith("HTTP/1.1 101 ")
    assert "extensions" not in head.lower()


def test_other_methods_and_versions_are_refused(harness: Harness) -> None:
    for unix_pair, status in ((b"POST /ws HTTP/1.1", 405), (b"GET /ws HTTP/1.0", 505), (b"GET /ws", 400), (b"\xff\xfe", 400)):
        client = harness.connect()
        client.send(unix_pair + b"\r\nHost: x\r\n\r\n")
        assert client.head().startswith(f"HTTP/1.1 {status} ")


def test_a_request_larger_than_sixteen_kib_is_refused(harness: Harness) -> None:
    client = harness.connect()
    client.send(b"GET /ws HTTP/1.1\r\n")
    for _ in range(17):
        client.send(b"x: " + b"y" * 1_000 + b"\r\n")
    assert client.head().startswith("HTTP/1.1 431 ")
    assert harness.connected == 0


@pytest.mark.parametrize(
    ("origin", "origins", "allowed"),
    [
        (None, (), True),
        ("null", (), False),
        ("null", ("*",), True),
        ("https://evil.example", ("*",), True),
        ("https://game.example", ("https://game.example",), True),
        ("HTTPS://Game.Example", ("https://game.example",), True),
        ("http://game.example", ("https://game.example",), False),
        ("https://game.example:8443", ("https://game.example",), False),
        ("https://game.example.evil.example", ("https://game.example",), False),
        ("https://xgame.example", ("https://game.example",), False),
        ("https://board.example:3000", (), True),
        ("http://board.example:3000", (), True),
        ("http://board.example:3001", (), False),
        ("", (), False),
    ],
)
def test_a_page_without_origin_of_our_host_or_of_a_listed_origin_is_allowed(
    origin: str | None, origins: tuple[str, ...], allowed: bool
) -> None:
    assert cors(origins).allows(origin, "board.example:3000") is allowed


def test_without_a_host_header_no_origin_is_our_own() -> None:
    assert not cors(()).allows("http://", "")


def test_a_page_of_a_listed_origin_can_connect(harness: Harness) -> None:
    harness.open_websocket(origin="https://game.example")
    harness.open_websocket(origin="http://board.example")


def test_an_address_at_its_limit_of_sockets_is_refused_until_one_is_closed() -> None:
    harness = Harness(sockets_per_address_max=2)
    first = harness.open_websocket(x_forwarded_for="a")
    harness.open_websocket(x_forwarded_for="a")
    harness.open_websocket(x_forwarded_for="b")
    refused = harness.connect()
    head = refused.handshake(x_forwarded_for="a")
    assert head.startswith("HTTP/1.1 429 ")
    assert "Retry-After: 60" in head
    assert refused.body()["retryAfter"] == 60
    first.send(frame(8))
    first.disconnect()
    harness.open_websocket(x_forwarded_for="a")


def test_each_refused_handshake_is_counted_and_logged_with_the_address() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(sockets_per_address_max=1)
    harness.open_websocket(x_forwarded_for="a")
    limited = Harness(rate_limiter=rate_limiter)
    with capturedLogs() as events:
        harness.connect().handshake(x_forwarded_for="a")
        harness.connect().handshake(x_forwarded_for="b", origin="https://evil.example")
        harness.connect().handshake(x_forwarded_for="c", token="a b")
        limited.connect().handshake(x_forwarded_for="d")
        rate_limiter.answer.callback(too_many_requests(2_100, None))
        limited.clock.advance(SLOW_DOWN_S_MAX)
    assert [(event["log_level"].name, event["address"], event["said"]) for event in events] == [
        ("info", "a", "Too many sockets are open from this address"),
        ("info", "b", "This origin is not allowed"),
        ("info", "d", "Too many requests. Please try again later."),
    ], "a refused token is logged by its check"
    assert harness.meter.counts["live_connections_refused_total"] == 3


def test_a_full_server_says_when_to_try_again() -> None:
    harness = Harness(sockets_max=3)
    clients = [harness.open_websocket() for _ in range(3)]
    assert harness.meter.values == {"websocket_connections_active": 3}
    head = harness.connect().handshake()
    assert head.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 10" in head
    clients[0].break_connection()
    harness.open_websocket()


def test_a_reactor_that_is_late_twice_refuses_new_sockets_until_it_is_on_time(harness: Harness) -> None:
    harness.clock.advance(1.5)
    harness.open_websocket()
    harness.clock.advance(1.5)
    assert harness.connect().handshake().startswith("HTTP/1.1 503 ")
    harness.clock.advance(1.0)
    harness.open_websocket()


def test_the_rate_limit_is_checked_before_the_handshake_is_answered() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    client = harness.connect()
    assert client.handshake(token="amy") == ""
    assert rate_limiter.asked == ["192.0.2.7"]
    assert not client.transport.reading, "a second request must not be read as another handshake"
    rate_limiter.answer.callback(None)
    assert client.head().startswith("HTTP/1.1 101 ")
    client.send_event("join:leaderboard", number=1)
    assert len(client.events()) == 2


ADDRESS = Limit(name="address", quota=100, window_ms=60_000)


def test_a_refusal_of_the_rate_limiter_says_when_to_try_again() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    client = harness.connect()
    client.handshake()
    rate_limiter.answer.callback(too_many_requests(2_100, ADDRESS))
    assert client.head() == "", "a refusal by a limit of the address comes after a moment"
    harness.clock.advance(SLOW_DOWN_S_MAX)
    head = client.head()
    assert 'RateLimit: "address";r=0;t=3' in head
    assert head.startswith("HTTP/1.1 429 ")
    assert "Retry-After: 3" in head
    client.transport.step()
    assert harness.connected == 0


class RefusingRateLimiter(FakeRateLimiter):
    """Rate limiter that refuses everything."""

    async def ask(self, address: str) -> Refusal | None:
        return too_many_requests(2_100, ADDRESS)


def test_refusals_that_wait_take_an_eighth_of_the_room_of_handshakes() -> None:
    harness = Harness(rate_limiter=RefusingRateLimiter())
    clients = [harness.connect() for _ in range(harness.settings.upgrades_per_address_max + 3)]
    at_once = [client for client in clients if client.handshake().startswith("HTTP/1.1 429 ")]
    assert at_once == clients[-3:], "beyond an eighth, refusals do not wait"
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert all(client.head().startswith("HTTP/1.1 429 ") for client in clients[:-3])


def test_a_client_that_leaves_while_its_refusal_waits_leaves_nothing_behind() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    client = harness.connect()
    client.handshake()
    rate_limiter.answer.callback(too_many_requests(2_100, ADDRESS))
    client.break_connection()
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert harness.connected == harness.registry.handshaking == 0


def test_a_fault_of_the_server_in_the_handshake_is_logged_but_not_sent() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    client = harness.connect()
    client.handshake()
    with capturedLogs() as logged:
        rate_limiter.answer.errback(ZeroDivisionError("secret detail"))
    assert any("secret detail" in str(entry) for entry in logged)
    assert client.head().startswith("HTTP/1.1 500 ")
    assert client.body() == {"success": False, "error": "UNAVAILABLE", "message": "The server has a fault", "code": 5030}


@pytest.mark.parametrize("verdict", [None, too_many_requests(1, None)])
def test_a_client_that_disconnected_before_the_rate_limiter_answered_is_not_admitted(verdict: Refusal | None) -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    client = harness.connect()
    client.handshake(token="amy")
    client.break_connection()
    rate_limiter.answer.callback(verdict)
    assert (client.transport.sent, harness.connected, harness.announcer.known) == (b"", 0, set())
    assert harness.meter.values == {}


@pytest.mark.parametrize("target", ["/ws?token=x", "/nowhere", "/ws"])
def test_an_answer_that_ends_the_connection_says_so_and_has_a_date(harness: Harness, target: str) -> None:
    """A keep-alive agent (Node's default since 19) would use the connection again otherwise."""
    head = harness.connect().handshake(target, origin="https://evil.example").split("\r\n")
    assert head[0].split()[1] in ("400", "403", "404")
    assert "Connection: close" in head
    assert sum(field.startswith("Date: ") for field in head) == 1


@pytest.mark.parametrize("target", ["/ws?token=x", "/nowhere", "/ws"])
def test_a_listed_page_may_read_why_its_handshake_was_refused(harness: Harness, target: str) -> None:
    for origin, allowed in (("https://game.example", True), ("https://evil.example", False), (None, False)):
        head = harness.connect().handshake(target, origin=origin, authorization="Basic YTpi").split("\r\n")
        assert head[0].split()[1] in ("400", "401", "403", "404")
        assert (f"Access-Control-Allow-Origin: {origin}" in head) is allowed
        assert ("Access-Control-Allow-Credentials: true" in head) is allowed
        assert "Vary: Origin" in head


def test_every_page_may_read_a_refused_handshake_with_a_star_but_not_with_cookies() -> None:
    head = Harness(origins=("*",)).connect().handshake("/nowhere", origin="https://evil.example").split("\r\n")
    assert "Access-Control-Allow-Origin: *" in head
    assert not [field for field in head if field.startswith("Access-Control-Allow-Credentials")]
