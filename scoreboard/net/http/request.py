"""One request, read whole: what handlers may ask of it, and the one way in which it is answered."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Protocol

from twisted.web import server
from twisted.web.resource import IResource

from scoreboard.domain.actions import ClientInfo
from scoreboard.domain.players import Player
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies, counted_as
from scoreboard.net.http.request_head import RequestHead
from scoreboard.net.http.response import Response
from scoreboard.net.limits import HttpLimits

_AGENT_CHARS_MAX = 256


class Listener(Protocol):
    """What a connection uses of the port that it came to."""

    registry: ConnectionRegistry
    http_limits: HttpLimits
    proxies: Proxies
    resource: IResource
    #: What every response carries, and the monotonic time; both change once a second.
    header_lines: bytes
    now_s: float


class Connection(Protocol):
    """What a request uses of its connection."""

    site: Listener
    transport: Any
    peer: str
    trusted: bool
    persistent: int

    def send(self, data: bytes) -> None:
        """Write."""

    def hand_over(self, request: Request, resource: IResource) -> None:
        """Let a resource answer, which may take the transport."""


class Request(server.Request):
    """A request whose head was strict and whose body was small.

    Nothing is parsed that nobody asks for: no cookies, no form arguments, and no Content-Type by the email package,
    which took a fifth of the reactor's time in a prototype's submissions.
    """

    channel: Connection  # type: ignore[assignment]  # Twisted names its own channel, ours is one
    #: The Klein endpoint that answers, for the tallies.
    endpoint = "none"
    #: The player that a token or a ticket has proved.
    player: Player | None = None

    def __init__(self, channel: Connection, head: RequestHead) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path, _, self.query = head.target.partition(b"?")
        self.requestHeaders = head.headers
        self.for_head = head.method == b"HEAD"
        self.body = b""
        #: Header lines that this request's answer will carry, whichever it is.
        self.header_lines = b""
        self._body_parts = bytearray()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body; the channel has seen to its size."""
        self._body_parts += data

    @property
    def body_bytes(self) -> int:
        """How much of the body has come."""
        return len(self._body_parts)

    def process(self) -> None:
        """All of it is here."""
        self.body = bytes(self._body_parts)
        site: Any = self.channel.site
        self.site = site
        site.resource.render(self)

    @property
    def content_type(self) -> bytes:
        """What the client says the body is; a compressed one is nothing that we know."""
        return b"" if self.requestHeaders.hasHeader(b"Content-Encoding") else self.getHeader(b"Content-Type") or b""

    @property
    def client_address(self) -> str:
        """Where the request comes from: the peer, or whom a trusted proxy speaks for."""
        channel = self.channel
        if not channel.trusted:  # which was asked once for the whole connection
            return channel.peer
        return channel.site.proxies.client(channel.peer, self.requestHeaders.getRawHeaders(b"X-Forwarded-For", ()))

    @property
    def counted_as(self) -> str:
        """The name its limits count."""
        return counted_as(self.client_address)

    @property
    def client_info(self) -> ClientInfo:
        """Where it came from, for the ledger."""
        agent = (self.getHeader(b"User-Agent") or b"")[: 4 * _AGENT_CHARS_MAX].decode("utf-8", "replace")
        return ClientInfo(address=self.client_address, agent=agent[:_AGENT_CHARS_MAX])

    @property
    def has_left(self) -> bool:
        """Whether the client has closed the connection, or the connection is no longer HTTP."""
        return self._disconnected or self.channel.transport is None

    def hand_over(self, resource: IResource) -> None:
        """Let another resource answer, or take the whole connection, as a WebSocket does."""
        if self.has_left:
            return
        self.content = BytesIO(self.body)
        self.channel.hand_over(self, resource)

    def respond(self, response: Response) -> None:
        """Say it and be done. Nobody is told who has hung up, or whose connection is no longer ours: what was done stays done."""
        if self.has_left:
            return
        channel = self.channel
        site = channel.site
        last = not channel.persistent or site.registry.draining_http
        channel.persistent = not last
        self.code = response.status
        self.startedWriting = 1
        channel.send(response.encode(site.header_lines + self.header_lines, for_head=self.for_head, last=last))
        self.finish()
