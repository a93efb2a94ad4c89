"""Server-sent events: the live events as an HTTP response that does not end, for clients without a WebSocket.

A stream is a listener and a live connection, with the same ticks and limits as a WebSocket. The server reads from it only to
learn that the client has disconnected.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from scoreboard.boundaries.announcer import EventEncoder, Listener
from scoreboard.domain.board_pages import Page
from scoreboard.domain.close_reasons import BOARD_UNAVAILABLE, NOT_READ, SERVER_FAULT, STALLED, TOKEN_ENDED, CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event
from scoreboard.domain.players import Player
from scoreboard.net.connections import LiveConnection
from scoreboard.net.http.refusals import refused
from scoreboard.net.socket_writer import SocketWriter
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.expiry import warn_of_end
from scoreboard.realtime.payloads import last_cursor, name_and_payload
from scoreboard.realtime.services import LiveServices

RETRY_MS: Final = 2_000
HEARTBEAT_S: Final = 15.0

_HEAD: Final = (
    b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nConnection: close\r\n%b\r\n"
)
_RETRY: Final = b"retry: %d\n\n" % RETRY_MS
_HEARTBEAT: Final = b":\n\n"


class SseEncoder(EventEncoder):
    """Encodes for text/event-stream. The last event of a piece has the id.

    With ``chunked`` each event is a chunk of its own: many clients read to the end of a chunk, and wait for more of a response
    that has neither chunks nor a length. HTTP/1.0 has no chunks.
    """

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked
        self.head = _HEAD % (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + self.frame(_RETRY)
        self.end = b"0\r\n\r\n" if chunked else b""

    def frame(self, data: bytes) -> bytes:
        """A part of the body, which is not empty, as it is sent."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    @override
    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        last, offset = (-1, b"") if more else last_cursor(events)
        frames = []
        for at, event in enumerate(events):
            id_line = b"id: %b\n" % offset if at == last else b""
            frames.append(self.frame(b"%bevent: %b\ndata: %b\n\n" % (id_line, *name_and_payload(event))))
        return b"".join(frames)


#: Shared by all streams of a version of HTTP: the announcer encodes an event once for each encoder.
_CHUNKED: Final = SseEncoder(chunked=True)
_UNCHUNKED: Final = SseEncoder(chunked=False)


class Stream(Protocol):
    """One client: a boundaries.Listener, and a LiveConnection of the registry."""

    transport: Any  # a TCP or UNIX connection, which has more methods than Twisted's ITransport
    _open = False
    _joined = False
    _warned_s = 0
    _ignored_bytes = 0

    def __init__(
        self, services: LiveServices, player: Player, address: str, since: Cursor | None, header_lines: bytes, version: bytes
    ) -> None:
        self._encoder = _UNCHUNKED if version == b"HTTP/1.0" else _CHUNKED
        self.encoder: EventEncoder = self._encoder
        self.player = player
        self._services = services
        self._address = address
        self._since = since
        self._header_lines = header_lines

    # The connection

    def connectionMade(self) -> None:
        """Take the transport: count the connection, then send the header and the board."""
        services = self._services
        self._writer = SocketWriter(self.transport)
        if not isinstance(self.transport.getPeer(), UNIXAddress):
            self.transport.setTcpNoDelay(True)
        self._beat_s = self._heard_s = services.clock.seconds()
        if not services.registry.add(self):
            self.transport.abortConnection()
            return
        refusal = services.registry.admit(self, self._address)
        if refusal is not None:
            self._writer.offer(refused(refusal).encode(self._header_lines, last=True))
            self._end()
            return
        self._open = True
        self._writer.offer(b"HTTP/1.1 200 OK\r\n" + self._header_lines + self._encoder.head)
        services.announcer.enter(self)
        services.run("sse_begin", self._begin(), lambda: self.close(SERVER_FAULT))

    async def _begin(self) -> None:
        """Join the room. Nothing is offered before that: the first events hold what happened meanwhile."""
        announcer = self._services.announcer
        try:
            if self._since is None:
                events = _afresh(await announcer.join(self))
            else:
                back = await announcer.resume(self, self._since)
                events = _afresh(back.page) if back.missed is None else back.missed
        except StoreUnavailable:
            self.close(BOARD_UNAVAILABLE)
            return
        if self._open:
            self._joined = True
            if events:
                self.offer(self._encoder.encode(events))

    def dataReceived(self, data: bytes) -> None:
        """Ignore what the client sends, up to a limit."""
        self._ignored_bytes += len(data)
        if self._ignored_bytes > self._services.limits.ignored_bytes_max:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the client."""
        self._leave()
        self._services.registry.remove(self)

    # For the announcer

    def offer(self, frames: bytes) -> None:
        """Write all that a tick has for this client."""
        self._writer.offer(frames)

    @property
    def drained(self) -> bool:
        """Whether more may be offered."""
        return self._joined and self._writer.drained

    # For the registry

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Close the stream if its token has ended or its client does not read; send a heartbeat if one is due."""
        if not self._open:
            if now_s >= self._deadline_s:
                self.transport.abortConnection()
        elif self.player.expires_at_s <= wall_s:
            self.close(TOKEN_ENDED)
        elif self._writer.unread_s(now_s) >= self._services.limits.read_timeout_s:
            self._services.registry.note_slow()
            self.close(NOT_READ)
        elif not self._writer.drained:
            if now_s - self._heard_s >= self._services.limits.write_timeout_s:
                self.close(STALLED)
        else:
            self._heard_s = now_s
            self._warned_s = warn_of_end(self, self._warned_s, wall_s)
            if now_s - self._beat_s >= HEARTBEAT_S:
                self._beat_s = now_s
                self._writer.offer(self._encoder.frame(_HEARTBEAT))

    def close(self, close_reason: CloseReason) -> None:
        """Tell the client why, and end the response."""
        if self._open:
            goodbye = b"event: goodbye\ndata: %b\n\n" % msgspec.json.encode(close_reason)
            self._writer.offer(self._encoder.frame(goodbye) + self._encoder.end)
            self._end(close_reason.code)

    def _end(self, code: int = 0) -> None:
        self._leave()
        self._deadline_s = self._services.clock.seconds() + self._services.limits.close_timeout_for(code)
        self._writer.close_writing()

    def _leave(self) -> None:
        if self._open:
            self._open = self._joined = False
            self._services.announcer.leave(self)


def open_stream(
    services: LiveServices, player: Player, address: str, since: Cursor | None, header_lines: bytes, version: bytes
) -> WebSocketResource:
    """Return the resource that takes over the connection of a request of this HTTP version. Limits count ``address``."""
    factory: ServerFactory[Any] = ServerFactory()
    factory.protocol = partial(Stream, services, player, address, since, header_lines, version)
    return WebSocketResource(factory)


def _afresh(page: Page) -> tuple[Event, ...]:
    return (BoardChanged(page=page, reset=True),)


_conforms: tuple[type[Listener], type[LiveConnection]] = (Stream, Stream)
