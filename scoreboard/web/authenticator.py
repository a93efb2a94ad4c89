"""JWT authenticator: it turns a token into a player. It accepts HS256 with a ring of keys and nothing else (RFC 8725).

PyJWT checks the signature with the algorithm pinned; msgspec reads the claims, strictly typed; the times are compared here,
with this server's clock. A refusal does not say which check failed. Only keys of the ring reach a verification: an earlier
release verified unknown key ids against a constant key, for equal cost, so a forger could sign with that key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import jwt
import msgspec
from jwt.utils import base64url_decode
from msgspec import Meta
from typing_extensions import override

from scoreboard.boundaries.authentication import Authenticator
from scoreboard.caches import BoundedCache
from scoreboard.domain.grants import Keyring
from scoreboard.domain.players import USER_ID, Player, Role
from scoreboard.domain.refusals import SUSPENDED, Refusal
from scoreboard.net.http.bearer import INVALID_TOKEN
from scoreboard.web.strict_json import check_names

TOKEN_CHARS_MAX: Final = 4_096
TOKENS_CACHED_MAX: Final = 16_384
AVATAR_CHARS_MAX: Final = 512
#: How far the issuer's clock may be ahead. RFC 7519, 4.1.4, allows a leeway after ``exp``; there is none here.
AHEAD_S_MAX: Final = 60

_ALGORITHMS: Final = ["HS256"]
#: JWS Compact Serialization (RFC 7515, 7.1) of a SHA-256 HMAC: three parts without padding, the last of 32 bytes.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", re.ASCII)
#: Header members that name the source of a key, or an extension that must be understood.
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})

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


@dataclass(frozen=True, eq=False)
class JwtAuthenticator(Authenticator):
    """Authenticator of JSON Web Tokens. ``life_s_max`` is the longest lifetime that a token may state.

    ``is_suspended`` is called for every valid token, cached ones as well, and for no other: only a valid token of the player
    shows that the player is suspended.
    """

    ring: Keyring
    now_ms: Callable[[], int]
    life_s_max: int
    is_suspended: Callable[[str], bool]
    issuer: str | None = None
    audience: str | None = None
    #: Gives the ring that signs, which depends on the other servers' keys; None: ``ring`` signs.
    signing_ring: Callable[[], Keyring] | None = None
    _known: BoundedCache[str, Player] = field(default_factory=lambda: BoundedCache(TOKENS_CACHED_MAX), init=False, repr=False)

    @override
    def authenticate(self, token: str) -> Player | Refusal:
        """The player that a token proves, INVALID_TOKEN or SUSPENDED. A verified token is cached until it ends."""
        known = self._known.get(token)
        if known is None:
            claims = self._verified(token)
            if claims is None:
                return INVALID_TOKEN
            known = _player(claims)
            self._known.put(token, known)
        refusal = self.recheck(known)
        if refusal is INVALID_TOKEN:
            self._known.forget(token)
        return known if refusal is None else refusal

    @override
    def recheck(self, player: Player) -> Refusal | None:
        if player.expires_at_s <= self.now_ms() // 1000:
            return INVALID_TOKEN
        return SUSPENDED if self.is_suspended(player.user_id) else None

    @override
    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        now_s = self.now_ms() // 1000
        claims: dict[str, object] = {"userId": user_id, "username": username, "role": role, "iat": now_s, "exp": now_s + life_s}
        if self.issuer is not None:
            claims["iss"] = self.issuer
        if self.audience is not None:
            claims["aud"] = self.audience
        ring = self.ring if self.signing_ring is None else self.signing_ring()
        return jwt.encode(claims, ring.secrets[ring.current], algorithm=_ALGORITHMS[0], headers={"kid": ring.current})

    def _verified(self, token: str) -> _Claims | None:
        """The claims, if the signature and the claims are valid; `recheck` compares ``exp`` with the time."""
        payload = self._signed_payload(token)
        if payload is None:
            return None
        try:
            check_names(payload)
            claims = _read_claims(payload)
        except (ValueError, RecursionError):
            return None
        return claims if self._accepts(claims) else None

    def _signed_payload(self, token: str) -> bytes | None:
        """The payload, if a key of the ring signed the token and its header demands nothing that is not supported."""
        compact = _COMPACT.fullmatch(token) if len(token) <= TOKEN_CHARS_MAX else None
        if compact is None:
            return None
        try:
            header = _jws.get_unverified_header(token)
            check_names(base64url_decode(compact[1]))
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        if not _REFUSED_MEMBERS.isdisjoint(header) or str(header.get("typ", "JWT")).upper() != "JWT":
            return None
        for secret in self._keys(header):
            try:
                payload: bytes = _jws.decode(token, secret, algorithms=_ALGORITHMS)
            except jwt.PyJWTError:
                continue
            return payload
        return None

    def _keys(self, header: dict[str, Any]) -> Collection[bytes]:
        """The keys that may have signed: the one that ``kid`` names, none if it is unknown, all if there is no ``kid``."""
        if "kid" not in header:
            return self.ring.secrets.values()
        secret = self.ring.secrets.get(header["kid"])
        return () if secret is None else (secret,)

    def _accepts(self, claims: _Claims) -> bool:
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        latest_s = self.now_ms() // 1000 + AHEAD_S_MAX
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
        user_id=claims.user_id, username=claims.username, role=claims.role, expires_at_s=claims.exp, avatar=_avatar(claims.avatar)
    )


def _avatar(claim: Any) -> str | None:
    """The URL of a picture if the page may show it, else None: a wrong avatar does not make a token invalid."""
    if not isinstance(claim, str) or len(claim) > AVATAR_CHARS_MAX or not claim.startswith("https://"):
        return None
    return claim if claim.isprintable() and " " not in claim else None
