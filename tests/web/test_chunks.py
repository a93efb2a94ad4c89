"""Decoder of bodies in chunks: what it accepts, however the bytes are cut, and when it refuses the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.net.http.chunks import SIZE_LINE_BYTES_MAX, BadChunks, BodyTooLarge, ChunkedBody
from scoreboard.net.limits import HttpLimits


class Reader:
    """A decoder, and what it gave."""

    def __init__(self, body_bytes_max: int = 1_000) -> None:
        self.body = b""
        self.after: bytes | None = None
        limits = HttpLimits(body_bytes_max=body_bytes_max, head_bytes_max=100, head_fields_max=3)
        self.decoder = ChunkedBody(self._add, self._end, limits)

    def _add(self, data: bytes) -> None:
        self.body += data

    def _end(self, after: bytes) -> None:
        self.after = after

    def read(self, data: bytes, piece: int = 10_000) -> tuple[bytes, bytes | None]:
        for at in range(0, len(data), piece):
            if self.after is None:
                self.decoder.dataReceived(data[at : at + piece])
            else:
                self.after += data[at : at + piece]
        return self.body, self.after


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"1\r\n{\r\n1\r\n}\r\n000\r\n\r\n", b"{}"),
        (b"000000000000000A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b'2;a;b=c; d = "e;\\" \t" ;f\r\n{}\r\n0;last\r\n\r\n', b"{}"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"0\r\nX-Sum: abc\r\nY:\r\nZ: \xe4\t\r\n\r\n", b""),
    ],
)
def test_valid_chunks_are_read_in_pieces_of_any_length(data: bytes, body: bytes) -> None:
    for piece in (1, 2, 3, 5, 10_000):
        assert Reader().read(data + b"GET", piece) == (body, b"GET")


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"-1",
        b"+1",
        b" 1",
        b"0x1",
        b"1_0",
        b"\r\n",
        b";a",
        b"1" * 17,
        b"1" * 100,
        b"1 \r\n",
        b"1;\r\n",
        b"1;=a\r\n",
        b'1;a="b\r\n',
        b"1;a b\r\n",
        b"1;a\n",
        b"1;a\0",
        b"1;\x7f",
        b"1\r1",
        b"1;" + b"a" * SIZE_LINE_BYTES_MAX,
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\r\r",
        b"0\r\nX: a\0",
        b"0\r\nX: \x1b",
        b"0\r\nX: a\n",
        b"0\r\nX: a\r\r",
        b"0\r\nno colon\r\n",
        b"0\r\nSpace : before colon\r\n",
        b"0\r\n folded\r\n",
        b"0\r\n: no name\r\n",
        b"0\r\n\xff: a\r\n",
        b"0\r\nX: " + b"a" * 100,
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2,
        b"0\r\n" + b"X: a\r\n" * 4,
    ],
)
def test_invalid_chunks_are_refused_as_soon_as_they_arrive(data: bytes) -> None:
    for piece in (1, 10_000):
        with pytest.raises(BadChunks):
            Reader().read(data, piece)


@pytest.mark.parametrize("data", [b"3E9\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"3E8\r\n" + b"x" * 1_000 + b"\r\n1\r\n"])
def test_a_chunk_that_does_not_fit_is_refused_by_its_size(data: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        Reader().read(data)


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;" + b"a" * 500 + b"\r\nx\r\n", b'2;a="b"\r\n{}\r\n', b"00000001\r\nx\r\n"])
def test_the_lines_between_the_chunks_of_a_body_have_a_limit(chunk: bytes) -> None:
    framing_bytes = len(chunk) - chunk.count(b"x") - chunk.count(b"{}") * 2
    allowed = (HttpLimits().chunk_framing_bytes_max - len(b"0\r\n\r\n")) // framing_bytes
    assert Reader(16_384).read(chunk * allowed + b"0\r\n\r\n")[1] == b""
    with pytest.raises(BadChunks, match="lines between its chunks"):
        Reader(16_384).read(chunk * (HttpLimits().chunk_framing_bytes_max // framing_bytes + 1))


@pytest.mark.parametrize("size_line", [b"20", b"0020"])
def test_the_longest_body_in_chunks_of_32_bytes_is_read(size_line: bytes) -> None:
    body, _ = Reader(16_384).read((size_line + b"\r\n" + b"x" * 32 + b"\r\n") * 512 + b"0\r\n\r\n")
    assert len(body) == 16_384


class CountingBuffer(bytearray):
    """Counts how many bytes are searched for the end of a line."""

    searched = 0

    def find(self, what: bytes, begin: int = 0) -> int:  # type: ignore[override]
        self.searched += len(self) - begin
        return super().find(what, begin)


@pytest.mark.parametrize("data", [b"1;" + b"a" * 1_000, b"0\r\nX: " + b"a" * 90])
def test_a_line_in_pieces_of_one_byte_is_searched_once(data: bytes) -> None:
    reader = Reader()
    reader.decoder._buffer = buffer = CountingBuffer()
    reader.read(data, piece=1)
    assert buffer.searched <= 2 * len(data)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 20))
def test_any_body_in_any_chunks_is_read(chunks: list[bytes], piece: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    assert Reader().read(data + b"0\r\n\r\n", piece) == (b"".join(chunks), b"")


@given(st.binary(max_size=100))
def test_any_bytes_are_at_worst_bad_chunks(data: bytes) -> None:
    results = set()
    for piece in (1, 7, 1_000):
        reader = Reader()
        try:
            results.add(reader.read(data, piece))
        except (BadChunks, BodyTooLarge):
            results.add((b"", b"refused"))
    assert len(results) == 1
