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


class CloseReason(Value, frozen=True, kw_only=True):
    """Why we close a socket: a WebSocket close code (RFC 6455, 7.4) and a reason of at most 123 bytes."""

    code: int
    reason: str


#: A client whose player was suspended must not connect again by itself.
ACCOUNT_SUSPENDED: Final = CloseReason(code=CloseCode.SUSPENDED, reason="the account is suspended")
STALLED: Final = CloseReason(code=CloseCode.TOO_SLOW, reason="too slow: nothing was read for 10 seconds")
