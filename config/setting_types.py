"""Types of single settings: each reads an operator's text into a value, or says what the text should be."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from jwt.utils import is_pem_format, is_ssh_key
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from scoreboard.domain.standings import POINTS_MAX

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION_S_MAX: Final = 366 * 86_400
_MILESTONES_MAX: Final = 100


def _listed(value: Any) -> Any:
    """A comma-separated text as a list. A TOML array is one already."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _duration_s(value: Any) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value).strip(), re.ASCII)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 1 <= seconds <= _DURATION_S_MAX:
        raise ValueError("should be a time like 900, 15m, 24h or 7d, at most 366d")
    return seconds


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("should be an IP address like 127.0.0.1 or ::") from None


def _network(value: Any) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError("should list networks like 10.0.0.0/8 or addresses like 127.0.0.1") from None
    if not network.prefixlen:
        raise ValueError("should name the proxies: with every address in it, each client could say who it is")
    return network


def _origin(text: str) -> str:
    if text == "*":
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}" or "@" in text:
        raise ValueError("should list origins like https://example.com (a scheme, a host and no path), or be *")
    return text.lower()


def _readable(text: str) -> bool:
    """Whether every program parses a URL in the same way: it has at most one ``@``, and none after the host.

    The part that cannot be parsed may be the password, so the error is never shown.
    """
    try:
        parts = urlsplit(text)
        database = parts.scheme not in ("redis", "rediss") or re.fullmatch(r"/?[0-9]*", parts.path) is not None
        return parts.port != 0 and text.isprintable() and text.count("@") <= 1 and "@" not in parts.path and database
    except ValueError:
        return False


def _database_url(value: SecretStr) -> SecretStr:
    text = re.sub(r"\Apostgres://", "postgresql://", value.get_secret_value())
    if not text.startswith(("postgresql://", "sqlite:///")) or not _readable(text):
        raise ValueError("should be a URL like postgresql://user:password@host:5432/name or sqlite:////path/to/file")
    return SecretStr(text)


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("redis://", "unix://")) or not _readable(text):
        raise ValueError("should be a URL like redis://:password@host:6379/0 or unix:///path/to/socket")
    for number in parse_qs(urlsplit(text).query).get("db", ()):
        if re.fullmatch("[0-9]{1,9}", number) is None:
            raise ValueError("should name a database by its number, as in unix:///path/to/socket?db=0")
    return value


def _utf8(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("should be text in UTF-8") from None
    return value


def _secret(value: SecretStr) -> SecretStr:
    """A secret that can key an HMAC. HMAC pads a key with zero bytes, so a secret of zero bytes equals the empty key."""
    text = _utf8(value).get_secret_value()
    if not text.strip("\0"):
        raise ValueError("should not be empty")
    key = text.strip().encode()
    if is_pem_format(key) or is_ssh_key(key) or b"-BEGIN " in key or b"- BEGIN " in key:  # PyJWT takes none of them for HS256
        raise ValueError("should be a secret of its own, not a key in PEM or SSH format")
    return value


def _ascending(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(numbers) > _MILESTONES_MAX:
        raise ValueError(f"should list at most {_MILESTONES_MAX} numbers of points")
    return tuple(sorted(set(numbers)))


def _no_port(value: Any) -> Any:
    return None if value in ("", "0", 0) and value is not False else value


def _no_truth(value: Any) -> Any:
    """Refuse TOML's true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("should be a whole number")
    return value


_Whole = Annotated[int, BeforeValidator(_no_truth)]
Port = Annotated[_Whole, Field(ge=0, le=65_535)]
PortOfStore = Annotated[_Whole, Field(ge=1, le=65_535)]
PortOrNone = Annotated[Annotated[_Whole, Field(ge=1, le=65_535)] | None, BeforeValidator(_no_port)]
Quota = Annotated[_Whole, Field(ge=1, le=10**12)]
Milestones = Annotated[
    tuple[Annotated[_Whole, Field(ge=1, le=POINTS_MAX)], ...], BeforeValidator(_listed), AfterValidator(_ascending)
]
Milliseconds = Annotated[_Whole, Field(ge=1, le=86_400_000)]
Seconds = Annotated[int, BeforeValidator(_duration_s)]
Address = Annotated[str, AfterValidator(_address)]
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], BeforeValidator(_listed)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_listed)]
Password = Annotated[SecretStr, AfterValidator(_utf8)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_listed)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
AbsolutePath = Annotated[Path, AfterValidator(Path.absolute)]
LogLevel = Annotated[Literal["debug", "info", "warn", "error", "critical"], BeforeValidator(lambda value: str(value).lower())]
