"""WebSockets behind the HTTP site: the socket takes the connection over, and HTTP keeps nothing of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.web.resource import Resource
from twisted.web.server import Site

from scoreboard.net.websocket.resource import WebSocketResource
from tests.realtime.fake_transport import Client, FakeTransport, frame
from tests.realtime.harness import Harness


class _Root(Resource):
    def __init__(self, child: Callable[[Any], WebSocketResource]) -> None:
        super().__init__()
        self._child = child

    def getChild(self, path: bytes, request: Any) -> WebSocketResource:
        return self._child(request)


class HttpHarness(Harness):
    """The live server behind a Site, as on PORT."""

    def __init__(self, *, klein: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.requests: list[Any] = []
        self.ends: list[Any] = []
        mounted = WebSocketResource(self.factory)

        def noted(request: Any) -> WebSocketResource:
            self.requests.append(ref(request))
            finished: Deferred[None] = request.notifyFinish()
            finished.addBoth(self.ends.append)
            return mounted

        if klein:
            app = Klein()
            app.route("/ws")(noted)
            self.site = Site(app.resource(), reactor=self.clock, timeout=30)
        else:
            self.site = Site(_Root(noted), reactor=self.clock, timeout=30)

    def connect(self, transport: FakeTransport | None = None) -> Client:
        transport = transport or FakeTransport()
        self.transports.append(transport)
        channel = self.site.buildProtocol(transport.getPeer())
        assert channel is not None
        transport.protocol = channel
        channel.makeConnection(transport)
        return Client(transport)


@pytest.fixture(params=[False, True], ids=["resource", "klein"])
def harness(request: pytest.FixtureRequest) -> HttpHarness:
    return HttpHarness(klein=request.param)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_websocket_behind_the_http_site_works_like_any_other(harness: HttpHarness) -> None:
    client = harness.open_websocket("amy")
    client.send_event("join:leaderboard", number=1)
    assert [event["event"] for event in client.events()] == ["ack", "leaderboard:update"]
    client.send(frame(8))
    assert client.closed()[0] == 1000
    client.disconnect()
    assert harness.connected == 0


def test_the_http_site_keeps_neither_the_request_nor_a_timer_of_a_websocket(harness: HttpHarness, no_collector: None) -> None:
    client = harness.open_websocket("amy")
    assert [failure.type for failure in harness.ends] == [ConnectionDone]
    harness.ends.clear()
    assert len(harness.clock.getDelayedCalls()) == 1, "only the sweep"
    assert client.transport.producer is None
    gc.collect()
    assert [request() for request in harness.requests] == [None]


def test_an_idle_websocket_is_not_closed_by_the_http_timeout(harness: HttpHarness) -> None:
    client = harness.open_websocket("amy")
    for _ in range(10):
        harness.pass_time(15)
        client.send(frame(10))
    assert client.transport.lost is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"upgrade": None}, 426), ({"origin": "https://evil.example"}, 403), ({"authorization": "Bearer bad"}, 401)],
)
def test_refusals_are_the_same_behind_the_http_site(harness: HttpHarness, headers: dict[str, Any], status: int) -> None:
    client = harness.connect()
    assert client.handshake(**headers).startswith(f"HTTP/1.1 {status} ")
    assert client.body()["success"] is False
    assert client.transport.lost == "closed"
    assert harness.connected == 0


def test_a_header_that_is_sent_twice_is_seen_twice(harness: HttpHarness) -> None:
    client = harness.connect()
    client.handshake("/ws", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
    assert "appears more than once" in client.body()["message"]


def test_a_request_with_a_body_is_never_read_as_frames(harness: HttpHarness) -> None:
    client = harness.connect()
    body = frame(1, b'{"event":"join:leaderboard","id":1}')
    client.handshake(token="amy", content_length=str(len(body)))
    client.send(body)
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.frames() == []
