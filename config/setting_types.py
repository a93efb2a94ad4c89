"""Types of single settings: each reads an operator's text into a value, or says what the text should be."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from jwt.utils import is_pem_format, is_ssh_key
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from config.origins import browser_origin
from scoreboard.domain.standings import POINTS_MAX
from scoreboard.named_files import unlikely_path

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION_S_MAX: Final = 366 * 86_400
_MILESTONES_MAX: Final = 100
_TEXT_LENGTH_MAX: Final = 256
#: Clouds give tokens for passwords, which have a few thousand characters.
_PASSWORD_LENGTH_MAX: Final = 8_192
#: Of a part of a host's name (RFC 1035).
_LABEL_LENGTH_MAX: Final = 63
_A_TIME: Final = "a time of 1 second to 366 days, in seconds or with the unit s, m, h or d"
_A_TEXT: Final = f"a text of 1 to {_TEXT_LENGTH_MAX} printable characters without white space around it"
#: Advice for a URL that is not well formed.
_ENCODED: Final = "user, password and all other parts are percent-encoded (@ is %40, / is %2F, # is %23, ? is %3F, % is %25)"


def _listed(value: Any) -> Any:
    """A text with commas between its items as a list. A TOML array is one already."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _duration_s(value: Any) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value).strip(), re.ASCII)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 1 <= seconds <= _DURATION_S_MAX:
        raise ValueError  # the description of the setting says what is right
    return seconds


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("should be an IP address") from None
    if address.is_multicast or str(address) == "255.255.255.255":
        raise ValueError("should be an IP address of this machine, not of a group")
    return str(address)


def _network(value: Any) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value if isinstance(value, str) else "")  # Python reads a number as an address
    except ValueError:
        raise ValueError("should list networks or IP addresses") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))  # how the server writes such a peer
    return network


def _proxies(value: Any) -> IPv4Network | IPv6Network:
    network = _network(value)
    if not network.prefixlen:
        raise ValueError("should name the proxies: with every address in it, each client could say who it is")
    return network


def _bearer_token(value: SecretStr) -> SecretStr:
    if re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", value.get_secret_value()) is None:
        raise ValueError("should be a token for Authorization: Bearer: letters, digits and . _ ~ + / -")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    text = re.sub(r"\Apostgres://", "postgresql://", value.get_secret_value())
    if text.startswith("sqlite:///") and text.isprintable() and len(text) > len("sqlite:///"):
        _check_path(text.removeprefix("sqlite:///"), "a URL with a path")
        return SecretStr(text)
    if not text.startswith("postgresql://"):
        raise ValueError("should be a URL that begins with postgresql:// or sqlite:///")
    _check_url(text, r"[\w.~!$&'()*+,;=:%\[\]-]*")
    return SecretStr(text)


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("should be a URL that begins with redis://, rediss:// (TLS) or unix://")
    _check_url(text, r"([\w.~-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
    parts = urlsplit(text)
    options = parse_qs(parts.query, keep_blank_values=True)
    if parts.query and options.keys() - {"db", "password"}:
        tls = " (for TLS write rediss://)" if any("ssl" in key or "tls" in key for key in options) else ""
        raise ValueError(f"should be a URL with no other options after '?' than db and password{tls}")
    if parts.scheme == "unix":
        if parts.hostname not in (None, "localhost") or len(parts.path) < 2:
            raise ValueError("should be a URL that names the path of a socket after unix://, like unix:///run/redis.sock")
        _check_path(unquote(parts.path), "a URL with a path")
    elif not parts.hostname:
        raise ValueError("should be a URL that names a host")
    else:
        _check_labels(parts.hostname)
    numbers = [*options.get("db", ()), *([] if parts.scheme == "unix" else [parts.path.strip("/") or "0"])]
    if not all(re.fullmatch("[0-9]{1,9}", number, re.ASCII) for number in numbers) or len(options.get("db", ())) > 1:
        raise ValueError("should be a URL that names a database by its number")
    if "db" in options and parts.scheme != "unix" and parts.path.strip("/"):
        raise ValueError("should be a URL that names its database once, as a path or as db")
    return value


def _check_url(text: str, hosts: str) -> None:
    """Refuse a URL that programs parse in different ways. The wrong part may be of the password, so it is never shown."""
    found = re.fullmatch(rf"[a-z]+://([^/?#@\[\]\s]*@)?({hosts})(/[^?#@\s]*)?(\?[^?#@\s]*)?", text)
    if found is None or not text.isprintable() or re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError(f"should be a URL in which {_ENCODED}")
    try:
        urlsplit(f"{text.partition(':')[0]}://{found[1] or ''}host/")  # it refuses characters that are read as / or @ elsewhere
    except ValueError:
        raise ValueError(f"should be a URL in which {_ENCODED}") from None
    for host in found[2].split(","):
        _check_brackets(host)
    ports = [re.sub(r"\A\[.*\]", "", host).partition(":")[2] for host in found[2].split(",")]
    if not all(re.fullmatch("[0-9]{0,5}", port, re.ASCII) and 1 <= int(port or 1) <= 65_535 for port in ports):
        raise ValueError("should be a URL with a port from 1 to 65535")


def _check_brackets(host: str) -> None:
    """Refuse a host of a URL with brackets around what is no IPv6 address, or with one bracket alone."""
    inside = re.fullmatch(r"\[([^\[\]]*)\](:[0-9]*)?", host)
    try:
        right = isinstance(ip_address(inside[1]), IPv6Address) if inside else not re.search(r"[\[\]]", host)
    except ValueError:
        right = False
    if not right:
        raise ValueError("should be a URL in which brackets are around an IPv6 address, like [::1]")


def _utf8(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("should be text in UTF-8") from None
    return value


def _password(value: SecretStr) -> SecretStr:
    text = _utf8(value).get_secret_value()
    if not text.isprintable() or not 1 <= len(text) <= _PASSWORD_LENGTH_MAX:
        raise ValueError(f"should have 1 to {_PASSWORD_LENGTH_MAX} printable characters and no line end")
    return value


def _text(text: str) -> str:
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= _TEXT_LENGTH_MAX:
        raise ValueError(f"should be {_A_TEXT}")
    return text


def _host(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]([A-Za-z0-9._-]{0,253})|[0-9A-Fa-f:.%]{2,64}", text) is None:
        raise ValueError("should be a host name or an IP address, without a port")
    _check_labels(text)
    return text


def _check_labels(host: str) -> None:
    """Refuse a host that no resolver takes."""
    if any(not 1 <= len(label) <= _LABEL_LENGTH_MAX for label in host.removesuffix(".").split(".")):
        raise ValueError(f"should have a host whose parts between dots are 1 to {_LABEL_LENGTH_MAX} characters long")


def _database_host(text: str) -> str:
    """PostgreSQL's client takes the directory of a socket for a host, too, and several hosts, which it tries in this order."""
    return ",".join(host if re.fullmatch(r"/[\w./-]{0,100}", host) else _host(host) for host in text.split(","))


def _check_path(text: str, what: str) -> None:
    unlikely = unlikely_path(text)
    if unlikely is not None:
        raise ValueError(f"should be {what}, which is taken as it stands: {unlikely}")


def _meant(value: Any) -> Any:
    """Refuse the text of a path that a person took for another path."""
    if isinstance(value, str):
        _check_path(value, "a path")
    return value


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:
        raise ValueError("should be an absolute path, because the working directory was removed") from None


def _directory(path: Path) -> Path:
    try:
        taken = path.exists() and not path.is_dir()
    except OSError as error:
        raise ValueError(f"should name a directory that can be used ({(error.strerror or '').lower()})") from None
    if taken:
        raise ValueError("should name a directory, and this is none")
    return path


def _secret(value: SecretStr) -> SecretStr:
    """A secret that can key an HMAC. HMAC pads a key with zero bytes, so a secret of zero bytes equals the empty key."""
    text = _utf8(value).get_secret_value()
    if not any(one.isprintable() and not one.isspace() for one in text):
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
    return None if value in ("", "0") or (type(value) is int and value == 0) else value


def _digits(value: Any) -> Any:
    """Refuse what Python takes for a whole number, and people for another or for none: 10.000, 3_000, 1e3, true, TOML's 1.0."""
    text = value.strip() if isinstance(value, str) else value  # a file with line ends of Windows leaves one at the end
    if type(text) is not int and not (isinstance(text, str) and re.fullmatch("-?[0-9]+", text, re.ASCII)):
        raise ValueError  # the message has the words of the setting's type
    return text


def whole(least: int, most: int, example: int, **more: Any) -> Any:
    """The pydantic field of a whole number in these bounds, with the words of its error message."""
    return Field(ge=least, le=most, description=f"a whole number from {least} to {most}", examples=[example], **more)


def described(description: str, example: Any) -> Any:
    """The pydantic field that holds the words of a setting's error message: what it should be, and an example."""
    return Field(description=description, examples=[example])


_Whole = Annotated[int, BeforeValidator(_digits)]
Port = Annotated[_Whole, whole(0, 65_535, 3000)]
PortOfStore = Annotated[_Whole, whole(1, 65_535, 5432)]
PortOrNone = Annotated[
    Annotated[_Whole, whole(1, 65_535, 3001)] | None,
    BeforeValidator(_no_port),
    described("a whole number from 1 to 65535, or 0 for none", 3001),
]
Quota = Annotated[_Whole, whole(1, 10**12, 100)]
Milestones = Annotated[
    tuple[Annotated[_Whole, Field(ge=1, le=POINTS_MAX)], ...],
    BeforeValidator(_listed),
    AfterValidator(_ascending),
    described(f"a list of whole numbers from 1 to {POINTS_MAX}", [100, 500, 1000]),
]
Milliseconds = Annotated[_Whole, whole(1, 86_400_000, 600_000)]
Seconds = Annotated[int, BeforeValidator(_duration_s), described(_A_TIME, "24h")]
SecondsUpToADay = Annotated[
    int,
    BeforeValidator(_duration_s),
    Field(le=86_400, description="a time of 1 second to 1 day, in seconds or with the unit s, m, h or d", examples=["60"]),
]
Address = Annotated[str, AfterValidator(_address), described("an IP address", "127.0.0.1")]
ProxyNetworks = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_proxies)], ...],
    BeforeValidator(_listed),
    described("a list of networks or IP addresses", ["127.0.0.1", "10.0.0.0/8"]),
]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(browser_origin)], ...],
    BeforeValidator(_listed),
    described("a list of origins", ["https://example.com"]),
]
Host = Annotated[str, AfterValidator(_host), described("a host name or an IP address", "localhost")]
DatabaseHost = Annotated[
    str,
    AfterValidator(_database_host),
    described("host names, IP addresses or directories of sockets, with commas between them", "localhost"),
]
Text = Annotated[str, AfterValidator(_text), described(_A_TEXT, "scoreboard")]
Flag = Annotated[bool, described("true or false", True)]
Password = Annotated[
    SecretStr, AfterValidator(_password), described(f"a password of 1 to {_PASSWORD_LENGTH_MAX} characters", "p7Kx2mQ9")
]
Secret = Annotated[SecretStr, AfterValidator(_secret), described("a random text", None)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_listed), described("a list of random texts", None)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url), described("a URL", "postgresql://user:password@host:5432/name")]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url), described("a URL", "redis://:password@host:6379/0")]
_Path = Annotated[Path, BeforeValidator(_meant), AfterValidator(_absolute)]
FilePath = Annotated[_Path, described("the path of a file", "/etc/scoreboard.toml")]
DirectoryPath = Annotated[_Path, AfterValidator(_directory), described("the path of a directory", "/var/lib/scoreboard")]
Environment = Annotated[Literal["development", "production", "test"], described("development, production or test", "production")]
LogLevel = Annotated[
    Literal["debug", "info", "warn", "error", "critical"],
    BeforeValidator(lambda value: str(value).lower()),
    described("debug, info, warn, error or critical", "info"),
]
RateLimitPolicy = Annotated[Literal["sliding", "bucket"], described("sliding or bucket", "sliding")]
Networks = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...],
    BeforeValidator(_listed),
    described("a list of networks or IP addresses", ["127.0.0.1", "10.0.0.0/8"]),
]
BearerToken = Annotated[
    SecretStr, AfterValidator(_bearer_token), described("a random text of letters, digits and . _ ~ + / -", None)
]
