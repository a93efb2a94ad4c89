"""Packets of Engine.IO 4: decoded strictly, and encoded.

A packet to a client is the RFC 6455 frame that carries it over a WebSocket, because nearly all clients use one and a broadcast is
encoded once for all. For a client that polls, `payload_of` takes the frames apart.
"""

from __future__ import annotations

import binascii
from enum import Enum
from typing import Final

from scoreboard.domain.value import Value
from scoreboard.net.websocket.frames import text_frame, unframed

SEPARATOR: Final = b"\x1e"
PING: Final = text_frame(b"2")
PROBED: Final = text_frame(b"3probe")
CLOSE: Final = b"1"
NOOP: Final = b"6"


class Malformed(Exception):
    """Not a packet that a client may send here."""


class Kind(Enum):
    """Type of a packet."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Packet(Value, frozen=True):
    """Packet. Only a message may be binary."""

    kind: Kind
    data: str | bytes = ""


_KINDS: Final = {kind.value: kind for kind in Kind}


def read_packet(encoded: str | bytes) -> Packet:
    """Decode a WebSocket message, or a packet of a POST. Binary data may be text: ``b`` and base64. Raises Malformed."""
    if isinstance(encoded, bytes):
        return Packet(Kind.MESSAGE, encoded)
    if encoded.startswith("b"):
        try:
            return Packet(Kind.MESSAGE, binascii.a2b_base64(encoded[1:], strict_mode=True))
        except ValueError:
            raise Malformed("not base64") from None
    kind = _KINDS.get(encoded[:1])
    if kind is None:
        raise Malformed("no such type")
    return Packet(kind, encoded[1:])


def read_payload(body: bytes, packets_max: int) -> list[Packet]:
    """Decode the body of a POST into its packets, in order. Raises Malformed."""
    if body.count(SEPARATOR) >= packets_max:
        raise Malformed("too many packets")
    try:
        return [read_packet(encoded) for encoded in body.decode().split("\x1e")]
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None


def payload_of(frames: bytes) -> bytes:
    """Encode whole, unmasked frames as the body of the response to a GET."""
    packets = [data if is_text else b"b" + binascii.b2a_base64(data, newline=False) for is_text, data in unframed(frames)]
    return SEPARATOR.join(packets)
