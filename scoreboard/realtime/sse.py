"""Server-sent events: the same events on a plain HTTP answer that never ends, for who has an EventSource and no WebSocket.

A stream is a listener like any socket: the announcer's ticks, the lobby's seats and sweep, the socket tried before the
reactor. It is read from only to learn that the client has gone.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries.announcer import Announcer, EventEncoder, Listener
from scoreboard.domain.board_pages import Page
from scoreboard.domain.close_reasons import BOARD_UNAVAILABLE, NOT_READ, SERVER_FAULT, STALLED, TOKEN_ENDED, CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event, cursor_of
from scoreboard.domain.players import Player
from scoreboard.net.connections import ConnectionRegistry, LiveConnection
from scoreboard.net.http.refusals import refused
from scoreboard.net.limits import LiveLimits
from scoreboard.net.socket_writer import SocketWriter
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.expiry import warn_of_end
from scoreboard.realtime.payloads import event_name, event_payload

RETRY_MS: Final = 2_000
HEARTBEAT_S: Final = 15.0

_HEAD: Final = (
    b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
    b"retry: %d\n\n" % RETRY_MS
)
_HEARTBEAT: Final = b":\n\n"
_ID: Final = re.compile(rb"^id: .*\n", re.MULTILINE)


class SseEncoder:
    """Implements boundaries.Wire for text/event-stream."""

    def __init__(self) -> None:
        self._sealed = (b"", b"")

    def frame(self, event: Event) -> bytes:
        """The event, ready to be written."""
        cursor = cursor_of(event)
        id_line = b"" if cursor is None else b"id: %b\n" % cursor.text.encode()
        return b"%bevent: %b\ndata: %b\n\n" % (id_line, event_name(event).encode(), event_payload(event))

    def sealed(self, frames: bytes) -> bytes:
        """All that a tick owes, its id on the last event alone: who is cut off in the middle comes back to before all of it."""
        known, sealed = self._sealed
        if frames is not known:  # a tick's frames are one object for everyone in the room
            at = max(0, frames.rfind(b"id: "))
            sealed = _ID.sub(b"", frames[:at]) + frames[at:]
            self._sealed = (frames, sealed)
        return sealed


#: One for all streams.
_ENCODER: Final = SseEncoder()


class _Goodbye(msgspec.Struct, frozen=True):
    code: int
    reason: str


class Stream(Protocol):
    """One client. Implements boundaries.Listener and is a guest of the lobby."""

    transport: Any  # a TCP or unix connection; Twisted's ITransport promises less than one keeps
    encoder: EventEncoder = _ENCODER
    _log = Logger()
    _open = False
    _joined = False
    _warned_s = 0
    _ignored_bytes = 0

    def __init__(self, streams: Streams, player: Player, address: str, since: Cursor | None, header_lines: bytes) -> None:
        self.player = player
        self._streams = streams
        self._address = address
        self._since = since
        self._header_lines = header_lines

    # The connection

    def connectionMade(self) -> None:
        """The transport is ours: a seat, the head, and then the board."""
        streams = self._streams
        self._writer = SocketWriter(self.transport)
        if not isinstance(self.transport.getPeer(), UNIXAddress):
            self.transport.setTcpNoDelay(True)
        self._beat_s = self._heard_s = streams.clock.seconds()
        if not streams.registry.add(self):
            self.transport.abortConnection()
            return
        refusal = streams.registry.admit(self, self._address)
        if refusal is not None:
            self._writer.offer(refused(refusal).encode(b"", last=True))
            self._end()
            return
        self._open = True
        self._writer.offer(b"HTTP/1.1 200 OK\r\n" + self._header_lines + _HEAD)
        streams.announcer.enter(self)
        ensureDeferred(self._begin()).addErrback(self._failed)

    async def _begin(self) -> None:
        """Into the room. Until we are in nothing is offered: what happens meanwhile is in what we begin with."""
        announcer = self._streams.announcer
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
                self.offer(b"".join(map(_ENCODER.frame, events)))

    def dataReceived(self, data: bytes) -> None:
        """There is nothing that a client could say here."""
        self._ignored_bytes += len(data)
        if self._ignored_bytes > self._streams.settings.ignored_bytes_max:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone and leaves nothing behind."""
        self._leave()
        self._streams.registry.remove(self)

    # For the announcer

    def offer(self, frames: bytes) -> None:
        """Hand over all that a tick owes this client."""
        self._writer.offer(_ENCODER.sealed(frames))

    @property
    def drained(self) -> bool:
        """Whether more may be offered."""
        return self._joined and self._writer.drained

    # For the lobby

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep: has the token ended, does the client read, is a heartbeat due?"""
        if not self._open:
            if now_s >= self._deadline_s:
                self.transport.abortConnection()
        elif self.player.expires_at_s <= wall_s:
            self.close(TOKEN_ENDED)
        elif self._writer.unread_s(now_s) >= self._streams.settings.read_timeout_s:
            self._streams.registry.note_slow()
            self.close(NOT_READ)
        elif not self._writer.drained:
            if now_s - self._heard_s >= self._streams.settings.write_timeout_s:
                self.close(STALLED)
        else:
            self._heard_s = now_s
            self._warned_s = warn_of_end(self, self._warned_s, wall_s)
            if now_s - self._beat_s >= HEARTBEAT_S:
                self._beat_s = now_s
                self._writer.offer(_HEARTBEAT)

    def close(self, close_reason: CloseReason) -> None:
        """Say why, and let the client see the end."""
        if self._open:
            goodbye = msgspec.json.encode(_Goodbye(close_reason.code, close_reason.reason))
            self._writer.offer(b"event: goodbye\ndata: %b\n\n" % goodbye)
            self._end(close_reason.code)

    def _end(self, code: int = 0) -> None:
        self._leave()
        self._deadline_s = self._streams.clock.seconds() + self._streams.settings.close_timeout_for(code)
        self._writer.close_writing()

    def _leave(self) -> None:
        if self._open:
            self._open = self._joined = False
            self._streams.announcer.leave(self)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("a stream could not begin", failure=failure)
        self.close(SERVER_FAULT)


class Streams:
    """Opens streams. All of them, and all sockets, are in one lobby."""

    def __init__(self, *, announcer: Announcer, registry: ConnectionRegistry, settings: LiveLimits, clock: IReactorTime) -> None:
        self.announcer = announcer
        self.registry = registry
        self.settings = settings
        self.clock = clock

    def open(self, player: Player, address: str, since: Cursor | None, header_lines: bytes) -> WebSocketResource:
        """What takes over a request's connection. ``address`` is whom limits count, ``lines`` go into the head."""
        return WebSocketResource(_Once(Stream(self, player, address, since, header_lines)))


class _Once(ServerFactory):
    """A factory of one protocol, which is made already."""

    def __init__(self, protocol: Stream) -> None:
        self._protocol = protocol

    def buildProtocol(self, _: object) -> Stream:
        return self._protocol


def _afresh(page: Page) -> tuple[Event, ...]:
    return (BoardChanged(page=page, reset=True),)


_conforms: tuple[type[Listener], type[LiveConnection]] = (Stream, Stream)
