"""Packets of Socket.IO 5: decoded strictly from the text of a message, and encoded as frames.

Arguments stay JSON: this module checks that, and the handler of an event decodes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from scoreboard.domain.value import Value
from scoreboard.net.websocket.frames import binary_frame, text_frame
from scoreboard.realtime.engineio.packets import Malformed

MAIN: Final = "/"
#: CVE-2026-33151: a packet announces how many binary messages follow it, and all are kept until the last one comes.
ATTACHMENTS_MAX: Final = 10
ACK_ID_MAX: Final = 2**53
#: Events that client libraries send to their own application, and a name that is special in JavaScript.
RESERVED: Final = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "__proto__"}
)
_DEPTH_MAX: Final = 64

#: Type, attachments, namespace, ack id, JSON; nothing else.
_PACKET: Final = re.compile(
    r"([0-6])(?:(\d{1,2})-)?(/[^,\x00-\x1f\ud800-\udfff]{0,127}(?:,|\Z))?(\d{1,16})?(.*)", re.ASCII | re.DOTALL
)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_name = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()


class Kind(Enum):
    """Type of a packet."""

    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"
    BINARY_EVENT = "5"
    BINARY_ACK = "6"


_BINARY: Final = (Kind.BINARY_EVENT, Kind.BINARY_ACK)
#: An event may have an ack id, an acknowledgement must have one, no other packet has one.
_EVENTS: Final = (Kind.EVENT, Kind.BINARY_EVENT)
_ACKS: Final = (Kind.ACK, Kind.BINARY_ACK)


class Packet(Value, frozen=True):
    """Packet. ``args`` are JSON, an event's without its name; ``attachments`` is the number of binary messages that follow."""

    kind: Kind
    namespace: str = MAIN
    number: int | None = None
    name: str = ""
    args: tuple[bytes, ...] = ()
    attachments: int = 0


def read_packet(text: str) -> Packet:
    """Decode a text message. Raises Malformed."""
    match = _PACKET.fullmatch(text)
    if match is None:
        raise Malformed("no packet")
    kind = Kind(match[1])
    if (match[2] is not None) != (kind in _BINARY):
        raise Malformed("attachments in a packet without them, or none in a binary packet")
    if kind not in _EVENTS and (match[4] is not None) != (kind in _ACKS):
        raise Malformed("an ack id that may not be, or none where one must be")
    attachments, number = int(match[2] or 0), None if match[4] is None else int(match[4])
    if attachments > ATTACHMENTS_MAX or (number or 0) > ACK_ID_MAX:
        raise Malformed("a number that is too big")
    name, args = _payload(kind, match[5], attachments)
    return Packet(kind, (match[3] or MAIN).removesuffix(","), number, name, args, attachments)


def _payload(kind: Kind, text: str, attachments: int) -> tuple[str, tuple[bytes, ...]]:
    """Return (an event's name, the arguments). Raises Malformed."""
    try:
        raw = text.encode()
        if kind in (Kind.CONNECT, Kind.DISCONNECT):
            if raw:
                _object.decode(raw)
            return "", (raw,) if raw else ()
        if kind is Kind.CONNECT_ERROR:
            raise Malformed("only a server says this")
        args = tuple(map(bytes, _list.decode(raw)))
        if attachments:
            _check_placeholders(_any.decode(raw), attachments, _DEPTH_MAX)
        if kind in _ACKS:
            return "", args
        name = _name.decode(args[0]) if args else ""
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Malformed(str(error)) from None
    if not name or name in RESERVED:
        raise Malformed("no such event can be")
    return name, args[1:]


def _check_placeholders(value: Any, attachments: int, depth: int) -> None:
    """Check that each placeholder has the number of an attachment (CVE-2022-2421). Raises Malformed."""
    if depth == 0:
        raise Malformed("too deep")
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < attachments:
                raise Malformed("a placeholder for nothing")
        value = value.values()
    elif not isinstance(value, list):
        return
    for inner in value:
        _check_placeholders(inner, attachments, depth - 1)


# Ready frames


class _Connected(msgspec.Struct, frozen=True, omit_defaults=True):
    sid: str
    pid: str | None = None


def connected(namespace: str, sid: str, pid: str | None = None) -> bytes:
    """Encode the acceptance of a CONNECT. With the private id ``pid`` the client can recover the session."""
    return text_frame(b"40%b%b" % (_prefix(namespace), msgspec.json.encode(_Connected(sid, pid))))


def refused(namespace: str, message: str) -> bytes:
    """Encode the refusal of a CONNECT."""
    return text_frame(b'44%b{"message":%b}' % (_prefix(namespace), msgspec.json.encode(message)))


def disconnected(namespace: str) -> bytes:
    """Encode a DISCONNECT, after which the client library does not reconnect by itself."""
    return text_frame(b"41" + _prefix(namespace).removesuffix(b","))


def event(namespace: str, name: str, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
    """Encode an event, and the binary messages that its placeholders stand for."""
    return _with_list(b"2", b"5", namespace, b"", [msgspec.json.encode(name), *args], attachments)


def ack(namespace: str, number: int, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
    """Encode the acknowledgement of an event."""
    return _with_list(b"3", b"6", namespace, b"%d" % number, args, attachments)


def _with_list(
    plain: bytes, binary: bytes, namespace: str, number: bytes, args: Sequence[bytes], attachments: Sequence[bytes]
) -> bytes:
    kind = b"%b%d-" % (binary, len(attachments)) if attachments else plain
    text = text_frame(b"4%b%b%b[%b]" % (kind, _prefix(namespace), number, b",".join(args)))
    return text + b"".join(map(binary_frame, attachments))


def _prefix(namespace: str) -> bytes:
    return b"" if namespace == MAIN else namespace.encode() + b","
