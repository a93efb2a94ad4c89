"""Bearer tokens (RFC 6750): the only reader of Authorization, for requests and for handshakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scoreboard.domain.refusals import Reason, Refusal

UNAUTHORIZED: Final = Refusal(reason=Reason.UNAUTHORIZED, message="Send Authorization: Bearer and a token")
INVALID_TOKEN: Final = Refusal(reason=Reason.INVALID_TOKEN, message="The token is not valid or has expired")
NOT_ONE_TOKEN: Final = Refusal(
    reason=Reason.INVALID_TOKEN, message="Authorization must hold the word Bearer and exactly one token"
)


def bearer(values: Sequence[bytes]) -> str | Refusal:
    """The token in the values of Authorization: ``Bearer``, in any case, and exactly one token."""
    if not values:
        return UNAUTHORIZED
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return UNAUTHORIZED
    token = token.strip(b" ")
    if len(values) > 1 or not token or not token.isascii() or b" " in token:
        return NOT_ONE_TOKEN
    return token.decode("ascii")
