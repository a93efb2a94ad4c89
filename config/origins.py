"""Origins of CORS_ORIGIN: each is written as browsers send it, or refused with the reason why no browser would send it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import idna

_PARTS: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^/?#:@\[\]\\]*)(?::([0-9]{1,5}))?(/?)", re.IGNORECASE | re.ASCII
)
_WEB_PORTS: Final = {"http": 80, "https": 443}
#: Pages of these schemes have no origin of their own: browsers send "null", or the origin of another page.
_NO_ORIGIN: Final = ("file", "data", "blob", "about", "javascript", "filesystem")
_ASCII_HOST: Final = re.compile(r"[a-z0-9_~-](?:[a-z0-9._~-]*)", re.IGNORECASE)


def browser_origin(text: str) -> str:
    """The origin as browsers send it, or ``*``. Raises ValueError with a reason that repeats nothing of the text."""
    if text == "*":
        return text
    if text.lower() == "null":
        raise _refused("null is sent for files and sandboxed pages of every site, so it names no page")
    if "@" in text:
        raise _refused("an origin contains no user and no password")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _refused("an origin begins with a scheme, as https:// or an app's own, like capacitor://localhost")
    found = _PARTS.fullmatch(text)
    if found is None and re.search(r"[/?#]", rest):
        raise _refused("an origin has no path and no query")
    if found is None:
        raise _refused("the scheme, the host or the port is not valid")
    scheme, host, port = found[1].lower(), found[2], found[3]
    if scheme in ("ws", "wss"):
        raise _refused("browsers send the origin of the page, which begins with http:// or https://, also for WebSockets")
    if scheme in _NO_ORIGIN:
        raise _refused(f"browsers send no origin of their own for pages of {scheme}:")
    if "*" in host:
        raise _refused("a pattern is not possible, so name each host")
    name = _web_host(host) if scheme in _WEB_PORTS else _app_host(host)
    if port is None or int(port) == _WEB_PORTS.get(scheme):
        return f"{scheme}://{name}"
    if not 1 <= int(port) <= 65_535:
        raise _refused("a port is a number from 1 to 65535")
    return f"{scheme}://{name}:{int(port)}"


def _web_host(host: str) -> str:
    """A host of http and https, as browsers write it: in lower case, in Punycode, an address in its short form."""
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        if re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", host, re.IGNORECASE):  # browsers read it as an IPv4 address
            return str(IPv4Address(host))
        if not host.isascii():
            return idna.encode(host, uts46=True).decode("ascii")
    except ValueError:
        raise _refused("the host is not valid") from None
    return _app_host(host)


def _app_host(host: str) -> str:
    """The host of an app's own scheme, as an extension's id."""
    if _ASCII_HOST.fullmatch(host) is None and host != ".":
        raise _refused("the host is not valid" if host else "an origin has a host")
    return host.lower()


def _refused(reason: str) -> ValueError:
    return ValueError(f"should list origins like https://example.com, or be *: {reason}")
