"""Refusals: every answer that refuses a request, with its public code. A refusal is an answer, not a fault.

The numbers are the public ``code`` of an answer (docs/protocol.md). Only ``net`` and ``web`` know HTTP statuses.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from scoreboard.domain.actions import Receipt
from scoreboard.domain.limits import Limit
from scoreboard.domain.value import Value


class Reason(Enum):
    """The reason of a refusal: the public name is the name of the member, the public code is its value."""

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
    """A refusal: its reason, a sentence for people, and what helps the client to correct the request.

    ``field`` names the wrong member of the request; ``retry_after_s`` (whole seconds, ≥ 1) says when a retry may succeed;
    ``receipt`` is the original receipt of an action that was awarded before.
    """

    reason: Reason
    message: str
    field: str | None = None
    retry_after_s: int | None = None
    receipt: Receipt | None = None
    #: The limit that was exceeded, which the answer names.
    limit: Limit | None = None


class Refused(Exception):
    """An exception with a refusal, for code where a returned refusal would hide the normal path."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


#: The one answer for every mismatch, so that no client learns which part was wrong.
INVALID_ACTION: Final = Refusal(reason=Reason.INVALID_ACTION, message="Action signature verification failed")
ACTION_EXPIRED: Final = Refusal(reason=Reason.ACTION_EXPIRED, message="This action has expired; initialize a new one")
SUSPENDED: Final = Refusal(reason=Reason.FORBIDDEN, message="This account is suspended")
NO_SPECTATORS: Final = Refusal(reason=Reason.FORBIDDEN, message="This player does not want spectators")
TOO_MANY_SPECTATED: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="You spectate too many players; leave one first")
TOO_MANY_VIEWS: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many views are followed; leave one first")


def malformed(field: str, message: str) -> Refusal:
    """The request has a wrong form: ``field`` is the wrong member (a dotted path, ``body`` for the whole)."""
    return Refusal(reason=Reason.MALFORMED_REQUEST, message=message, field=field)


def too_early(wait_ms: int) -> Refusal:
    """The action cannot be completed yet; the client may submit it again after ``wait_ms``."""
    return Refusal(
        reason=Reason.ACTION_TOO_EARLY,
        message="This action cannot have been completed yet; submit it again later",
        retry_after_s=max(1, -(-wait_ms // 1000)),
    )


def too_many_requests(wait_ms: int, limit: Limit | None, message: str = "Too many requests. Please try again later.") -> Refusal:
    """A request beyond a limit. The same request may succeed after a wait."""
    wait_s = max(1, -(-wait_ms // 1000))
    return Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message=message, retry_after_s=wait_s, limit=limit)


def unavailable(message: str = "The ledger cannot be reached; nothing was awarded", retry_after_s: int = 1) -> Refusal:
    """The server cannot do it now; the client may retry after ``retry_after_s``."""
    return Refusal(reason=Reason.UNAVAILABLE, message=message, retry_after_s=retry_after_s)


#: Another session (of a server or an operator) holds the player's account in the ledger at present.
HELD: Final = unavailable("Another operation holds this player; nothing was awarded")
