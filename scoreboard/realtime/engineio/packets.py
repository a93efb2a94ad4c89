"""Packets of Engine.IO 4: from what a transport carries to values, strictly, and back.

A packet on its way out is the RFC 6455 frame that carries it over a WebSocket, because that is how nearly all of them leave and a
broadcast is framed once for everyone; a polling session takes the frames apart again (`payload_of`).
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
    """These bytes are no packet that a client may send here."""


class Kind(Enum):
    """What a packet is for."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Packet(Value, frozen=True):
    """One packet. Only a message may be binary."""

    kind: Kind
    data: str | bytes = ""


_KINDS: Final = {kind.value: kind for kind in Kind}


def read_packet(encoded: str | bytes) -> Packet:
    """The packet in a WebSocket message; raises Malformed."""
    if isinstance(encoded, bytes):
        return Packet(Kind.MESSAGE, encoded)
    kind = _KINDS.get(encoded[:1])
    if kind is None:
        raise Malformed("no such type")
    return Packet(kind, encoded[1:])


def read_payload(body: bytes, packets_max: int) -> list[Packet]:
    """The packets in the body of a POST, in order; raises Malformed."""
    if body.count(SEPARATOR) >= packets_max:
        raise Malformed("too many packets")
    try:
        return [_read_polled(encoded) for encoded in body.decode().split("\x1e")]
    except ValueError:  # not UTF-8, or not base64
        raise Malformed("not UTF-8") from None


def payload_of(frames: bytes) -> bytes:
    """What a GET is answered with to carry these frames (ours: whole, unmasked)."""
    packets = [data if is_text else b"b" + binascii.b2a_base64(data, newline=False) for is_text, data in unframed(frames)]
    return SEPARATOR.join(packets)


def _read_polled(encoded: str) -> Packet:
    if encoded.startswith("b"):
        return Packet(Kind.MESSAGE, binascii.a2b_base64(encoded[1:], strict_mode=True))
    return read_packet(encoded)
