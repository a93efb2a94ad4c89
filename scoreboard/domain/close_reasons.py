"""Close codes and close reasons: why the server closes a WebSocket, a stream or a session."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from scoreboard.domain.value import Value


class CloseCode(IntEnum):
    """Close codes: those below 4000 are RFC 6455's (7.4.1) and IANA's, the others are this program's own."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    TOO_SLOW = 4008
    UNAUTHORIZED = 4401
    SUSPENDED = 4403


#: After these the client was lost: it did not leave, and it was not refused. It may connect again by itself.
LOST: Final = frozenset(
    {
        CloseCode.GOING_AWAY,  # no pong came, or the client gave up a GET
        CloseCode.INTERNAL_ERROR,  # a fault of the server
        CloseCode.SERVICE_RESTART,
        CloseCode.TOO_SLOW,  # the client read too slowly
    }
)


class CloseReason(Value, frozen=True, kw_only=True):
    """Why we close a socket: a WebSocket close code (RFC 6455, 7.4) and a reason of at most 123 bytes."""

    code: int
    reason: str


def _reason(code: CloseCode, reason: str) -> CloseReason:
    return CloseReason(code=code, reason=reason)


# The client's messages break a protocol or are too many
ONLY_TEXT: Final = _reason(CloseCode.UNSUPPORTED_DATA, "only text is understood")
NOT_UTF8: Final = _reason(CloseCode.INVALID_PAYLOAD, "the text is not UTF-8")
MESSAGE_TOO_BIG: Final = _reason(CloseCode.MESSAGE_TOO_BIG, "the message is too big")
#: Engine.IO's reference server sends the code alone, and engine.io-client's own tests expect that.
PACKET_TOO_BIG: Final = _reason(CloseCode.MESSAGE_TOO_BIG, "")
BAD_PACKET: Final = _reason(CloseCode.POLICY_VIOLATION, "a packet that is not understood")
TWO_GETS: Final = _reason(CloseCode.POLICY_VIOLATION, "two GETs at once")
NO_UPGRADE: Final = _reason(CloseCode.POLICY_VIOLATION, "this session cannot be upgraded so")
TOO_MANY_FRAMES: Final = _reason(CloseCode.POLICY_VIOLATION, "too many frames a second")
TOO_MANY_EVENTS: Final = _reason(CloseCode.POLICY_VIOLATION, "too many events a second")
TOO_MANY_PACKETS: Final = _reason(CloseCode.POLICY_VIOLATION, "too many requests or packets a second")

# The client does not read
STALLED: Final = _reason(CloseCode.TOO_SLOW, "too slow: nothing was read for 10 seconds")
NOT_READ: Final = _reason(CloseCode.TOO_SLOW, "too slow: nothing is read")
ANSWERS_NOT_READ: Final = _reason(CloseCode.TOO_SLOW, "too slow: answers are not read")
NOT_POLLED: Final = _reason(CloseCode.TOO_SLOW, "too slow: what waits is not fetched")

# The client has left
CLIENT_CLOSED: Final = _reason(CloseCode.NORMAL_CLOSURE, "the client closed")
NO_PONG: Final = _reason(CloseCode.GOING_AWAY, "no pong came in time")
ABANDONED: Final = _reason(CloseCode.GOING_AWAY, "a GET was given up")

# The client may not stay
NO_TOKEN: Final = _reason(CloseCode.UNAUTHORIZED, "no token came in time")
NO_CONNECT: Final = _reason(CloseCode.UNAUTHORIZED, "no CONNECT came in time")
BAD_TOKEN: Final = _reason(CloseCode.UNAUTHORIZED, "the token is not valid")
TOKEN_ENDED: Final = _reason(CloseCode.UNAUTHORIZED, "the token ended")
#: A client whose player was suspended must not connect again by itself.
ACCOUNT_SUSPENDED: Final = _reason(CloseCode.SUSPENDED, "the account is suspended")

# The server cannot serve now
SERVER_FAULT: Final = _reason(CloseCode.INTERNAL_ERROR, "the server has a fault")
RESTARTING: Final = _reason(CloseCode.SERVICE_RESTART, "the server is restarting; come back in a moment")
NO_CAPACITY: Final = _reason(CloseCode.TRY_AGAIN_LATER, "there is no capacity")
BOARD_UNAVAILABLE: Final = _reason(CloseCode.TRY_AGAIN_LATER, "the board cannot be read now")
