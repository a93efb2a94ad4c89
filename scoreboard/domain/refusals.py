"""Every way to say no, named once. A refusal is an answer, not a fault.

The numbers are the public ``code`` of an answer; docs/protocol.md lists them. Only the web wing knows statuses.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from scoreboard.domain.actions import Receipt
from scoreboard.domain.value import Value


class Reason(Enum):
    """Why something was refused: the public name is the member's name, the public code its value."""

    MALFORMED_REQUEST = 4000
    INVALID_ACTION = 4001
    ACTION_EXPIRED = 4002
    ACTION_ALREADY_USED = 4003
    ACTION_TOO_EARLY = 4004
    REQUIREMENT_NOT_MET = 4005
    DAILY_LIMIT = 4006
    SCORE_LIMIT = 4007
    UNAUTHORIZED = 4010
    INVALID_TOKEN = 4011
    FORBIDDEN = 4030
    NOT_FOUND = 4040
    METHOD_NOT_ALLOWED = 4050
    BODY_TOO_LARGE = 4130
    UNSUPPORTED_MEDIA_TYPE = 4150
    RATE_LIMIT_EXCEEDED = 4290
    UNAVAILABLE = 5030


class Refusal(Value, frozen=True, kw_only=True):
    """A no: its reason, a sentence for people, and what the asker may need to do better next time.

    ``field`` names the member of the request at fault; ``retry_after_s`` (whole seconds, ≥ 1) when to come back;
    ``receipt`` is the original one of an action that was already awarded.
    """

    reason: Reason
    message: str
    field: str | None = None
    retry_after_s: int | None = None
    receipt: Receipt | None = None


class Refused(Exception):
    """Carries a refusal out of a room where returning it would hide the ordinary path."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


#: One answer for every mismatch, so that nobody learns which part was wrong.
INVALID_ACTION: Final = Refusal(reason=Reason.INVALID_ACTION, message="Action signature verification failed")
ACTION_EXPIRED: Final = Refusal(reason=Reason.ACTION_EXPIRED, message="This action has expired; initialize a new one")
SUSPENDED: Final = Refusal(reason=Reason.FORBIDDEN, message="This account is suspended")
NO_SPECTATORS: Final = Refusal(reason=Reason.FORBIDDEN, message="This player does not want spectators")
TOO_MANY_SPECTATED: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="You spectate too many players; leave one first")
TOO_MANY_VIEWS: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many views are followed; leave one first")


def malformed(field: str, message: str) -> Refusal:
    """The request cannot be read: ``field`` is the member at fault (dotted path, ``body`` for the whole)."""
    return Refusal(reason=Reason.MALFORMED_REQUEST, message=message, field=field)


def too_early(wait_ms: int) -> Refusal:
    """An action that cannot have been completed yet, and may be submitted again after a wait."""
    return Refusal(
        reason=Reason.ACTION_TOO_EARLY,
        message="This action cannot have been completed yet; submit it again later",
        retry_after_s=max(1, -(-wait_ms // 1000)),
    )


def too_many_requests(wait_ms: int, message: str = "Too many requests. Please try again later.") -> Refusal:
    """A request beyond a limit. The same request may succeed after a wait."""
    return Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message=message, retry_after_s=max(1, -(-wait_ms // 1000)))


def unavailable(message: str = "The ledger cannot be reached; nothing was awarded", retry_after_s: int = 1) -> Refusal:
    """We cannot do it now; the asker may come back."""
    return Refusal(reason=Reason.UNAVAILABLE, message=message, retry_after_s=retry_after_s)


#: Somebody else holds the player's account in the ledger just now (another server, an operator's session).
HELD: Final = unavailable("Another operation holds this player; nothing was awarded")
