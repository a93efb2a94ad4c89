"""HTTP connection: it reads each request whole and strictly, or refuses it at once.

It is stricter than twisted.web. A body that is too long is refused by its announced length before a byte of it is read. Heads
and bodies have absolute deadlines, which no further byte renews. Names with a leading underscore that are not defined here are
HTTPChannel's own; tests/net/internals.py lists them.
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel, _IdentityTransferDecoder
from twisted.web.resource import IResource
from zope.interface import implementer

from scoreboard.domain.refusals import Reason, Refusal, malformed
from scoreboard.net.http.addresses import counted_as
from scoreboard.net.http.chunks import BadChunks, BodyTooLarge, ChunkedBody
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.request import HttpSite, Request
from scoreboard.net.http.request_head import BadRequestHead, origin_in, read_head
from scoreboard.socket_first import is_bare, write_socket_first

_log: Final = Logger(namespace="scoreboard.net.http.channel")
#: The first two bytes of a TLS connection: a record of the handshake, version 3.
_TLS_HANDSHAKE: Final = b"\x16\x03"
_TLS: Final = malformed(
    "head", "is TLS, but this port speaks plain HTTP: use http:// or ws://, or the address of a proxy with TLS"
)


@implementer(IHalfCloseableProtocol)
class Channel(HTTPChannel):
    """One connection. Its deadline is a number that the sweep compares once a second, so a change of it costs nothing."""

    #: Twisted takes a whole head for one line: `lineReceived` gets it complete, or not at all.
    delimiter = b"\r\n\r\n"
    site: HttpSite
    transport: Any  # a TCP or unix connection, or None once a WebSocket has taken it
    peer: str
    trusted = False
    #: Whether the peer is one of our proxies or on loopback.
    ours = False
    deadline_s = inf
    #: Why the connection was not admitted: the answer to its first request, whose page may then read it.
    _full: Refusal | None = None
    #: Whether the client sends nothing more.
    half_closed = False
    _awaits_head = True
    _lingering = False
    _direct = False
    _closed = False

    def connectionMade(self) -> None:
        """Twisted: connected. Register the connection, or refuse it."""
        self.MAX_LENGTH = self.site.http_limits.head_bytes_max
        super().connectionMade()
        self._peer_address: IAddress = self.transport.getPeer()
        self._host_address: IAddress = self.transport.getHost()
        self._direct = is_bare(self.transport)
        http_limits = self.site.http_limits
        self._full = self.site.registry.admit_http(self)
        self.deadline_s = self.site.now_s + (http_limits.head_s_max if self._full is None else http_limits.linger_s_max)

    def getPeer(self) -> IAddress:
        """The address of the other end. The kernel is asked once."""
        return self._peer_address

    def getHost(self) -> IAddress:
        """The address of our end. The kernel is asked once."""
        return self._host_address

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes of a head, of a body, or of a later request, which waits until the present one is answered."""
        if self._lingering:
            return
        if self._awaits_head and self._full is None:
            if data.startswith(_TLS_HANDSHAKE):
                _log.info("a client speaks TLS to a port of plain HTTP", address=self.peer)
                self.refuse(_TLS, None)
                return
            self._awaits_head = False
            self.deadline_s = self.site.now_s + self.site.http_limits.head_s_max
        super(HTTPChannel, self).dataReceived(data)  # without HTTPChannel's timeout, which every byte renews

    def lineReceived(self, raw: bytes) -> None:
        """Twisted: a whole head."""
        http_limits = self.site.http_limits
        if self._full is not None:
            self.refuse(self._full, origin_in(raw))
            return
        try:
            head = read_head(raw.removeprefix(b"\r\n"), http_limits.head_fields_max)
        except BadRequestHead as bad:
            self.refuse(malformed("head", str(bad)), origin_in(raw))
            return
        announced = head.body_bytes
        if announced is not None and announced > http_limits.body_bytes_max:
            self.refuse(self._too_large(), origin_in(raw))
            return
        request = Request(self, head)
        self.requests.append(request)
        self.persistent = head.persistent
        if announced == 0:
            self.allContentReceived()
            return
        most = http_limits.body_bytes_max if announced is None else announced
        self.deadline_s = self.site.now_s + http_limits.body_s_max + most / http_limits.body_bytes_per_s_min
        self._transferDecoder = (
            ChunkedBody(request.handleContentChunk, self._finishRequestBody, http_limits)
            if announced is None
            else _IdentityTransferDecoder(announced, request.handleContentChunk, self._finishRequestBody)
        )
        self.setRawMode()
        if head.expects_continue:
            self._send100Continue()

    def lineLengthExceeded(self, raw: bytes) -> None:
        """Twisted: a head that is too long."""
        refusal = self._full or malformed("head", f"is longer than {self.site.http_limits.head_bytes_max} bytes")
        self.refuse(refusal, origin_in(raw))

    def rawDataReceived(self, data: bytes) -> None:
        """Twisted: bytes of a body, or of a later request."""
        try:
            super().rawDataReceived(data)
        except BodyTooLarge:
            self.refuse(self._too_large(), self.requests[-1].getHeader(b"Origin"))
        except BadChunks as bad:
            self.refuse(malformed("body", str(bad)), self.requests[-1].getHeader(b"Origin"))

    def _too_large(self) -> Refusal:
        return Refusal(
            reason=Reason.BODY_TOO_LARGE, message=f"The body may have at most {self.site.http_limits.body_bytes_max} bytes"
        )

    def allContentReceived(self) -> None:
        """Twisted: a request is complete. The deadline ends here: the time is now the handler's."""
        self._transferDecoder = None
        self.deadline_s = inf
        self._handlingRequest = True
        self.setRawMode()
        self.requests[-1].process()

    def hand_over(self, request: Request, resource: IResource) -> None:
        """Let another resource answer. If it takes the transport, as a WebSocket does, this channel keeps no reference to it."""
        self.transport.unregisterProducer()
        request.render(resource)
        if self.transport is None:
            self.requests.clear()
            self.clearLineBuffer()
            self.site.registry.remove_http(self)
        elif not self.transport.disconnecting:
            self.transport.registerProducer(self, True)

    def requestDone(self, request: server.Request) -> None:
        """Twisted: a request is answered. The next one may have arrived already."""
        http_limits = self.site.http_limits
        self._awaits_head = not self._buffer
        self.deadline_s = self.site.now_s + (http_limits.idle_s_max if self._awaits_head else http_limits.head_s_max)
        super().requestDone(request)
        self._close_if_ended()

    def pauseProducing(self) -> None:
        """Twisted: the client reads too slowly. Read nothing more and begin no further request."""
        self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Twisted: the client has read what was written."""
        self.paused = False
        super().resumeProducing()
        if self._buffer and not self._handlingRequest:
            self.dataReceived(b"")
        self._close_if_ended()

    def readConnectionLost(self) -> None:
        """Twisted: the client sends nothing more. Its requests are answered, then the connection is closed."""
        self.half_closed = True
        if self._handlingRequest:
            self.requests[-1].client_ended()
        else:
            self._close_if_ended()

    def writeConnectionLost(self) -> None:
        """Twisted: our half is closed. A refusal was sent, and what still arrives is dropped."""

    def _close_if_ended(self) -> None:
        """Close if the client sends nothing more and no whole request of it is left."""
        if self.half_closed and not (self._handlingRequest or self._busyReceiving or self.paused):
            self.loseConnection()

    def send(self, data: bytes) -> None:
        """Write to the socket first. With TLS, write through the transport."""
        if self._direct:
            write_socket_first(self.transport, data)
        else:
            self.transport.write(data)

    def refuse(self, refusal: Refusal, origin: bytes | None) -> None:
        """Send a refusal outside any handler, which a page of this origin may read, and close.

        Only our half is closed. If we closed both while the client still sends, the kernel would reset the connection and the
        client could lose the response. What still arrives is dropped until the client closes or its time is up.
        """
        self._lingering = True
        self.clearLineBuffer()
        self.deadline_s = self.site.now_s + self.site.http_limits.linger_s_max
        header_lines = self.site.header_lines + self.site.cors.lines_for(origin)
        self.transport.write(refused(refusal).encode(header_lines, last=True))
        # A transport that cannot close one half is closed completely.
        getattr(self.transport, "loseWriteConnection", self.loseConnection)()

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Close a connection whose deadline has passed; if closing takes too long, abort."""
        if self.deadline_s > now_s:
            return
        if self.transport.disconnecting or self._lingering:
            self.transport.abortConnection()
        elif self._full is not None:
            self.refuse(self._full, None)
        else:
            self.deadline_s = now_s + self.site.http_limits.linger_s_max
            self.loseConnection()

    def finish(self) -> None:
        """Close if no request waits for its response."""
        if not self.requests and not self._buffer:
            self.loseConnection()

    def close_now(self) -> None:
        """Close without a response. The descriptor is free when this returns; Twisted's own close frees it in a later turn."""
        transport = self.transport
        self._closed = True
        if isinstance(transport, FileDescriptor):
            transport.stopReading()
            transport.stopWriting()
            transport.connectionLost(Failure(ConnectionDone()))
        else:  # a transport of a test
            transport.abortConnection()

    @property
    def asking(self) -> bool:
        """Whether a request is being read or answered. A client that has not sent a whole head has no request."""
        return bool(self.requests)

    @property
    def counted_as(self) -> str:
        """The name under which limits count the peer's address."""
        return counted_as(self.peer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is lost. Handlers finish what they began for this client."""
        self.site.registry.remove_http(self)
        super().connectionLost(reason)
        for request in self.requests:
            request.client_ended()
