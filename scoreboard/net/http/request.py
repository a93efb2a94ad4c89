"""HTTP request with its whole body: what handlers read of it, and `respond`, which answers it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

from twisted.web import server
from twisted.web.resource import IResource

from scoreboard.domain.actions import ClientInfo
from scoreboard.domain.players import Player
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies, counted_as
from scoreboard.net.http.cors import Cors
from scoreboard.net.http.request_head import RequestHead
from scoreboard.net.http.response import Response
from scoreboard.net.limits import HttpLimits

_AGENT_CHARS_MAX = 256


class HttpSite(Protocol):
    """The part of the site that a connection uses."""

    registry: ConnectionRegistry
    http_limits: HttpLimits
    proxies: Proxies
    cors: Cors
    resource: IResource
    #: The header lines of every response, and the monotonic time. Both change once a second.
    header_lines: bytes
    now_s: float


class Connection(Protocol):
    """The part of a connection that its request uses."""

    site: HttpSite
    transport: Any
    peer: str
    trusted: bool
    persistent: int
    half_closed: bool

    def send(self, data: bytes) -> None:
        """Write."""

    def hand_over(self, request: Request, resource: IResource) -> None:
        """Let a resource answer. It may take the transport."""


class Request(server.Request):
    """A request whose head was parsed strictly and whose body is within the limit.

    It parses no cookies, no form arguments, and not the Content-Type: Twisted's email parser took a fifth of the reactor's
    time for submissions in a prototype.
    """

    channel: Connection  # type: ignore[assignment]  # Twisted names its own channel, ours is one
    #: The Klein endpoint that answers. The site counts requests by it.
    endpoint = "none"
    #: The player that a token or a ticket proved.
    player: Player | None = None

    def __init__(self, channel: Connection, head: RequestHead) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path, _, self.query = head.target.partition(b"?")
        self.requestHeaders = head.headers
        self.for_head = head.method == b"HEAD"
        self.body = b""
        #: Header lines of the response to this request, in addition to those of the site.
        self.header_lines = b""
        #: Those that say what is left of a limit.
        self.rate_lines = b""
        self._body_parts = bytearray()
        self._on_client_end: Callable[[], object] | None = None

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body. The channel has checked its size."""
        self._body_parts += data

    def process(self) -> None:
        """Handle the request, which has arrived completely."""
        self.body = bytes(self._body_parts)
        site: Any = self.channel.site
        self.site = site
        site.resource.render(self)

    @property
    def content_type(self) -> bytes:
        """The Content-Type, b"" if the body is compressed: no handler accepts that."""
        return b"" if self.requestHeaders.hasHeader(b"Content-Encoding") else self.getHeader(b"Content-Type") or b""

    @property
    def client_address(self) -> str:
        """The client's address: the peer, or the client behind a trusted proxy."""
        channel = self.channel
        if not channel.trusted:  # found once for the whole connection
            return channel.peer
        return channel.site.proxies.client(channel.peer, self.requestHeaders.getRawHeaders(b"X-Forwarded-For", ()))

    @property
    def counted_as(self) -> str:
        """The name under which limits count the client."""
        return counted_as(self.client_address)

    @property
    def client_info(self) -> ClientInfo:
        """The client's address and program, for the ledger."""
        agent = (self.getHeader(b"User-Agent") or b"")[: 4 * _AGENT_CHARS_MAX].decode("utf-8", "replace")
        return ClientInfo(address=self.client_address, agent=agent[:_AGENT_CHARS_MAX])

    @property
    def has_left(self) -> bool:
        """Whether the client has closed the connection, or the connection is no longer HTTP."""
        return self._disconnected or self.channel.transport is None

    def when_client_ends(self, call: Callable[[], object]) -> None:
        """Call when the client sends nothing more, which may be now. It has probably left: no response should wait for events."""
        self._on_client_end = call
        if not self.startedWriting and (self.has_left or self.channel.half_closed):
            self.client_ended()

    def client_ended(self) -> None:
        """The channel: the client has closed its half of the connection, or all of it."""
        call, self._on_client_end = self._on_client_end, None
        if call is not None:
            call()

    def hand_over(self, resource: IResource) -> None:
        """Let another resource answer, or take the connection over, as a WebSocket does."""
        if self.has_left:
            return
        self.content = BytesIO(self.body)
        self.channel.hand_over(self, resource)

    def respond(self, response: Response) -> None:
        """Send the response and finish the request. If the client has left, nothing is sent; what the handler did stays done."""
        if self.has_left:
            return
        channel = self.channel
        site = channel.site
        last = not channel.persistent or site.registry.draining_http
        channel.persistent = not last
        self.code = response.status
        self.startedWriting = 1
        channel.send(response.encode(site.header_lines + self.header_lines + self.rate_lines, for_head=self.for_head, last=last))
        self.finish()
