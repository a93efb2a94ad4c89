"""Weak secrets: what production refuses, in words that show nothing of a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from config.secret_strength import weakness

MAKE_ONE: Final = "make one with `openssl rand -hex 32`"
#: The samples of the specification, which is public.
_SAMPLE_SECRETS: Final = ("your-secret-key-here", "your-signature-secret")
_SAMPLE_PASSWORDS: Final = {
    "secret": "the specification's sample",
    "password": "env.example's sample",
    "changeme": "a placeholder",
    "postgres": "a placeholder",
    "redis": "a placeholder",
    "admin": "a placeholder",
    "scoreboard": "a placeholder",
    "foobared": "the sample of redis.conf",
}


def named_secrets(name: str, current: SecretStr, older: tuple[SecretStr, ...]) -> list[tuple[str, SecretStr]]:
    """Each secret of a ring with its name for the operator: the setting, and the number in a list of several."""
    old = f"{name.replace('SECRET', 'SECRETS')}_OLD"
    positions = [""] if len(older) == 1 else [f" (number {position})" for position in range(1, len(older) + 1)]
    return [(name, current), *((old + position, secret) for position, secret in zip(positions, older, strict=False))]


def weak_secrets(*purposes: list[tuple[str, SecretStr]]) -> Iterator[str]:
    """A complaint for each weak secret, and for one that is used for two purposes. A purpose has (name, secret) pairs."""
    for name, secret in (pair for purpose in purposes for pair in purpose):
        yield from _weak(name, secret.get_secret_value())
    known: dict[str, str] = {}
    for purpose in purposes:
        for name, secret in purpose:
            other = known.get(_comparable(secret))
            if other is not None:
                yield f"{name} should differ from {other}: {MAKE_ONE}"
        known |= {_comparable(secret): name for name, secret in reversed(purpose)}


def _comparable(secret: SecretStr) -> str:
    """The secret in a form to compare: HMAC pads with zero bytes, and people add spaces and line ends."""
    return secret.get_secret_value().strip("\0 \t\r\n").casefold()


def _weak(name: str, secret: str) -> Iterator[str]:
    mend = "take it out; the server then refuses what was signed with it" if "_OLD" in name else MAKE_ONE
    if secret in _SAMPLE_SECRETS:
        yield f"{name} should not be the specification's sample in production: {mend}"
        return
    weak = weakness(secret)
    if weak is not None:
        yield f"{name} {weak} in production: {mend}"


def sample_password(name: str, url: SecretStr | None) -> Iterator[str]:
    """A complaint if a URL holds a password that everyone knows."""
    try:
        parts = urlsplit("" if url is None else url.get_secret_value())
    except ValueError:  # made from DB_HOST and the like, and not valid: the store reports it without the password
        return
    for password in (unquote(parts.password or ""), *parse_qs(parts.query).get("password", ())):
        sample = _SAMPLE_PASSWORDS.get(password.strip().lower())
        if sample is not None:
            yield f"{name} should not hold {sample} as password in production: give the store another, and set it here"
