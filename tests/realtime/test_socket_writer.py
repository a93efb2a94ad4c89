"""Socket writer over real sockets: bytes that fit leave at once, the others follow in order, and none are lost."""

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
from tests.realtime.fake_transport import FakeReactor

#: Bytes that the client's kernel buffers, and that ours sends as one segment.
CLIENTS_OWN_BYTES = 131_072
SEGMENT_BYTES = 65_536


class SocketPair:
    """Two ends of a socket. Ours is Twisted's TCP connection, with a reactor that the test runs step by step."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        ours.setblocking(False)
        theirs.setblocking(False)
        self.theirs = theirs
        self.fake_reactor = FakeReactor()
        reactor: Any = self.fake_reactor
        self.protocol = RecordingProtocol()
        self.connection = tcp.Connection(ours, self.protocol, reactor)
        self.connection.connected = 1
        self.writer = SocketWriter(self.connection)

    def read(self) -> bytes:
        try:
            return self.theirs.recv(2**20)
        except BlockingIOError:
            return b""

    def step(self) -> None:
        while self.connection in self.fake_reactor.writers:
            why = self.connection.doWrite()
            if why is not None:
                self.connection.connectionLost(Failure(why))

    def close(self) -> None:
        self.theirs.close()
        if self.connection.connected:
            self.connection.connectionLost(Failure(main.CONNECTION_DONE))


class RecordingProtocol(Protocol):
    lost = False

    def connectionLost(self, reason: Failure = Failure(main.CONNECTION_DONE)) -> None:  # noqa: B008 -- Twisted's signature
        self.lost = True


@pytest.fixture
def unix_pair() -> Iterator[SocketPair]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    unix_pair = SocketPair(ours, theirs)
    yield unix_pair
    unix_pair.close()


@pytest.fixture
def tcp_pair() -> Iterator[SocketPair]:
    """A pair over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    unix_pair = SocketPair(ours, theirs)
    yield unix_pair
    unix_pair.close()


def test_bytes_that_fit_are_written_at_once_without_the_reactor(unix_pair: SocketPair) -> None:
    unix_pair.writer.offer(b"hello")
    assert unix_pair.read() == b"hello"
    assert unix_pair.writer.drained
    assert not unix_pair.fake_reactor.writers


def test_bytes_that_do_not_fit_follow_in_order_and_complete(unix_pair: SocketPair) -> None:
    sent, received = b"", b""
    for number in range(60):
        piece = bytes((number,)) * 4_001
        unix_pair.writer.offer(piece)
        sent += piece
    assert not unix_pair.writer.drained
    for _ in range(200):
        received += unix_pair.read()
        if unix_pair.fake_reactor.writers:
            unix_pair.connection.doWrite()
    assert received == sent
    assert unix_pair.writer.drained


def test_bytes_never_overtake_those_that_wait(unix_pair: SocketPair) -> None:
    unix_pair.writer.offer(b"a" * 500_000)
    unix_pair.read()
    unix_pair.writer.offer(b"b")
    received = b""
    for _ in range(200):
        if unix_pair.fake_reactor.writers:
            unix_pair.connection.doWrite()
        received += unix_pair.read()
    assert received.endswith(b"ab")


def test_a_broken_connection_is_noticed_by_the_reactor_and_not_by_the_writer(unix_pair: SocketPair) -> None:
    unix_pair.theirs.close()
    unix_pair.writer.offer(b"hello")
    assert not unix_pair.protocol.lost
    unix_pair.step()
    assert unix_pair.protocol.lost


def test_the_end_of_the_stream_comes_after_all_bytes(unix_pair: SocketPair) -> None:
    unix_pair.writer.offer(b"last words")
    unix_pair.writer.close_writing()
    unix_pair.step()
    unix_pair.theirs.setblocking(True)
    assert unix_pair.theirs.recv(100) == b"last words"
    assert unix_pair.theirs.recv(100) == b""
    assert not unix_pair.protocol.lost, "the other side can still send"


def test_unread_bytes_wait_in_this_process_and_not_in_the_kernel(tcp_pair: SocketPair) -> None:
    offered = bytearray()
    while tcp_pair.writer.drained and len(offered) < 2**22:
        piece = len(offered).to_bytes(8, "big") * 100
        tcp_pair.writer.offer(piece)
        offered += piece
    assert len(offered) <= CLIENTS_OWN_BYTES + UNSENT_BYTES_MAX + SEGMENT_BYTES
    received = bytearray()
    until_s = time.monotonic() + 10
    while len(received) < len(offered) and time.monotonic() < until_s:
        received += tcp_pair.read()
        tcp_pair.step()
    assert received == offered
