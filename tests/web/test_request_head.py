"""Heads of requests: strictly read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.net.http.request_head import BadRequestHead, read_head

HOST = b"Host: localhost:3000"


def head(*header_lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *header_lines])


def test_an_ordinary_head_is_read() -> None:
    read = read_head(head(HOST, b"accept: a", b"X-Padded:  \t value \t", b"Accept:b", first=b"GET /a?b=c HTTP/1.1"), 100)
    assert (read.method, read.target, read.version, read.body_bytes, read.persistent) == (b"GET", b"/a?b=c", b"HTTP/1.1", 0, True)
    assert read.headers.getRawHeaders(b"Accept") == [b"a", b"b"]
    assert read.headers.getRawHeaders(b"X-Padded") == [b"value"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        head(first=b"GET / HTTP/1.1"),  # no Host
        head(HOST, HOST),
        head(HOST, b"Host: other"),
        head(b"Host: "),
        head(b"Host: a b"),
        head(b"Host: a/b"),
        head(b"Host: user@a"),
        head(b"Host: a:port"),
        head(b"Host: a:123456"),
        head(b"Host: \xe4"),
        head(HOST, first=b"GET /"),
        head(HOST, first=b"GET / HTTP/1.2"),
        head(HOST, first=b"GET / HTTP/2.0"),
        head(HOST, first=b"GET / http/1.1"),
        head(HOST, first=b"GET  / HTTP/1.1"),
        head(HOST, first=b"GET / HTTP/1.1 "),
        head(HOST, first=b" GET / HTTP/1.1"),
        head(HOST, first=b"GET /a b HTTP/1.1"),
        head(HOST, first=b"GET /\xff HTTP/1.1"),
        head(HOST, first=b"G\xc3T / HTTP/1.1"),
        head(HOST, first=b"G(T / HTTP/1.1"),
        head(HOST, first=b"G" * 33 + b" / HTTP/1.1"),
        head(HOST, b"no colon"),
        head(HOST, b": no name"),
        head(HOST, b"Space : before colon"),
        head(HOST, b" folded: line"),
        head(HOST, b"X: a", b" folded"),
        head(HOST, b"X: a", b"\tfolded"),
        head(HOST, b"X: \x00"),
        head(HOST, b"X: \x0b"),
        head(HOST, b"X: \x1b[31m"),
        head(HOST, b"X: \x7f"),
        head(HOST, b"X: a\rb"),
        head(HOST, b"X: a\nY: b"),
        head(HOST, b"X: a\r\r"),
        head(HOST, b"\xff: a"),
        head(HOST, b"Content-Length: 1", b"Content-Length: 1"),
        head(HOST, b"Content-Length: 1, 1"),
        head(HOST, b"Content-Length: +4"),
        head(HOST, b"Content-Length: -4"),
        head(HOST, b"Content-Length: 0x4"),
        head(HOST, b"Content-Length: 4 4"),
        head(HOST, b"Content-Length: "),
        head(HOST, b"Content-Length: " + b"9" * 17),
        head(HOST, b"Content-Length: \xb2"),
        head(HOST, b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        head(HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        head(HOST, b"Transfer-Encoding: gzip, chunked"),
        head(HOST, b"Transfer-Encoding: identity"),
        head(HOST, b"Transfer-Encoding: xchunked"),
        head(HOST, b"Transfer-Encoding: "),
        head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
        head(HOST, *[b"X-%d: a" % n for n in range(100)]),
        head(b"Host: [::1", first=b"GET / HTTP/1.0"),
    ],
)
def test_an_invalid_head_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequestHead):
        read_head(raw, 100)


@pytest.mark.parametrize(
    "host", [b"localhost", b"a-b.example:80", b"127.0.0.1:3000", b"[::1]:3000", b"[::ffff:1.2.3.4]", b"my_service"]
)
def test_any_valid_host_is_accepted(host: bytes) -> None:
    read_head(head(b"Host: " + host), 100)


def test_http_1_0_may_omit_host_and_closes() -> None:
    read = read_head(head(first=b"GET / HTTP/1.0"), 100)
    assert not read.persistent


@pytest.mark.parametrize("value", [b"close", b"Close", b"keep-alive, close", b"upgrade,CLOSE"])
def test_connection_close_is_read(value: bytes) -> None:
    assert not read_head(head(HOST, b"Connection: " + value), 100).persistent


def test_a_body_has_exactly_one_framing() -> None:
    assert read_head(head(HOST, b"Content-Length: 17"), 100).body_bytes == 17
    assert read_head(head(HOST, b"Transfer-Encoding: Chunked"), 100).body_bytes is None


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_any_bytes_are_at_worst_a_bad_head(value: bytes, field_line: bytes) -> None:
    for raw in (value, head(HOST, b"X: " + value), head(HOST, field_line), head(HOST, first=value), head(b"Host: " + field_line)):
        try:
            read = read_head(raw, 100)
        except BadRequestHead:
            continue
        joined = b"".join(piece for _, parts in read.headers.getAllRawHeaders() for piece in parts)
        assert not set(joined) & {0, 10, 13}
