# ruff: noqa: N815 -- the names are Autobahn's
"""Autobahn's server protocol, made lean: what is the same for every socket stands on the class, what only the handshake needs
is dropped after it, and a message is gathered in one buffer that never outgrows its limit.

Autobahn sets some sixty attributes on every connection (two Deferreds, statistics, options copied from the factory, a validator);
an idle socket costs 8 KiB that way and 3 KiB this way (docs/performance.md).
"""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import Any, Final

import txaio
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.wamp.types import TransportDetails
from autobahn.websocket.protocol import TrafficStats

from scoreboard.domain.close_reasons import MESSAGE_TOO_BIG, NOT_UTF8, ONLY_TEXT, CloseCode, CloseReason

#: What Autobahn notes during a handshake and nobody asks for afterwards.
HANDSHAKE_NOTES: Final = (
    *("http_request_data", "http_status_line", "http_headers", "http_request_uri", "http_request_path", "http_request_params"),
    *("http_request_host", "http_response_data", "websocket_protocols", "websocket_origin", "websocket_extensions", "_wskey"),
    *("websocket_protocol_in_use", "websocket_extensions_in_use"),
)


class _IgnoredCallback:
    """Whom Autobahn tells that a socket is open; who needs to know is told otherwise."""

    def callback(self, _: object) -> None:
        pass


class SlimWebSocketProtocol(WebSocketServerProtocol):
    """Messages over RFC 6455: text, and binary where it ``takes_binary``. Subclasses write, hear and part."""

    transport: Any  # a TCP connection; Twisted's ITransport promises less than one keeps
    log = txaio.make_logger("warn")  # type: ignore[attr-defined]  # txaio gets it when Autobahn chooses Twisted

    CONFIG_ATTRS = []  # noqa: RUF012
    logOctets = logFrames = trackTimings = webStatus = maskServerFrames = serveFlashSocketPolicy = False
    utf8validateIncoming = False  # see onMessageFrameData: Autobahn's own wants a validator for every socket
    requireMaskedClientFrames = applyMask = failByDrop = True
    echoCloseCodeReason = failedByMe = wasClean = False
    openHandshakeTimeout = closeHandshakeTimeout = autoPingInterval = maxConnections = trustXForwardedFor = 0
    openHandshakeTimeoutCall = closeHandshakeTimeoutCall = autoPingTimeoutCall = autoPingPending = None
    trackedTimings = wasNotCleanReason = _perMessageCompress = None  # type: ignore[assignment]  # as Autobahn itself begins
    is_open = _IgnoredCallback()
    trafficStats = TrafficStats()
    _transport_details = TransportDetails()
    allowedOriginsPatterns = (re.compile(""),)  # the origin is judged in handshake.py
    versions = (13,)
    websocket_version = 13
    peer = ""

    takes_binary = False
    #: Whether the message that comes, or was just heard, is binary.
    binary = False
    message_bytes_max: int
    _message: bytearray | None = None
    _half = b""  # of a character: its other bytes are still to come

    def __init__(self) -> None:  # in place of Autobahn's, which makes Deferreds and details that nobody here asks for
        self.state = self.STATE_CONNECTING
        self.data = b""

    def message_received(self, message: bytes) -> None:
        """A whole message came; if it is text, it is UTF-8."""
        raise NotImplementedError

    def reply(self, data: bytes) -> None:
        """Write what answers the client."""
        raise NotImplementedError

    def close(self, close_reason: CloseReason) -> None:
        """Close, saying why."""
        raise NotImplementedError

    def perMessageCompressionAccept(self, offers: object) -> None:
        """No compression: one frame serves all sockets, and nothing inflates."""

    def onOpen(self) -> None:
        """The handshake is over."""
        for name in HANDSHAKE_NOTES:
            delattr(self, name)

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins."""
        self.binary = isBinary
        self._half = b""
        self._message = bytearray()
        if isBinary and not self.takes_binary:
            self._refuse(ONLY_TEXT)

    def onMessageFrameBegin(self, length: int) -> None:
        """A frame of the message begins, and says how long it is: nothing of one that is too long is kept."""
        if self._message is not None and len(self._message) + length > self.message_bytes_max:
            self._refuse(MESSAGE_TOO_BIG)

    def onMessageFrameData(self, payload: bytes) -> None:
        """More of the frame. Text that can no longer become UTF-8 is refused at the first byte that says so."""
        if self._message is None:
            return
        self._message += payload
        if not self.binary:
            text = self._half + payload
            try:
                self._half = text[utf_8_decode(text)[1] :]
            except UnicodeDecodeError:
                self._refuse(NOT_UTF8)

    def onMessageFrameEnd(self) -> None:
        """The frame is whole; the message may not be."""

    def onMessageEnd(self) -> None:
        """The message is whole."""
        message, self._message = self._message, None
        if message is None:
            return
        if self._half:
            self._refuse(NOT_UTF8)
        else:
            self.message_received(bytes(message))

    def _refuse(self, close_reason: CloseReason) -> None:
        """Nothing of this message is heard."""
        self._message = None
        self.close(close_reason)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Whatever Autobahn writes by itself: the 101, pongs, the answer to a close frame."""
        self.reply(data)

    def _fail_connection(self, code: int = CloseCode.GOING_AWAY, reason: str = "going away") -> None:
        """What Autobahn does when the client breaks RFC 6455; its own way would go on reading."""
        self.close(CloseReason(code=code, reason=reason))
