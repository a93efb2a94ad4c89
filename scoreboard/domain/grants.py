"""Signed actions: the server signs a grant when an action begins, and verifies it when the action is submitted.

The signature is one opaque string, ``v1.<kid>.<claims>.<mac>``. ``claims`` (base64url of a JSON array) carries what a
submission does not repeat: board, not-before, expiry, points and the names of the metadata members given at
initialization. ``mac`` is HMAC-SHA256 over a domain tag and every field, each preceded by its length in four bytes,
so no two different grants have the same encoding. Decoding is strict: one grant has one spelling,
and every mismatch gets the same answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from scoreboard.domain.actions import Metadata, Submission, metadata_json
from scoreboard.domain.boards import DEFAULT_BOARD
from scoreboard.domain.refusals import INVALID_ACTION, Refusal, too_early
from scoreboard.domain.value import Value

_TAG: Final = b"scoreboard/action/v1\0"
#: How far another server's clock may be ahead of ours.
SKEW_MS_MAX: Final = 2_000
SIGNATURE_CHARS_MAX: Final = 2_048


class Keyring(Value, frozen=True, kw_only=True):
    """Secrets by key id. ``current`` signs; every key in the ring verifies. Never printed."""

    current: str
    secrets: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Keyring(current={self.current!r}, {len(self.secrets)} keys)"


def keyring(current: bytes, older: tuple[bytes, ...] = ()) -> Keyring:
    """A ring whose key ids come from the digests of the secrets, so that no operator has to choose ids when keys rotate.

    Raises ValueError for a secret of zero bytes only: HMAC pads a key with zero bytes, so this would be the same as an empty key.
    """
    if not all(secret.strip(b"\0") for secret in (*older, current)):
        raise ValueError("a secret must not be empty")
    return Keyring(current=key_id(current), secrets={key_id(secret): secret for secret in (*older, current)})


def key_id(secret: bytes) -> str:
    """Eight hexadecimal digits that name a secret and reveal nothing of it."""
    return hashlib.sha256(b"scoreboard/kid\0" + secret).hexdigest()[:8]


class Grant(Value, frozen=True, kw_only=True):
    """The promise that a user who completes this action in this time is awarded these points."""

    action_id: str
    user_id: str
    action_type: str
    issued_at_ms: int
    not_before_ms: int
    expires_at_ms: int
    points: int
    metadata: Metadata
    board_id: str = DEFAULT_BOARD


class _GrantClaims(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    board_id: str
    not_before_ms: int
    expires_at_ms: int
    points: int
    metadata_keys: tuple[str, ...]


_decode_claims = msgspec.json.Decoder(_GrantClaims).decode
_encode_claims = msgspec.json.Encoder().encode


def encode(kid: str, grant: Grant) -> bytes:
    """The bytes that are signed: injective over (kid, grant)."""
    fields = (
        kid.encode(),
        bytes.fromhex(grant.action_id.replace("-", "")),
        grant.user_id.encode(),
        grant.board_id.encode(),
        grant.action_type.encode(),
        grant.issued_at_ms.to_bytes(8, "big"),
        grant.not_before_ms.to_bytes(8, "big"),
        grant.expires_at_ms.to_bytes(8, "big"),
        grant.points.to_bytes(8, "big", signed=True),
        hashlib.sha256(metadata_json(grant.metadata)).digest(),
    )
    return _TAG + b"".join([len(field).to_bytes(4, "big") + field for field in fields])


def sign(grant: Grant, ring: Keyring) -> str:
    """The opaque signature of a grant, made with the ring's current key."""
    kid = ring.current
    claims = _encode_claims(
        _GrantClaims(
            grant.board_id, grant.not_before_ms, grant.expires_at_ms, grant.points, tuple([key for key, _ in grant.metadata])
        )
    )
    mac = hmac.digest(ring.secrets[kid], encode(kid, grant), "sha256")
    return f"v1.{kid}.{_b64(claims)}.{_b64(mac)}"


def verify(submission: Submission, user_id: str, ring: Keyring, now_ms: int) -> Grant | Refusal:
    """The grant that this submission redeems, or INVALID_ACTION. The judge decides whether it has expired or comes too early.

    ACTION_TOO_EARLY if another of our servers signed it by a clock that is ahead of ours. This answer shows that the signature is
    valid, so only a submission with a valid signature gets it.

    The user is the token's, never the body's. The submission's metadata must hold every member given at
    initialization, unchanged; members beyond those are not part of the grant.
    """
    parts = submission.signature.split(".") if len(submission.signature) <= SIGNATURE_CHARS_MAX else []
    if len(parts) != 4 or parts[0] != "v1":
        return INVALID_ACTION
    _, kid, claims_text, mac_text = parts
    claims_json, mac = _unb64(claims_text), _unb64(mac_text)
    if claims_json is None or mac is None or len(mac) != 32:
        return INVALID_ACTION
    try:
        claims = _decode_claims(claims_json)
        grant = _claimed(submission, user_id, claims)
        signed = encode(kid, grant)
    except (msgspec.DecodeError, KeyError, OverflowError, ValueError, RecursionError):
        return INVALID_ACTION
    secret = ring.secrets.get(kid)
    # Key ids are public, so an unknown one may be refused sooner. No other key is ever used in place of a missing one.
    if secret is None or not hmac.compare_digest(hmac.digest(secret, signed, "sha256"), mac):
        return INVALID_ACTION
    if _encode_claims(claims) != claims_json:
        return INVALID_ACTION
    if grant.issued_at_ms > now_ms + SKEW_MS_MAX:
        return too_early(max(grant.issued_at_ms, grant.not_before_ms) - now_ms)
    return grant


def _claimed(submission: Submission, user_id: str, claims: _GrantClaims) -> Grant:
    """The grant that a submission claims to have. Raises KeyError if a member of its metadata is missing."""
    given = dict(submission.metadata)
    return Grant(
        action_id=submission.action_id,
        user_id=user_id,
        action_type=submission.action_type,
        issued_at_ms=submission.issued_at_ms,
        not_before_ms=claims.not_before_ms,
        expires_at_ms=claims.expires_at_ms,
        points=claims.points,
        metadata=tuple([(key, given[key]) for key in claims.metadata_keys]),
        board_id=claims.board_id,
    )


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _unb64(text: str) -> bytes | None:
    """Strict base64url without padding: exactly the spelling that `_b64` gives, else None."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _b64(raw) == text else None
