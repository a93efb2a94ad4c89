"""Session of Engine.IO 4, without I/O: requests, messages and times come in; messages, payloads, frames and a deadline go out.

Times are whole milliseconds of the caller's clock. Each input first calls `pass_time`, so a session whose time is up is closed
even if no timer has fired. After each input the caller writes what `take_payload` (for a waiting GET) and `take_frames` (for the
WebSocket) return. A closed session answers a waiting GET with its last packet, and sends nothing else.
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
    LOST,
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
    """An input that the session cannot take in its present state."""


class Transport(Enum):
    """Present transport of a session."""

    POLLING = auto()
    WEBSOCKET = auto()


class _Open(msgspec.Struct, frozen=True, rename="camel"):
    sid: str
    upgrades: list[str]
    ping_interval: int
    ping_timeout: int
    max_payload: int


class Session:
    """One client's session. ``close_reason`` says why it closed; None while it is open."""

    __slots__ = (
        "_connect_by_ms",
        "_heartbeat_ms",
        "_last_packet",
        "_pinged",
        "_probed",
        "_queue",
        "_settings",
        "_upgrade_by_ms",
        "_waiting",
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
        self._last_packet = CLOSE
        self._heartbeat_ms = now_ms + settings.ping_interval_ms
        self._connect_by_ms = self._upgrade_by_ms = NEVER
        self.start_connect_timer(now_ms)
        upgrades = ["websocket"] if transport is Transport.POLLING else []
        hello = _Open(sid, upgrades, settings.ping_interval_ms, settings.ping_timeout_ms, settings.max_payload_bytes)
        self.send(text_frame(b"0" + msgspec.json.encode(hello)))

    # Time

    @property
    def deadline_ms(self) -> int:
        """Time at which `pass_time` must be called next."""
        return min(self._heartbeat_ms, self._connect_by_ms, self._upgrade_by_ms)

    def pass_time(self, now_ms: int) -> None:
        """Do what is due at this time: a ping, or the end of an upgrade or of the session."""
        if now_ms >= self._upgrade_by_ms:
            self.detach()
        if now_ms >= self._connect_by_ms:
            self.close(NO_CONNECT)
        while now_ms >= self._heartbeat_ms and self.close_reason is None:
            if self._pinged:
                self.close(NO_PONG)
            else:
                self._pinged = True
                self._heartbeat_ms += self._settings.ping_timeout_ms
                self.send(PING)

    def start_connect_timer(self, now_ms: int) -> None:
        """Give the client a time for CONNECT, after which the session closes."""
        if self._settings.connect_timeout_ms is not None:
            self._connect_by_ms = now_ms + self._settings.connect_timeout_ms

    def stop_connect_timer(self) -> None:
        """Accept the client: its time for CONNECT runs no longer."""
        self._connect_by_ms = NEVER

    # Polling

    def poll(self, now_ms: int) -> None:
        """Let a GET wait for packets. Raises Misplaced."""
        self._polling_at(now_ms)
        if self._waiting:
            self.close(TWO_GETS)
            raise Misplaced("two GETs at once")
        self._waiting = True

    def abandon(self) -> None:
        """Close the session, because the client gave up its waiting GET: packets that it answered may be lost."""
        self._waiting = False
        self.close(ABANDONED)

    def post(self, body: bytes, now_ms: int) -> list[str | bytes]:
        """Return the messages in the body of a POST. Raises Misplaced, or Malformed: then none of its messages count."""
        self._polling_at(now_ms)
        try:
            packets = read_payload(body, self._settings.packets_per_post_max)
            return [packet.data for packet in packets if self._receive(packet, now_ms)]
        except Malformed:
            self.close(BAD_PACKET)
            raise

    def take_payload(self) -> bytes | None:
        """Return the payload that answers the waiting GET now; None if it waits on, or none waits.

        An empty payload says that the GET must fail, because the client was lost. A last packet would tell it to stay away:
        python-socketio never connects again after one.
        """
        if not self._waiting:
            return None
        parts = [payload_of(self._take_queue())] if self._queue else []
        if self.close_reason is not None:
            if self.close_reason.code not in LOST:
                parts.append(self._last_packet)
            self._waiting = False
            return SEPARATOR.join(parts)
        if not parts and self._probed:  # the GET must end, or the client would never stop to poll
            parts.append(NOOP)
        if not parts:
            return None
        self._waiting = False
        return SEPARATOR.join(parts)

    # WebSocket

    def receive(self, message: str | bytes, now_ms: int) -> str | bytes | None:
        """Return the application's message that a WebSocket message holds, if any. Closes the session if it is malformed."""
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
        """Return the frames that are to be written to the WebSocket now."""
        return b"" if self.transport is Transport.POLLING or self.close_reason is not None else self._take_queue()

    # From polling to WebSocket

    def attach(self, now_ms: int) -> None:
        """Begin an upgrade to a WebSocket. Raises Misplaced."""
        self._polling_at(now_ms)
        if self.attached:
            raise Misplaced("an upgrade is under way")
        self._upgrade_by_ms = now_ms + self._settings.upgrade_timeout_ms

    @property
    def attached(self) -> bool:
        """Whether an upgrade is under way."""
        return self._upgrade_by_ms != NEVER

    def probe(self, message: str | bytes, now_ms: int) -> bytes:
        """Take a message of the candidate, and return the frame that answers it. May end the upgrade. Raises Misplaced."""
        self._polling_at(now_ms)
        if message == "2probe":
            self._probed = True
            return PROBED
        if message != "5" or not self._probed:
            self.detach()
            raise Misplaced("not a message of an upgrade")
        self.transport = Transport.WEBSOCKET
        self._upgrade_by_ms = NEVER
        return b""

    def detach(self) -> None:
        """Give up the upgrade. Polling goes on."""
        self._upgrade_by_ms = NEVER
        self._probed = False

    # Both

    def send(self, frames: bytes) -> None:
        """Queue frames for the client. Closes the session of a client that fetches too little."""
        if self.close_reason is not None or not frames:  # an empty payload would answer a GET
            return
        self._queue.append(frames)
        self.queued_bytes += len(frames)
        if self.queued_bytes > self._settings.queued_bytes_max and self.transport is Transport.POLLING:
            self.close(NOT_POLLED)

    def close(self, close_reason: CloseReason) -> None:
        """Close the session. The second call does nothing."""
        if self.close_reason is None:
            self.close_reason = close_reason
            self._upgrade_by_ms = self._connect_by_ms = self._heartbeat_ms = NEVER

    def _polling_at(self, now_ms: int) -> None:
        self.pass_time(now_ms)
        if self.close_reason is not None or self.transport is not Transport.POLLING:
            raise Misplaced("this session does not poll")

    def _receive(self, packet: Packet, now_ms: int) -> bool:
        """Handle a packet, and return whether it is a message for the application."""
        if self.close_reason is not None:  # a packet after a close packet in the same POST
            return False
        if packet.kind is Kind.MESSAGE:
            return True
        if packet.kind is Kind.PING:
            raise Malformed("only the server pings")
        if packet.kind is Kind.CLOSE:
            self._last_packet = NOOP
            self.close(CLIENT_CLOSED)
        elif packet.kind is Kind.PONG and self._pinged:  # a pong without a ping changes nothing
            self._pinged = False
            self._heartbeat_ms = now_ms + self._settings.ping_interval_ms
        return False

    def _take_queue(self) -> bytes:
        frames = b"".join(self._queue)
        self._queue.clear()
        self.queued_bytes = 0
        return frames
