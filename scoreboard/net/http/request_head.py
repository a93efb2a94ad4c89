"""Parser of the head of a request: strict, so that each accepted head has only one meaning.

Pure. Twisted's own parser accepts what RFC 9112 forbids (no Host, two Hosts, folded lines, control characters in values);
this one refuses it.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.web.http_headers import Headers

from scoreboard.domain.value import Value

_TOKEN_CHARACTER: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN: Final = _TOKEN_CHARACTER + b"+"
_REQUEST_LINE: Final = re.compile(rb"(%b{1,32}) ([\x21-\x7e]+) (HTTP/1\.[01])" % _TOKEN_CHARACTER)
_AUTHORITY: Final = rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_HOST: Final = re.compile(_AUTHORITY)
#: The absolute form (RFC 9112, 3.2.2), which clients send to a proxy and every server must accept.
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(%b)([/?].*)?" % _AUTHORITY)
#: A bad head may still name the page that sent it, which then can read the refusal.
_ORIGIN_LINE: Final = re.compile(rb"\r\n(?i:origin):[ \t]*([^\r\n]*)")
_CONTROLS: Final = bytes(code for code in range(32) if code != 9) + b"\x7f"
_LENGTH_DIGITS_MAX: Final = 16


class BadRequestHead(Exception):
    """The bytes are no valid head. The message says why and repeats nothing that the client sent."""


class RequestHead(Value, frozen=True, kw_only=True):
    """The head of a request.

    ``target`` is never in absolute form. ``body_bytes`` is the announced length of the body, None if it comes in chunks.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: Headers
    body_bytes: int | None
    persistent: bool

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for status 100 before it sends the body."""
        expected = self.headers.getRawHeaders(b"Expect", ())
        return self.version == b"HTTP/1.1" and [value.lower() for value in expected] == [b"100-continue"]


def read_head(raw: bytes, fields_max: int) -> RequestHead:
    """The head in ``raw``, which ends before the empty line. Raises BadRequestHead."""
    request_line, *field_lines = raw.split(b"\r\n")
    # Every CR and LF must be one of the line ends just split at, and no other control character but tab may occur.
    if len(raw.translate(None, _CONTROLS)) != len(raw) - 2 * len(field_lines):
        raise BadRequestHead("The head holds control characters")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise BadRequestHead("The request line is not one of HTTP/1.1")
    if len(field_lines) > fields_max:
        raise BadRequestHead(f"More than {fields_max} header fields")
    method, target, version = match.groups()
    headers = read_fields(field_lines)
    _check_host(headers, version)
    if not target.startswith(b"/"):
        target = _origin_form(method, target, headers)
    return RequestHead(
        method=method,
        target=target,
        version=version,
        headers=headers,
        body_bytes=_body_bytes(headers, version),
        persistent=version == b"HTTP/1.1" and not _asks_to_close(headers),
    )


def origin_in(raw: bytes) -> bytes | None:
    """The value of the only Origin of a head, which may be invalid or only the beginning of one."""
    origins = _ORIGIN_LINE.findall(raw)
    return origins[0].rstrip(b" \t") if len(origins) == 1 else None


def read_fields(field_lines: list[bytes]) -> Headers:
    """The fields of these lines, which hold no control characters. Raises BadRequestHead."""
    headers = Headers()
    for field_line in field_lines:
        name, colon, value = field_line.partition(b":")
        if not colon:
            raise BadRequestHead("A header line without a colon")
        try:
            # It refuses names that are no tokens, and so folded lines and spaces before the colon.
            headers.addRawHeader(name, value.strip(b" \t"))
        except ValueError:
            raise BadRequestHead("A header name that is no token") from None
    return headers


def _origin_form(method: bytes, target: bytes, headers: Headers) -> bytes:
    """The path and query of a target in absolute form, whose host then replaces Host. Any other target stays as it is."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target
    host, rest = absolute.groups(b"")
    headers.setRawHeaders(b"Host", [host])
    if rest.startswith(b"/"):
        return bytes(rest)
    return b"*" if method == b"OPTIONS" and not rest else b"/" + rest


def _check_host(headers: Headers, version: bytes) -> None:
    hosts = headers.getRawHeaders(b"Host", ())
    if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
        raise BadRequestHead("Exactly one Host is needed")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise BadRequestHead("The Host is not valid")


def _body_bytes(headers: Headers, version: bytes) -> int | None:
    """The length of the body, None for chunks. A head with two lengths or framings is refused: it may be request smuggling."""
    codings = headers.getRawHeaders(b"Transfer-Encoding", ())
    lengths = headers.getRawHeaders(b"Content-Length", ())
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or version != b"HTTP/1.1":
            raise BadRequestHead("The framing of the body is not clear")
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS_MAX:
        raise BadRequestHead("The Content-Length is not a number")
    return int(lengths[0])


def _asks_to_close(headers: Headers) -> bool:
    wishes = headers.getRawHeaders(b"Connection", ())
    return any(token.strip().lower() == b"close" for wish in wishes for token in wish.split(b","))
