"""An instance's secrets, keys that it must not trust, and tokens made by hand, valid or not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Final

from scoreboard.domain.grants import key_id

ROLES: Final = ("user", "admin", "service", "spectator")
PUBLIC_PEM: Final = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
#: The alphabet of base64url (RFC 4648, 5), in its order.
BASE64URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Claims = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """The secrets of an instance: for tokens (the newest, an older one), for actions, and a retired one that it must refuse."""

    secret: str
    older: str
    retired: str
    action_secret: str
    issuer: str = "https://login.example"
    audience: str = "scoreboard"
    life_s_max: int = 86_400
    role: str = "user"
    #: How far the clock of the instance may be ahead of the attacker's.
    slack_s: int = 0

    @property
    def trusted(self) -> tuple[bytes, bytes]:
        return self.secret.encode(), self.older.encode()

    def claims(self, now_s: int, user_id: str = "amy", **more: Any) -> Claims:
        """The claims that a login service makes for a player."""
        times = {"iat": now_s - 5, "exp": now_s + 600}
        return {
            "userId": user_id,
            "username": "Amy",
            "role": self.role,
            **times,
            "iss": self.issuer,
            "aud": self.audience,
            **more,
        }

    def honest(self, now_s: int, user_id: str = "amy", **more: Any) -> str:
        """A token that must be admitted."""
        return compact({"alg": "HS256", "typ": "JWT"}, self.claims(now_s, user_id, **more), self.secret.encode())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header: Any, claims: Any, key: bytes, algorithm: str = "sha256") -> str:
    """A token made by hand; header and claims may be text that no JSON encoder writes."""
    parts = [b64((one if isinstance(one, str) else json.dumps(one)).encode("utf-8", "surrogatepass")) for one in (header, claims)]
    signed = ".".join(parts)
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), algorithm))}"


def claims_of(token: str) -> Claims:
    """The claims of a token, without a check of its signature; {} if there are none."""
    try:
        payload = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def mistaken_keys(instance: Instance) -> list[bytes]:
    """Keys that a program could trust by mistake: empty ones, defaults, its own names, and secrets with another purpose."""
    names = [
        b"None",
        b"null",
        b"undefined",
        b"false",
        b"0",
        b"secret",
        b"changeme",
        b"your-secret-key-here",
        b"your-signature-secret",
    ]
    names += [b"scoreboard", b"scoreboard/kid\0", b"scoreboard/action/v1\0", b"JWT_SECRET", b"kid", b"HS256", b"jwt", b"x"]
    fills = [bytes([fill]) * size for fill in (0, 1, 0xFF, ord("0"), ord("1"), ord(" ")) for size in (1, 16, 32, 64, 65)]
    hashes = [make(b"").digest() for make in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)]
    hashes += [one.hex().encode() for one in hashes]
    others = [instance.action_secret.encode(), instance.retired.encode(), PUBLIC_PEM]
    others += [instance.issuer.encode(), instance.audience.encode(), *(key_id(key).encode() for key in instance.trusted)]
    near = [key[:-1] for key in instance.trusted] + [key + b"\n" for key in instance.trusted]
    near += [key.upper() for key in instance.trusted] + [key[::-1] for key in instance.trusted]
    near += [instance.secret.encode() + instance.older.encode(), hashlib.sha256(instance.secret.encode()).digest()]
    return [b"", *fills, *hashes, *names, *others, *near]


def same_key(one: bytes, other: bytes) -> bool:
    """Whether two secrets are one key for HMAC-SHA256: it pads with zeros, and hashes a key longer than a block (RFC 2104)."""

    def keyed(key: bytes) -> bytes:
        return (hashlib.sha256(key).digest() if len(key) > 64 else key).rstrip(b"\0")

    return keyed(one) == keyed(other)
