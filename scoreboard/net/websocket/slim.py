# ruff: noqa: N815 -- the names are Autobahn's
"""Autobahn's server protocol with less memory for each connection.

Attributes with the same value for every connection are on the class. Those of the handshake are deleted after it. A message is
collected in one buffer within its limit. Autobahn itself sets about sixty attributes on each connection (two Deferreds,
statistics, options of the factory, a validator). An idle connection takes 8 KiB with Autobahn's class and 3 KiB with this one
(docs/performance.md).
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

#: The attributes that Autobahn sets during a handshake and does not read after it.
HANDSHAKE_NOTES: Final = (
    *("http_request_data", "http_status_line", "http_headers", "http_request_uri", "http_request_path", "http_request_params"),
    *("http_request_host", "http_response_data", "websocket_protocols", "websocket_origin", "websocket_extensions", "_wskey"),
    *("websocket_protocol_in_use", "websocket_extensions_in_use"),
)


class _IgnoredCallback:
    """Stand-in for the Deferred that Autobahn fires when a connection opens: `onOpen` is enough."""

    def callback(self, _: object) -> None:
        pass


class SlimWebSocketProtocol(WebSocketServerProtocol):
    """Protocol of text messages (RFC 6455), and of binary ones if it ``takes_binary``. Subclasses write, receive and close."""

    transport: Any  # a TCP connection, which has more methods than Twisted's ITransport
    log = txaio.make_logger("warn")  # type: ignore[attr-defined]  # txaio gets it when Autobahn chooses Twisted

    CONFIG_ATTRS = []  # noqa: RUF012
    logOctets = logFrames = trackTimings = webStatus = maskServerFrames = serveFlashSocketPolicy = False
    utf8validateIncoming = False  # onMessageFrameData does it; Autobahn needs a validator for each connection
    requireMaskedClientFrames = applyMask = failByDrop = True
    echoCloseCodeReason = failedByMe = wasClean = False
    openHandshakeTimeout = closeHandshakeTimeout = autoPingInterval = maxConnections = trustXForwardedFor = 0
    openHandshakeTimeoutCall = closeHandshakeTimeoutCall = autoPingTimeoutCall = autoPingPending = None
    trackedTimings = wasNotCleanReason = _perMessageCompress = None  # type: ignore[assignment]  # as Autobahn itself begins
    is_open = _IgnoredCallback()
    trafficStats = TrafficStats()
    _transport_details = TransportDetails()
    allowedOriginsPatterns = (re.compile(""),)  # handshake.py checks the origin
    versions = (13,)
    websocket_version = 13
    peer = ""

    takes_binary = False
    #: Whether the message that is being received, or was received last, is binary.
    binary = False
    message_bytes_max: int
    too_big = MESSAGE_TOO_BIG
    _message: bytearray | None = None
    _half = b""  # the bytes of a character whose other bytes have not arrived

    def __init__(self) -> None:  # without Autobahn's own, which makes Deferreds and details that are not used
        self.state = self.STATE_CONNECTING
        self.data = b""

    def message_received(self, message: bytes) -> None:
        """Handle a whole message. A text message is valid UTF-8."""
        raise NotImplementedError

    def reply(self, data: bytes) -> None:
        """Write a response to the client."""
        raise NotImplementedError

    def close(self, close_reason: CloseReason) -> None:
        """Send the reason, and close."""
        raise NotImplementedError

    def perMessageCompressionAccept(self, offers: object) -> None:
        """Accept no compression: one frame serves all connections, and no message can inflate."""

    def onOpen(self) -> None:
        """Autobahn: the handshake is done."""
        for name in HANDSHAKE_NOTES:
            delattr(self, name)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Autobahn: a message begins."""
        self.binary = isBinary
        self._half = b""
        self._message = bytearray()
        if isBinary and not self.takes_binary:
            self._refuse(ONLY_TEXT)

    def onMessageFrameBegin(self, length: int) -> None:
        """Autobahn: a frame of the message begins. If the message gets too long, nothing of it is kept."""
        if self._message is not None and len(self._message) + length > self.message_bytes_max:
            self._refuse(self.too_big)

    def onMessageFrameData(self, payload: bytes) -> None:
        """Autobahn: bytes of the frame. A text is refused at the first byte that makes it invalid UTF-8."""
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
        """Autobahn: a frame ends, but perhaps not the message."""

    def onMessageEnd(self) -> None:
        """Autobahn: the message ends."""
        message, self._message = self._message, None
        if message is None:
            return
        if self._half:
            self._refuse(NOT_UTF8)
        else:
            self.message_received(bytes(message))

    def _refuse(self, close_reason: CloseReason) -> None:
        """Drop the message, and close."""
        self._message = None
        self.close(close_reason)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Autobahn: write the 101, a pong or the answer to a close frame."""
        self.reply(data)

    def _fail_connection(self, code: int = CloseCode.GOING_AWAY, reason: str = "going away") -> None:
        """Autobahn: the client broke RFC 6455. Autobahn's own method would go on reading."""
        self.close(CloseReason(code=code, reason=reason))
