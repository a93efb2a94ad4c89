"""JWT authenticator: it turns a token into a player. It accepts HS256 with a ring of keys and nothing else (RFC 8725).

PyJWT checks the signature with the algorithm pinned; msgspec checks the types of the claims; the times are compared here, with
this server's clock. A refusal does not say which check failed: a counter, the log and `explain` do. Only keys of the ring reach a
verification: an earlier release verified unknown key ids against a constant key, for equal cost, so a forger could sign with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, get_args

import jwt
import msgspec
from jwt.utils import base64url_decode
from msgspec import Meta
from twisted.logger import Logger
from typing_extensions import override

from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.health import Meter
from scoreboard.caches import BoundedCache
from scoreboard.domain.display_names import NAME_CHARS_MAX, display_name, is_visible
from scoreboard.domain.grants import Keyring
from scoreboard.domain.players import USER_ID, Player, Role
from scoreboard.domain.refusals import SUSPENDED, Refusal
from scoreboard.domain.token_faults import FORGERIES, TokenFault
from scoreboard.json_complaints import WRONG_FORM, complaint
from scoreboard.net.http.bearer import INVALID_TOKEN
from scoreboard.strict_json import read_json

TOKEN_CHARS_MAX: Final = 4_096
TOKENS_CACHED_MAX: Final = 16_384
AVATAR_CHARS_MAX: Final = 512
#: How far the issuer's clock may be ahead. RFC 7519, 4.1.4, allows a leeway after ``exp``; there is none here.
AHEAD_S_MAX: Final = 60
_FOUND_CHARS_MAX: Final = 200

_ALGORITHMS: Final = ["HS256"]
#: JWS Compact Serialization (RFC 7515, 7.1) of a SHA-256 HMAC: three parts without padding, the last of 32 bytes.
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}", re.ASCII)
#: Header members that name the source of a key, or an extension that must be understood.
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})

#: A numeric date (RFC 7519, 2): seconds since 1970, perhaps with a fraction, which is cut off.
_NumericDate = Annotated[float, Meta(ge=0, le=2**53)]


class _Claims(msgspec.Struct, frozen=True, rename={"user_id": "userId"}):
    user_id: str
    username: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    role: Role
    iat: _NumericDate
    exp: _NumericDate
    nbf: _NumericDate = 0
    iss: str | None = None
    aud: str | list[str] | None = None
    avatar: Any = None


_jws: Final = jwt.PyJWS(algorithms=_ALGORITHMS)


class BadToken(Exception):
    """A token must be refused: the check that failed, and what it found, for operators."""

    def __init__(self, fault: TokenFault, found: str = "") -> None:
        super().__init__(fault.said)
        self.fault = fault
        self.found = found[:_FOUND_CHARS_MAX]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What an operator may know of a token: every fault that was found, what the first one found, its key, and its claims.

    ``key_id`` is None unless a key of the ring signed the token; without it the claims are unproved. ``claims`` is None if they
    cannot be read.
    """

    faults: tuple[TokenFault, ...]
    found: str
    key_id: str | None
    claims: dict[str, Any] | None


@dataclass(frozen=True, eq=False)
class JwtAuthenticator(Authenticator):
    """Authenticator of JSON Web Tokens. ``life_s_max`` is the longest lifetime that a token may state.

    ``is_suspended`` is called for every valid token, cached ones as well, and for no other: only a valid token of the player
    shows that the player is suspended.
    """

    _log = Logger()

    ring: Keyring
    now_ms: Callable[[], int]
    life_s_max: int
    is_suspended: Callable[[str], bool]
    meter: Meter
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
            try:
                known = self._verified(token)
            except BadToken as bad:
                return self._refuse(bad)
            self._known.put(token, known)
        refusal = self.recheck(known)
        if refusal is None:
            return known
        if refusal is INVALID_TOKEN:
            self._known.forget(token)
        self.note_refusal(TokenFault.EXPIRED if refusal is INVALID_TOKEN else TokenFault.SUSPENDED, known.user_id)
        return refusal

    @override
    def recheck(self, player: Player) -> Refusal | None:
        if player.expires_at_s <= self.now_ms() // 1000:
            return INVALID_TOKEN
        return SUSPENDED if self.is_suspended(player.user_id) else None

    @override
    def note_refusal(self, fault: TokenFault, found: str = "") -> None:
        self.meter.count("token_refusals_total", reason=fault.value)
        write = self._log.info if fault in FORGERIES else self._log.debug
        write("a token was refused: {said} ({reason})", said=fault.said, reason=fault.value, found=found)

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

    def explain(self, token: str) -> Explanation:
        """Why the token would be refused, and what it says. Only for operators: it names the check that failed."""
        key_id: str | None = None
        try:
            key_id, payload = self._signed_payload(token)
            claims = _read_claims(payload)
        except BadToken as bad:
            return Explanation(faults=(bad.fault,), found=bad.found, key_id=key_id, claims=_unproved_claims(token))
        faults = [fault for fault, passed in self._checks(claims) if not passed]
        if int(claims.exp) <= self.now_ms() // 1000:
            faults.append(TokenFault.EXPIRED)
        elif not faults and self.is_suspended(claims.user_id):
            faults.append(TokenFault.SUSPENDED)
        return Explanation(faults=tuple(faults), found="", key_id=key_id, claims=read_json(payload))

    def _refuse(self, bad: BadToken) -> Refusal:
        self.note_refusal(bad.fault, bad.found)
        return INVALID_TOKEN

    def _verified(self, token: str) -> Player:
        """The player, if the signature and the claims are valid; `recheck` compares ``exp`` with the time. Raises BadToken."""
        _, payload = self._signed_payload(token)
        claims = _read_claims(payload)
        for fault, passed in self._checks(claims):
            if not passed:
                raise BadToken(fault, claims.user_id)
        return _player(claims)

    def _signed_payload(self, token: str) -> tuple[str, bytes]:
        """The id of the key that signed the token, and the payload. Raises BadToken unless a key of the ring signed it."""
        if len(token) > TOKEN_CHARS_MAX:
            raise BadToken(TokenFault.TOO_LONG, f"{len(token)} characters")
        compact = _COMPACT.fullmatch(token)
        if compact is None:
            raise BadToken(*_fault_of_form(token))
        header = _read_header(compact[1])
        if header.get("alg") not in _ALGORITHMS:
            raise BadToken(TokenFault.ALGORITHM, str(header.get("alg")))
        if not _REFUSED_MEMBERS.isdisjoint(header):
            raise BadToken(TokenFault.HEADER_MEMBER, ", ".join(sorted(_REFUSED_MEMBERS & header.keys())))
        if str(header.get("typ", "JWT")).upper() != "JWT":
            raise BadToken(TokenFault.TYPE, str(header["typ"]))
        keys = self._keys(header)
        if not keys:
            raise BadToken(TokenFault.KID, str(header["kid"]))
        for key_id, secret in keys:
            try:
                payload: bytes = _jws.decode(token, secret, algorithms=_ALGORITHMS)
            except jwt.PyJWTError:
                continue
            return key_id, payload
        raise BadToken(TokenFault.SIGNATURE)

    def _keys(self, header: dict[str, Any]) -> Collection[tuple[str, bytes]]:
        """The keys that may have signed: the one that ``kid`` names, none if it is unknown, all if there is no ``kid``."""
        if "kid" not in header:
            return self.ring.secrets.items()
        secret = self.ring.secrets.get(header["kid"]) if isinstance(header["kid"], str) else None
        return () if secret is None else ((header["kid"], secret),)

    def _checks(self, claims: _Claims) -> tuple[tuple[TokenFault, bool], ...]:
        """Each check of the claims, and whether they pass it."""
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        latest_s = self.now_ms() // 1000 + AHEAD_S_MAX
        issued_s, ends_s, begins_s = int(claims.iat), int(claims.exp), int(claims.nbf)
        return (
            (TokenFault.USER_ID, USER_ID.fullmatch(claims.user_id) is not None),
            (TokenFault.ENDS_BEFORE_ISSUED, ends_s > issued_s),
            (TokenFault.LIFE_TOO_LONG, ends_s - issued_s <= self.life_s_max),
            (TokenFault.ISSUED_AHEAD, issued_s <= latest_s),
            (TokenFault.NOT_YET_VALID, begins_s <= latest_s),
            (TokenFault.ISSUER, self.issuer is None or claims.iss == self.issuer),
            (TokenFault.AUDIENCE, self.audience is None or self.audience in audiences),
        )


def _read_header(encoded: str) -> dict[str, Any]:
    """The members of the header. Raises BadToken."""
    try:
        header = read_json(base64url_decode(encoded))
    except (ValueError, RecursionError):
        raise BadToken(TokenFault.HEADER) from None
    if not isinstance(header, dict):
        raise BadToken(TokenFault.HEADER)
    return header


def _read_claims(payload: bytes) -> _Claims:
    """The claims, each of its type. Raises BadToken."""
    try:
        return msgspec.convert(read_json(payload), _Claims)
    except msgspec.ValidationError as error:
        claim, wrong = complaint(error, "claims")
        wrong = f"must be one of {', '.join(get_args(Role))}" if claim == "role" and wrong == WRONG_FORM else wrong
        raise BadToken(TokenFault.CLAIM, f"{claim}: {wrong}") from None
    except (ValueError, RecursionError):
        raise BadToken(TokenFault.CLAIMS) from None


def _fault_of_form(token: str) -> tuple[TokenFault, str]:
    """What a text is that has not the form of a token with HS256: perhaps a token with another algorithm. It verifies nothing."""
    try:
        algorithm = _jws.get_unverified_header(token).get("alg")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return TokenFault.FORM, ""
    return (TokenFault.FORM, "") if algorithm in _ALGORITHMS else (TokenFault.ALGORITHM, str(algorithm))


def _unproved_claims(token: str) -> dict[str, Any] | None:
    """The claims of a token without a valid signature, if they can be read. They are unproved."""
    try:
        claims = read_json(base64url_decode(token.split(".")[1])) if len(token) <= TOKEN_CHARS_MAX else None
    except (IndexError, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _player(claims: _Claims) -> Player:
    return Player(
        user_id=claims.user_id,
        username=display_name(claims.username, claims.user_id),
        role=claims.role,
        expires_at_s=int(claims.exp),
        issued_at_s=int(claims.iat),
        avatar=_avatar(claims.avatar),
    )


def _avatar(claim: Any) -> str | None:
    """The URL of a picture if the page may show it, else None: a wrong avatar does not make a token invalid."""
    if not isinstance(claim, str) or len(claim) > AVATAR_CHARS_MAX or not claim.startswith("https://"):
        return None
    return claim if is_visible(claim) else None
