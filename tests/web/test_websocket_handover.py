"""Handover of a connection from HTTP to a WebSocket."""

from __future__ import annotations

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.web.resource import Resource

from scoreboard.net.limits import HttpLimits
from tests.web.harness import Harness, request

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
HELLO = b"\x81\x85\0\0\0\0hello"


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N803 -- Autobahn's names
        self.sendMessage(payload, isBinary)


def harness_with_a_socket() -> Harness:
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    return Harness(socket=WebSocketResource(factory), http_limits=HttpLimits(connections_per_address_max=1))


def test_a_websocket_opens_and_sends_frames() -> None:
    connection = harness_with_a_socket().connection()
    connection.send(request("GET", "/ws", headers=HANDSHAKE))
    head, _, rest = connection.transport.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == b""
    connection.transport.clear()
    connection.transport.protocol.dataReceived(HELLO)
    assert connection.transport.value() == b"\x81\x05hello"


def test_an_open_websocket_is_neither_counted_nor_timed_by_http() -> None:
    harness = harness_with_a_socket()
    connection = harness.connection()
    connection.send(request("GET", "/ws", headers=HANDSHAKE))
    assert connection.transport.producer is None
    harness.pass_time(120)
    assert not connection.transport.disconnecting
    assert harness.connection().ask(request("GET", "/healthz")).status == 200
    drained: list[object] = []
    harness.drain().addCallback(drained.append)
    assert not drained, "the one that asked for its health is still there"


def test_a_resource_may_respond_in_http_instead() -> None:
    class Plain(Resource):
        isLeaf = True  # noqa: N815 -- twisted.web's name

        def render_GET(self, request: object) -> bytes:
            return b"no upgrade"

    harness = Harness(socket=Plain())
    connection = harness.connection()
    assert connection.ask(request("GET", "/ws")).body == b"no upgrade"
    assert connection.ask(request("GET", "/healthz")).status == 200, "the connection goes on"
