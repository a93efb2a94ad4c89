"""Report on a token for an operator: each check of the server, who signed the token, what it claims. No secret is in it."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from jwt.utils import base64url_encode

from config.settings import Settings
from config.weak_secrets import named_secrets
from scoreboard.domain.display_names import display_name
from scoreboard.domain.grants import key_id
from scoreboard.domain.token_faults import TokenFault
from scoreboard.service.wiring import command_authenticator
from scoreboard.web.authenticator import Explanation

#: What the server reads of the claims. Of others only the names are shown: a login service may put anything into them.
_CLAIMS: Final = ("userId", "username", "role", "iat", "exp", "nbf", "iss", "aud", "avatar")
#: Faults of requests, and of a player; a token alone has none of them.
_NOT_OF_TOKENS: Final = {TokenFault.NO_TOKEN, TokenFault.NOT_ONE_TOKEN, TokenFault.TICKET, TokenFault.SUSPENDED}
#: A fault up to this one, in the order of TokenFault, ends the checks: the later ones cannot be made.
_LAST_STOPPING: Final = TokenFault.CLAIM
#: The year 5138; in milliseconds, a time in 1973.
_LATEST_S: Final = 100_000_000_000
_MAC: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class TokenReport:
    """What a server of these settings finds.

    ``checks`` says for each fault whether the token passed its check: True, False, or None if the check was not made.
    ``signed_by`` names the setting; without it the claims are unproved. ``hint`` says what may have gone wrong.
    """

    accepted: bool
    checks: dict[TokenFault, bool | None]
    found: str
    signed_by: str | None
    claims: dict[str, Any]
    other_claims: tuple[str, ...]
    shown_as: str | None
    hint: str


def report_token(settings: Settings, token: str, at_ms: int) -> TokenReport:
    """The report on a token at a time. Suspensions are not looked up: they are no property of a token."""
    explained = replace(command_authenticator(settings), now_ms=lambda: at_ms).explain(token)
    faults, claims = explained.faults, explained.claims or {}
    name, user_id = claims.get("username"), claims.get("userId")
    return TokenReport(
        accepted=not faults,
        checks=_checks(faults),
        found=explained.found,
        signed_by=None if explained.key_id is None else _names_of_keys(settings)[explained.key_id],
        claims={claim: _shown(claims[claim]) for claim in _CLAIMS if claim in claims},
        other_claims=tuple(str(claim) for claim in claims if claim not in _CLAIMS),
        shown_as=display_name(name, user_id) if isinstance(name, str) and isinstance(user_id, str) else None,
        hint=_hint(settings, explained, token),
    )


def _checks(faults: tuple[TokenFault, ...]) -> dict[TokenFault, bool | None]:
    all_checks = [fault for fault in TokenFault if fault not in _NOT_OF_TOKENS]
    ends_at = len(all_checks)
    if faults and all_checks.index(faults[0]) <= all_checks.index(_LAST_STOPPING):
        ends_at = all_checks.index(faults[0]) + 1
    return {fault: None if at >= ends_at else fault not in faults for at, fault in enumerate(all_checks)}


def _shown(value: Any) -> Any:
    """A claim as it is or, where it has no form that the server reads, its JSON as a text: 1e400 would be no JSON again."""
    simple = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if simple or (isinstance(value, list) and all(isinstance(one, str) for one in value)) else json.dumps(value)


def _secrets(settings: Settings) -> list[tuple[str, str]]:
    """Each secret of tokens, after the name of its setting."""
    named = named_secrets("JWT_SECRET", settings.jwt_secret, settings.jwt_secrets_old)
    return [(name, secret.get_secret_value()) for name, secret in named]


def _names_of_keys(settings: Settings) -> dict[str, str]:
    return {key_id(secret.encode()): name for name, secret in reversed(_secrets(settings))}


def _hint(settings: Settings, explained: Explanation, token: str) -> str:
    """A usual mistake of a login service that explains the refusal. It only compares: no token is accepted by it."""
    if token in ("undefined", "null", "None", "[object", "[objectObject]"):
        return f"a program wrote {token} where it had no token"
    claims = explained.claims or {}
    named = [claim for claim in ("sub", "user_id", "userid", "uid", "id") if claim in claims]
    if named and "userId" not in claims:
        return f"the claim {named[0]} should be named userId"
    if any(type(claims.get(claim)) in (int, float) and claims[claim] > _LATEST_S for claim in ("iat", "exp", "nbf")):
        return "its times are milliseconds: iat, exp and nbf are seconds since 1970"
    signed, _, mac = token.rpartition(".")
    if explained.key_id is not None or _MAC.fullmatch(mac) is None or not token.isascii():
        return ""
    for said, key in _mistakes(settings):
        if hmac.compare_digest(base64url_encode(hmac.digest(key, signed.encode(), "sha256")), mac.encode()):
            return said
    return ""


def _mistakes(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """(what to change, key) for each usual mistake."""
    action_secret = settings.action_signature_secret.get_secret_value()
    yield "it is signed with ACTION_SIGNATURE_SECRET, which is for actions: sign with JWT_SECRET", action_secret.encode()
    for name, secret in _secrets(settings):
        yield f"{name} did sign it, but its header (alg, kid, typ or another member) is refused", secret.encode()
        for end in ("\n", "\r\n", " "):
            yield f"it is signed with {name} and white space after it: sign without that", (secret + end).encode()
        for encoding, decode in (("hexadecimal", bytes.fromhex), ("base64", _base64_decoded)):
            try:
                key = decode(secret)
            except (ValueError, binascii.Error):
                continue
            if key:
                yield f"it is signed with {name} decoded from {encoding}: sign with the text as it is", key


def _base64_decoded(secret: str) -> bytes:
    return base64.b64decode(secret.replace("-", "+").replace("_", "/") + "=" * (-len(secret) % 4), validate=True)
