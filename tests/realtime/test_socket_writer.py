"""The outlet, over real sockets: what fits leaves at once, the rest in order, and nothing is lost between the two."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import main, tcp
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from scoreboard.net.socket_writer import UNSENT_BYTES_MAX, SocketWriter
from tests.realtime.fake_transport import Watchlist

#: What the client's own kernel keeps for it, and what ours makes one segment of.
CLIENTS_OWN_BYTES = 131_072
SEGMENT_BYTES = 65_536


class EngineConnection:
    """Two ends of a socket; ours is Twisted's own TCP connection, with a reactor that the test turns by hand."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        ours.setblocking(False)
        theirs.setblocking(False)
        self.theirs = theirs
        self.watchlist = Watchlist()
        reactor: Any = self.watchlist
        self.protocol = Ears()
        self.connection = tcp.Connection(ours, self.protocol, reactor)
        self.connection.connected = 1
        self.writer = SocketWriter(self.connection)

    def read(self) -> bytes:
        try:
            return self.theirs.recv(2**20)
        except BlockingIOError:
            return b""

    def step(self) -> None:
        while self.connection in self.watchlist.writers:
            why = self.connection.doWrite()
            if why is not None:
                self.connection.connectionLost(Failure(why))

    def close(self) -> None:
        self.theirs.close()
        if self.connection.connected:
            self.connection.connectionLost(Failure(main.CONNECTION_DONE))


class Ears(Protocol):
    lost = False

    def connectionLost(self, reason: Failure = Failure(main.CONNECTION_DONE)) -> None:  # noqa: B008 -- Twisted's signature
        self.lost = True


@pytest.fixture
def text_line() -> Iterator[EngineConnection]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    text_line = EngineConnection(ours, theirs)
    yield text_line
    text_line.close()


@pytest.fixture
def tcp_line() -> Iterator[EngineConnection]:
    """The same over TCP, as the kernel makes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    text_line = EngineConnection(ours, theirs)
    yield text_line
    text_line.close()


def test_what_fits_leaves_at_once_and_the_reactor_is_not_asked(text_line: EngineConnection) -> None:
    text_line.writer.offer(b"hello")
    assert text_line.read() == b"hello"
    assert text_line.writer.drained
    assert not text_line.watchlist.writers


def test_what_does_not_fit_follows_in_order_and_whole(text_line: EngineConnection) -> None:
    sent, received = b"", b""
    for number in range(60):
        piece = bytes((number,)) * 4_001
        text_line.writer.offer(piece)
        sent += piece
    assert not text_line.writer.drained
    for _ in range(200):
        received += text_line.read()
        if text_line.watchlist.writers:
            text_line.connection.doWrite()
    assert received == sent
    assert text_line.writer.drained


def test_once_something_waits_nothing_overtakes_it(text_line: EngineConnection) -> None:
    text_line.writer.offer(b"a" * 500_000)
    text_line.read()
    text_line.writer.offer(b"b")
    received = b""
    for _ in range(200):
        if text_line.watchlist.writers:
            text_line.connection.doWrite()
        received += text_line.read()
    assert received.endswith(b"ab")


def test_a_broken_connection_is_found_by_the_reactor_not_by_the_writer(text_line: EngineConnection) -> None:
    text_line.theirs.close()
    text_line.writer.offer(b"hello")
    assert not text_line.protocol.lost
    text_line.step()
    assert text_line.protocol.lost


def test_the_end_of_the_stream_comes_after_all_that_was_written(text_line: EngineConnection) -> None:
    text_line.writer.offer(b"last words")
    text_line.writer.close_writing()
    text_line.step()
    text_line.theirs.setblocking(True)
    assert text_line.theirs.recv(100) == b"last words"
    assert text_line.theirs.recv(100) == b""
    assert not text_line.protocol.lost, "the other side may still speak"


def test_what_a_client_does_not_read_waits_with_us_and_not_in_the_kernel(tcp_line: EngineConnection) -> None:
    offered = bytearray()
    while tcp_line.writer.drained and len(offered) < 2**22:
        piece = len(offered).to_bytes(8, "big") * 100
        tcp_line.writer.offer(piece)
        offered += piece
    assert len(offered) <= CLIENTS_OWN_BYTES + UNSENT_BYTES_MAX + SEGMENT_BYTES
    received = bytearray()
    until_s = time.monotonic() + 10
    while len(received) < len(offered) and time.monotonic() < until_s:
        received += tcp_line.read()
        tcp_line.step()
    assert received == offered
