"""The mount: a WebSocket in a twisted.web resource tree. The connection leaves HTTP for good, and HTTP is told so."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ServerFactory
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET


class WebSocketResource(Resource):
    """Hands the connection of any request over to a protocol of ``factory``, request head and all."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, factory: ServerFactory) -> None:
        super().__init__()
        self._factory = factory

    def render(self, request: Any) -> int:
        """The protocol answers from here on, also where it refuses."""
        channel = request.channel
        if channel is None or channel.transport is None:  # the client left while somebody asked whether it may come
            return NOT_DONE_YET
        head = _head(request)
        transport = _leave_http(channel)
        protocol: Any = self._factory.buildProtocol(transport.getPeer())
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        transport.resumeProducing()
        protocol.dataReceived(head)
        return NOT_DONE_YET


def _leave_http(channel: Any) -> Any:
    """The channel's transport, which is nothing to the channel from here on.

    Whoever waits for the request's end is told, timers are cancelled, and nothing refers to channel or request any more: they
    would cost every socket 4 KiB.
    """
    transport = channel.transport
    transport.unregisterProducer()
    channel.connectionLost(Failure(ConnectionDone()))
    channel.requests.clear()
    channel.transport = None
    return transport


def _head(request: Any) -> bytes:
    """The request line and headers as they came, for the protocol to read."""
    header_lines = [b"%b %b %b" % (request.method, request.uri, request.clientproto)]
    header_lines += [b"%b: %b" % (name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
    return b"\r\n".join(header_lines) + b"\r\n\r\n"
