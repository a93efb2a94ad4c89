"""One connection: bytes in, requests out, each read whole and strictly or refused at once.

What twisted.web leaves open is closed here: a body is refused by its announced length before a
byte of it is read, and heads and bodies have absolute deadlines, not ones that every byte renews. Names with a leading
underscore that are not defined here are HTTPChannel's own (Twisted 26.10).
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel, _ChunkedTransferDecoder, _IdentityTransferDecoder
from twisted.web.resource import IResource

from scoreboard.domain.refusals import Reason, Refusal, malformed
from scoreboard.net.http.addresses import counted_as
from scoreboard.net.http.refusals import refused
from scoreboard.net.http.request import Listener, Request
from scoreboard.net.http.request_head import BadRequestHead, read_head
from scoreboard.socket_first import is_bare, write_socket_first


class _BodyTooLarge(Exception):
    pass


class Channel(HTTPChannel):
    """One connection. Its deadline is a number that the site looks at once a second, so that moving it costs nothing."""

    #: A whole head is one "line" to Twisted: it arrives at `lineReceived` complete, or not at all.
    delimiter = b"\r\n\r\n"
    site: Listener
    transport: Any  # a TCP or unix connection, or None once a WebSocket has taken it
    peer: str
    trusted = False
    #: Whether the peer is one of our proxies or on loopback.
    ours = False
    deadline_s = inf
    _awaits_head = True
    _lingering = False
    _direct = False
    _closed = False

    def connectionMade(self) -> None:
        """Count in, or send away."""
        self.MAX_LENGTH = self.site.http_limits.head_bytes_max
        super().connectionMade()
        self._peer_address: IAddress = self.transport.getPeer()
        self._host_address: IAddress = self.transport.getHost()
        self._direct = is_bare(self.transport)
        self.deadline_s = self.site.now_s + self.site.http_limits.head_s_max
        full = self.site.registry.admit_http(self)
        if full is not None and not self._closed:
            self.refuse(full)
            self.transport.loseConnection()  # the sweep does not check a connection that was not admitted

    def getPeer(self) -> IAddress:
        """The other end, asked of the kernel once."""
        return self._peer_address

    def getHost(self) -> IAddress:
        """Our end, asked of the kernel once."""
        return self._host_address

    def dataReceived(self, data: bytes) -> None:
        """Bytes of a head, of a body, or of what must wait until the present request is answered."""
        if self._lingering:
            return
        if self._awaits_head:
            self._awaits_head = False
            self.deadline_s = self.site.now_s + self.site.http_limits.head_s_max
        super(HTTPChannel, self).dataReceived(data)  # past the timeout that every byte renews

    def lineReceived(self, raw: bytes) -> None:
        """A whole head."""
        http_limits = self.site.http_limits
        try:
            head = read_head(raw.removeprefix(b"\r\n"), http_limits.head_fields_max)
        except BadRequestHead as bad:
            self.refuse(malformed("head", str(bad)))
            return
        announced = head.body_bytes
        if announced is not None and announced > http_limits.body_bytes_max:
            self.refuse(self._too_large())
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
            _ChunkedTransferDecoder(self._body_came, self._finishRequestBody)
            if announced is None
            else _IdentityTransferDecoder(announced, self._body_came, self._finishRequestBody)
        )
        self.setRawMode()
        if head.expects_continue:
            self._send100Continue()

    def lineLengthExceeded(self, raw: bytes) -> None:
        """A head without an end."""
        self.refuse(malformed("head", f"is longer than {self.site.http_limits.head_bytes_max} bytes"))

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes of a body, or of a later request."""
        try:
            super().rawDataReceived(data)
        except _BodyTooLarge:
            self.refuse(self._too_large())

    def _body_came(self, data: bytes) -> None:
        request = self.requests[-1]
        if request.body_bytes + len(data) > self.site.http_limits.body_bytes_max:
            raise _BodyTooLarge
        request.handleContentChunk(data)

    def _too_large(self) -> Refusal:
        return Refusal(
            reason=Reason.BODY_TOO_LARGE, message=f"The body may have at most {self.site.http_limits.body_bytes_max} bytes"
        )

    def allContentReceived(self) -> None:
        """A request is complete. From here on it is the handler's time, not the client's."""
        self._transferDecoder = None
        self.deadline_s = inf
        self._handlingRequest = True
        self.setRawMode()
        self.requests[-1].process()

    def hand_over(self, request: Request, resource: IResource) -> None:
        """Let a resource that is not ours answer. If it takes the transport, as a WebSocket does, nothing of us stays behind."""
        self.transport.unregisterProducer()
        request.render(resource)
        if self.transport is None:
            self.requests.clear()
            self.clearLineBuffer()
            self.site.registry.remove_http(self)
        elif not self.transport.disconnecting:
            self.transport.registerProducer(self, True)

    def requestDone(self, request: server.Request) -> None:
        """Answered: on to the next, which may have arrived meanwhile."""
        http_limits = self.site.http_limits
        self._awaits_head = not self._buffer
        self.deadline_s = self.site.now_s + (http_limits.idle_s_max if self._awaits_head else http_limits.head_s_max)
        super().requestDone(request)

    def pauseProducing(self) -> None:
        """The client reads slower than we answer: neither read nor begin anything more."""
        self.paused = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client has caught up."""
        self.paused = False
        super().resumeProducing()
        if self._buffer and not self._handlingRequest:
            self.dataReceived(b"")

    def send(self, data: bytes) -> None:
        """Write now what the socket takes now; TLS gets it in order through the transport."""
        if self._direct:
            write_socket_first(self.transport, data)
        else:
            self.transport.write(data)

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is no request (any more) and close.

        Closing at once would make the kernel throw our answer away if the client has sent more than we read; so only
        our half is closed, and the rest is dropped as it comes, until the client closes or its time is up.
        """
        self._lingering = True
        self.clearLineBuffer()
        self.deadline_s = self.site.now_s + self.site.http_limits.linger_s_max
        self.transport.write(refused(refusal).encode(self.site.header_lines, last=True))
        # A transport that cannot close one half is closed whole.
        getattr(self.transport, "loseWriteConnection", self.loseConnection)()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(malformed("body", "its chunks are malformed"))

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Close a connection whose deadline has passed; if closing takes too long, abort."""
        if self.deadline_s > now_s:
            return
        if self.transport.disconnecting or self._lingering:
            self.transport.abortConnection()
        else:
            self.deadline_s = now_s + self.site.http_limits.linger_s_max
            self.loseConnection()

    def finish(self) -> None:
        """Close if nothing has been asked that is not answered."""
        if not self.requests and not self._buffer:
            self.loseConnection()

    def close_now(self) -> None:
        """Close without a word: when it returns, the descriptor is free. Closing as Twisted does frees it in a later turn."""
        transport = self.transport
        self._closed = True
        if isinstance(transport, FileDescriptor):
            transport.stopReading()
            transport.stopWriting()
            transport.connectionLost(Failure(ConnectionDone()))
        else:  # a test's
            transport.abortConnection()

    @property
    def asking(self) -> bool:
        """Whether a request is being read or answered. Whoever sends a head for ever is not asking yet."""
        return bool(self.requests)

    @property
    def counted_as(self) -> str:
        """The name under which the peer's address is limited."""
        return counted_as(self.peer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count out; whoever is still at work for this client finishes all the same."""
        self.site.registry.remove_http(self)
        super().connectionLost(reason)
