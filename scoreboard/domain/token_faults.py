"""Token faults: why a token is refused. Operators see them in the log, a counter and the CLI; a client never does."""

from __future__ import annotations

from enum import Enum
from typing import Final


class TokenFault(Enum):
    """The check that failed. The value is its label in the metrics."""

    NO_TOKEN = "no_token"  # noqa: S105  a label
    NOT_ONE_TOKEN = "not_one_token"  # noqa: S105  a label
    TICKET = "ticket"
    TOO_LONG = "too_long"
    FORM = "form"
    HEADER = "header"
    ALGORITHM = "algorithm"
    HEADER_MEMBER = "header_member"
    TYPE = "type"
    KID = "kid"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    CLAIM = "claim"
    USER_ID = "user_id"
    ENDS_BEFORE_ISSUED = "ends_before_issued"
    LIFE_TOO_LONG = "life_too_long"
    ISSUED_AHEAD = "issued_ahead"
    NOT_YET_VALID = "not_yet_valid"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    SUSPENDED = "suspended"

    @property
    def said(self) -> str:
        """A sentence for operators."""
        return _SAID[self]


_SAID: Final = {
    TokenFault.NO_TOKEN: "the request has no Authorization header with a token",
    TokenFault.NOT_ONE_TOKEN: "the Authorization header holds more than one token, or an empty one",
    TokenFault.TICKET: "the ticket is unknown, was used before, or is older than 30 seconds",
    TokenFault.TOO_LONG: "it is longer than 4096 characters",
    TokenFault.FORM: "it is not a signed JWT: three parts of base64url without padding, joined by dots",
    TokenFault.HEADER: "its header is not a JSON object, or has two members of one name",
    TokenFault.ALGORITHM: "it is signed with another algorithm than HS256",
    TokenFault.HEADER_MEMBER: "its header has a member that is not supported (crit, b64, jku, jwk, x5u, x5c, x5t, x5t#S256)",
    TokenFault.TYPE: "the typ in its header is not JWT",
    TokenFault.KID: "the kid in its header is the id of no key in JWT_SECRET and JWT_SECRETS_OLD",
    TokenFault.SIGNATURE: "no secret in JWT_SECRET and JWT_SECRETS_OLD has signed it",
    TokenFault.CLAIMS: "its claims are not a JSON object, or have two members of one name",
    TokenFault.CLAIM: "a claim is missing, or has a wrong type or value",
    TokenFault.USER_ID: "userId is not 1 to 64 of A-Z a-z 0-9 _ . : -",
    TokenFault.ENDS_BEFORE_ISSUED: "exp is not later than iat",
    TokenFault.LIFE_TOO_LONG: "exp is later after iat than JWT_EXPIRATION allows",
    TokenFault.ISSUED_AHEAD: "iat is more than a minute ahead of this machine's clock",
    TokenFault.NOT_YET_VALID: "nbf is more than a minute ahead of this machine's clock",
    TokenFault.ISSUER: "iss is not JWT_ISSUER",
    TokenFault.AUDIENCE: "aud does not name JWT_AUDIENCE",
    TokenFault.EXPIRED: "exp has passed by this machine's clock",
    TokenFault.SUSPENDED: "the player is suspended",
}
#: Faults of tokens made without our secrets: a forger's, or those of a login service with another secret.
FORGERIES: Final = frozenset({TokenFault.ALGORITHM, TokenFault.HEADER_MEMBER, TokenFault.KID, TokenFault.SIGNATURE})
