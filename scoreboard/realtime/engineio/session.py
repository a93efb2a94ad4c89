"""The session of Engine.IO 4, without I/O: requests, messages and times in; messages, payloads, frames and a deadline out.

Times are whole milliseconds of whatever clock the caller has. Every input first lets the time pass, so that a session whose time
is up is gone whether or not a timer has said so. Whoever calls asks afterwards what is to be written: ``take_payload`` for the
waiting GET, ``take_frames`` for the WebSocket. A closed session says its farewell to a waiting GET and nothing else, ever.
"""

from __future__ import annotations

import sys
from enum import Enum, auto
from typing import Final

import msgspec

from scoreboard.domain.close_reasons import (
    ABANDONED,
    BAD_PACKET,
    CLIENT_CLOSED,
    NO_CONNECT,
    NO_PONG,
    NOT_POLLED,
    TWO_GETS,
    CloseReason,
)
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.packets import (
    CLOSE,
    NOOP,
    PING,
    PROBED,
    SEPARATOR,
    Kind,
    Malformed,
    Packet,
    payload_of,
    read_packet,
    read_payload,
)

NEVER: Final = sys.maxsize


class Misplaced(Exception):
    """Nothing that this session can take now."""


class Transport(Enum):
    """What carries a session at the moment."""

    POLLING = auto()
    WEBSOCKET = auto()


class _Open(msgspec.Struct, frozen=True, rename="camel"):
    sid: str
    upgrades: list[str]
    ping_interval: int
    ping_timeout: int
    max_payload: int


class Session:
    """One client's session. ``parting`` says why it closed, None while it is open."""

    __slots__ = (
        "_beat_ms",
        "_farewell",
        "_pinged",
        "_probed",
        "_queue",
        "_settings",
        "_upgrade_by_ms",
        "_waiting",
        "_welcome_by_ms",
        "close_reason",
        "queued_bytes",
        "sid",
        "transport",
    )

    def __init__(self, sid: str, transport: Transport, settings: EngineSettings, now_ms: int) -> None:
        self.sid = sid
        self.transport = transport
        self.close_reason: CloseReason | None = None
        self.queued_bytes = 0
        self._settings = settings
        self._queue: list[bytes] = []
        self._waiting = False
        self._probed = False
        self._pinged = False
        self._farewell = CLOSE
        self._beat_ms = now_ms + settings.ping_interval_ms
        self._welcome_by_ms = NEVER if settings.connect_timeout_ms is None else now_ms + settings.connect_timeout_ms
        self._upgrade_by_ms = NEVER
        upgrades = ["websocket"] if transport is Transport.POLLING else []
        hello = _Open(sid, upgrades, settings.ping_interval_ms, settings.ping_timeout_ms, settings.max_payload_bytes)
        self.send(text_frame(b"0" + msgspec.json.encode(hello)))

    # Time

    @property
    def deadline_ms(self) -> int:
        """When ``pass_time`` must be called next."""
        return min(self._beat_ms, self._welcome_by_ms, self._upgrade_by_ms)

    def pass_time(self, now_ms: int) -> None:
        """It is so late now."""
        if now_ms >= self._upgrade_by_ms:
            self.detach()
        if now_ms >= self._welcome_by_ms:
            self.close(NO_CONNECT)
        while now_ms >= self._beat_ms and self.close_reason is None:
            if self._pinged:
                self.close(NO_PONG)
            else:
                self._pinged = True
                self._beat_ms += self._settings.ping_timeout_ms
                self.send(PING)

    def stop_connect_timer(self) -> None:
        """The application is content with this client."""
        self._welcome_by_ms = NEVER

    # Polling

    def poll(self, now_ms: int) -> None:
        """A GET waits from now on; raises Misplaced."""
        self._polling_at(now_ms)
        if self._waiting:
            self.close(TWO_GETS)
            raise Misplaced("two GETs at once")
        self._waiting = True

    def abandon(self) -> None:
        """The client gave its waiting GET up: what was sent may be lost, and so is the session."""
        self._waiting = False
        self.close(ABANDONED)

    def post(self, body: bytes, now_ms: int) -> list[str | bytes]:
        """The messages in the body of a POST; raises Misplaced, or Malformed and then nothing of it counts."""
        self._polling_at(now_ms)
        try:
            packets = read_payload(body, self._settings.packets_per_post_max)
            return [packet.data for packet in packets if self._receive(packet, now_ms)]
        except Malformed:
            self.close(BAD_PACKET)
            raise

    def take_payload(self) -> bytes | None:
        """What the waiting GET is answered with now, or None while it waits on (or none does)."""
        if not self._waiting:
            return None
        parts = [payload_of(self._take_queue())] if self._queue else []
        if self.close_reason is not None:
            parts.append(self._farewell)
        elif not parts and self._probed:  # it must end, or the client would go on polling for ever
            parts.append(NOOP)
        if not parts:
            return None
        self._waiting = False
        return SEPARATOR.join(parts)

    # WebSocket

    def receive(self, message: str | bytes, now_ms: int) -> str | bytes | None:
        """The application's message in one from the WebSocket, if it has one; closes the session for what cannot be one."""
        self.pass_time(now_ms)
        if self.close_reason is not None:
            return None
        try:
            packet = read_packet(message)
            return packet.data if self._receive(packet, now_ms) else None
        except Malformed:
            self.close(BAD_PACKET)
            return None

    def take_frames(self) -> bytes:
        """What the WebSocket is to be written now."""
        return b"" if self.transport is Transport.POLLING or self.close_reason is not None else self._take_queue()

    # From polling to WebSocket

    def attach(self, now_ms: int) -> None:
        """A second transport wants to take over; raises Misplaced."""
        self._polling_at(now_ms)
        if self.attached:
            raise Misplaced("an upgrade is under way")
        self._upgrade_by_ms = now_ms + self._settings.upgrade_timeout_ms

    @property
    def attached(self) -> bool:
        """Whether an upgrade is under way."""
        return self._upgrade_by_ms != NEVER

    def probe(self, message: str | bytes, now_ms: int) -> bytes:
        """What the candidate said: the frame that answers it. Afterwards the transport may be another; raises Misplaced."""
        self._polling_at(now_ms)
        if message == "2probe":
            self._probed = True
            return PROBED
        if message != "5" or not self._probed:
            self.detach()
            raise Misplaced("not how one upgrades")
        self.transport = Transport.WEBSOCKET
        self._upgrade_by_ms = NEVER
        return b""

    def detach(self) -> None:
        """The upgrade failed; polling goes on as if nothing had been."""
        self._upgrade_by_ms = NEVER
        self._probed = False

    # Both

    def send(self, frames: bytes) -> None:
        """Queue frames for the client. One that fetches nothing is closed, not waited for."""
        if self.close_reason is not None or not frames:  # nothing to say is no payload, and answers no GET
            return
        self._queue.append(frames)
        self.queued_bytes += len(frames)
        if self.queued_bytes > self._settings.queued_bytes_max and self.transport is Transport.POLLING:
            self.close(NOT_POLLED)

    def close(self, close_reason: CloseReason) -> None:
        """It is over. Doing it twice changes nothing."""
        if self.close_reason is None:
            self.close_reason = close_reason
            self._upgrade_by_ms = self._welcome_by_ms = self._beat_ms = NEVER

    def _polling_at(self, now_ms: int) -> None:
        self.pass_time(now_ms)
        if self.close_reason is not None or self.transport is not Transport.POLLING:
            raise Misplaced("this session does not poll")

    def _receive(self, packet: Packet, now_ms: int) -> bool:
        """Obey a packet; whether it is a message for the application."""
        if self.close_reason is not None:  # what follows a close packet in one POST
            return False
        if packet.kind is Kind.MESSAGE:
            return True
        if packet.data != "" or packet.kind in (Kind.OPEN, Kind.PING, Kind.UPGRADE):
            raise Malformed("not for a client to say here")
        if packet.kind is Kind.CLOSE:
            self._farewell = NOOP
            self.close(CLIENT_CLOSED)
        elif packet.kind is Kind.PONG and self._pinged:  # one that nobody asked for changes nothing
            self._pinged = False
            self._beat_ms = now_ms + self._settings.ping_interval_ms
        return False

    def _take_queue(self) -> bytes:
        frames = b"".join(self._queue)
        self._queue.clear()
        self.queued_bytes = 0
        return frames
