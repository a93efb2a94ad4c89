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
#: The reference server takes a number as an event's name, too.
_name = msgspec.json.Decoder(str | int | float)
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
_ACKS: Final = (Kind.ACK, Kind.BINARY_ACK)


class Packet(Value, frozen=True):
    """Packet. ``args`` are JSON, an event's without its name; ``attachments`` is the number of binary messages that follow.

    Only an event has a name. The name may be empty.
    """

    kind: Kind
    namespace: str = MAIN
    number: int | None = None
    name: str | None = None
    args: tuple[bytes, ...] = ()
    attachments: int = 0


def read_packet(text: str) -> Packet:
    """Decode a text message. Raises Malformed."""
    match = _PACKET.fullmatch(text)
    if match is None:
        raise Malformed("no packet")
    kind = Kind(match[1])
    attachments, number = int(match[2] or 0), None if match[4] is None else int(match[4])
    if (kind in _BINARY) != (attachments > 0) or attachments > ATTACHMENTS_MAX or (number or 0) > ACK_ID_MAX:
        raise Malformed("a wrong number of attachments, or an ack id that is too big")
    name, args = _payload(kind, match[5], attachments)
    return Packet(kind, (match[3] or MAIN).removesuffix(","), number, name, args, attachments)


def _payload(kind: Kind, text: str, attachments: int) -> tuple[str | None, tuple[bytes, ...]]:
    """Return (an event's name, the arguments). Raises Malformed."""
    try:
        raw = text.removeprefix("\ufeff").encode()  # a byte order mark, which some encoders write
        if kind is Kind.CONNECT:
            if raw:
                _object.decode(raw)
            return None, (raw,) if raw else ()
        if kind is Kind.CONNECT_ERROR or (kind is Kind.DISCONNECT and raw):
            raise Malformed("only a server says this")
        if kind is Kind.DISCONNECT:
            return None, ()
        args = tuple(map(bytes, _list.decode(raw)))
        if attachments:
            _check_placeholders(_any.decode(raw), attachments, _DEPTH_MAX)
        if kind in _ACKS:
            return None, args
        name = str(_name.decode(args[0])) if args else None
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Malformed(str(error)) from None
    if name is None or name in RESERVED:
        raise Malformed("no event name, or a reserved one")
    return name, args[1:]


def _check_placeholders(value: Any, attachments: int, depth: int) -> None:
    """Check that each placeholder has the number of an attachment (CVE-2022-2421). Raises Malformed."""
    if depth == 0:
        raise Malformed("too deep")
    if isinstance(value, dict):
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < attachments:
                raise Malformed("a placeholder without an attachment")
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


class _Code(msgspec.Struct, frozen=True):
    code: int


class _ConnectError(msgspec.Struct, frozen=True, omit_defaults=True):
    message: str
    data: _Code | None = None


def refused(namespace: str, message: str, code: int | None = None) -> bytes:
    """Encode the refusal of a CONNECT. A client library gives ``code`` to its application as ``error.data.code``."""
    body = _ConnectError(message, None if code is None else _Code(code))
    return text_frame(b"44%b%b" % (_prefix(namespace), msgspec.json.encode(body)))


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
