"""The cloakroom: tokens to players. JSON Web Tokens signed with HS256 by a ring of keys, and nothing else (RFC 8725).

PyJWT checks the signature with the algorithm pinned; msgspec reads the claims, strictly typed; the times are compared here,
with our clock. A token says nothing of why it was refused (hardening 47, 48).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import jwt
import msgspec
from msgspec import Meta

from scoreboard.boundaries import Doorkeeper
from scoreboard.domain.grants import Keyring
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.domain.values import USER_ID, Player, Role
from scoreboard.web.remembered import Remembered

TOKEN_CHARS_MAX: Final = 4_096
TOKENS_REMEMBERED_MAX: Final = 16_384
AVATAR_CHARS_MAX: Final = 512
#: How far another clock, the one that issued the token, may be from ours.
LEEWAY_S: Final = 30

UNAUTHORIZED: Final = Refusal(reason=Reason.UNAUTHORIZED, message="Send Authorization: Bearer and a token")
INVALID_TOKEN: Final = Refusal(reason=Reason.INVALID_TOKEN, message="The token is not valid or has expired")
SUSPENDED: Final = Refusal(reason=Reason.FORBIDDEN, message="This account is suspended")

_ALGORITHMS: Final = ["HS256"]
#: Header members that say where to get a key from, or that something unknown must be understood.
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})
#: Verifies nothing; an unknown key id costs the same work as a known one.
_NO_KEY: Final = b"\0" * 32

_Seconds = Annotated[int, Meta(ge=0, le=2**53)]


class _Claims(msgspec.Struct, frozen=True, rename={"user_id": "userId"}):
    user_id: str
    username: Annotated[str, Meta(min_length=1, max_length=64)]
    role: Role
    iat: _Seconds
    exp: _Seconds
    nbf: _Seconds = 0
    iss: str | None = None
    aud: str | list[str] | None = None
    avatar: Any = None


_read_claims = msgspec.json.Decoder(_Claims).decode
_jws: Final = jwt.PyJWS(algorithms=_ALGORITHMS)


def bearer(values: Sequence[bytes]) -> str | Refusal:
    """The token in the values of Authorization: ``Bearer``, in any case, and exactly one token (hardening 45)."""
    if not values:
        return UNAUTHORIZED
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return UNAUTHORIZED
    token = token.strip(b" ")
    if len(values) > 1 or not token or not token.isascii() or b" " in token:
        return INVALID_TOKEN
    return token.decode("ascii")


def _nobody(_user_id: str) -> bool:
    return False


@dataclass(frozen=True, eq=False)
class Cloakroom:
    """Implements boundaries.Doorkeeper. ``life_s_max`` is the longest that a token may say that it lives.

    ``barred`` says who is suspended. It is asked at every admission, also of a token that is remembered, but only once that is
    proved: nobody learns from us who is suspended but by their own token.
    """

    ring: Keyring
    now_ms: Callable[[], int]
    life_s_max: int
    issuer: str | None = None
    audience: str | None = None
    barred: Callable[[str], bool] = _nobody
    _known: Remembered[str, Player] = field(default_factory=lambda: Remembered(TOKENS_REMEMBERED_MAX), init=False, repr=False)

    def admit(self, token: str) -> Player | Refusal:
        """The player that a token proves, INVALID_TOKEN or SUSPENDED. Remembered while it is valid, and not a second longer."""
        known = self._known.get(token)
        if known is None:
            claims = self._verified(token)
            if claims is None:
                return INVALID_TOKEN
            known = _player(claims)
            self._known.put(token, known)
        if known.expires_at_s + LEEWAY_S <= self.now_ms() // 1000:
            self._known.forget(token)
            return INVALID_TOKEN
        return SUSPENDED if self.barred(known.user_id) else known

    def mint(self, user_id: str, username: str, role: str, life_s: int) -> str:
        """A token of our own that `admit` accepts for ``life_s`` seconds."""
        now_s = self.now_ms() // 1000
        claims: dict[str, object] = {"userId": user_id, "username": username, "role": role, "iat": now_s, "exp": now_s + life_s}
        if self.issuer is not None:
            claims["iss"] = self.issuer
        if self.audience is not None:
            claims["aud"] = self.audience
        key = self.ring.secrets[self.ring.current]
        return jwt.encode(claims, key, algorithm=_ALGORITHMS[0], headers={"kid": self.ring.current})

    def _verified(self, token: str) -> _Claims | None:
        """The claims, if the signature holds and they are such as we accept; whether they have expired is not asked here."""
        if len(token) > TOKEN_CHARS_MAX or "=" in token:  # PyJWT forgives padding; a token has one spelling here
            return None
        payload = self._signed_payload(token)
        if payload is None:
            return None
        try:
            claims = _read_claims(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return claims if self._accepts(claims) else None

    def _signed_payload(self, token: str) -> bytes | None:
        try:
            header = _jws.get_unverified_header(token)
            if not _REFUSED_MEMBERS.isdisjoint(header) or str(header.get("typ", "JWT")).upper() != "JWT":
                return None
            for secret in self._candidates(header.get("kid")):
                try:
                    payload: bytes = _jws.decode(token, secret, algorithms=_ALGORITHMS)
                except jwt.InvalidSignatureError:
                    continue
                return payload
        except jwt.InvalidTokenError:
            return None
        return None

    def _candidates(self, kid: str | None) -> tuple[bytes, ...]:
        """The key that a token names, found in a dict and nowhere else; every key of ours for one that names none."""
        if kid is not None:
            return (self.ring.secrets.get(kid, _NO_KEY),)
        return tuple(self.ring.secrets.values())

    def _accepts(self, claims: _Claims) -> bool:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        latest_s = self.now_ms() // 1000 + LEEWAY_S
        return (
            USER_ID.fullmatch(claims.user_id) is not None
            and claims.username.isprintable()
            and 0 < claims.exp - claims.iat <= self.life_s_max
            and claims.iat <= latest_s
            and claims.nbf <= latest_s
            and (self.issuer is None or claims.iss == self.issuer)
            and (self.audience is None or self.audience in audiences)
        )


def _player(claims: _Claims) -> Player:
    return Player(
        user_id=claims.user_id,
        username=claims.username,
        role=claims.role,
        expires_at_s=claims.exp,
        avatar=_avatar(claims.avatar),
    )


def _avatar(claim: Any) -> str | None:
    """A picture's address if it is one we would show, else none: a wrong avatar is no reason to turn a player away."""
    if not isinstance(claim, str) or len(claim) > AVATAR_CHARS_MAX or not claim.startswith("https://"):
        return None
    return claim if claim.isprintable() and " " not in claim else None


_conforms: type[Doorkeeper] = Cloakroom
