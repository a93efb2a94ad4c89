"""WebSocket resource: it takes a connection over from a twisted.web resource tree. The connection never returns to HTTP."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ServerFactory
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET


class WebSocketResource(Resource):
    """Resource that hands the connection of every request, with the request's head, over to a protocol of ``factory``."""

    isLeaf = True  # noqa: N815 -- twisted.web's name

    def __init__(self, factory: ServerFactory) -> None:
        super().__init__()
        self._factory = factory

    def render(self, request: Any) -> int:
        """Hand the connection over. From here on the protocol answers, also when it refuses."""
        channel = request.channel
        if channel is None or channel.transport is None:  # the client left during the rate check
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
    """Take the transport from its channel, and return it.

    Deferreds of the request's end fire, timers are cancelled, and nothing refers to the channel and the request any more: they
    would cost each WebSocket 4 KiB.
    """
    transport = channel.transport
    transport.unregisterProducer()
    channel.connectionLost(Failure(ConnectionDone()))
    channel.requests.clear()
    channel.transport = None
    return transport


def _head(request: Any) -> bytes:
    """The request line and the headers, as the protocol parses them."""
    header_lines = [b"%b %b %b" % (request.method, request.uri, request.clientproto)]
    header_lines += [b"%b: %b" % (name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
    return b"\r\n".join(header_lines) + b"\r\n\r\n"
