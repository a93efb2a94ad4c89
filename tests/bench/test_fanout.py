"""Fan-out of one tick to 2,000 sockets, against a plain ``send()`` loop over the same sockets (`make bench`)."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from twisted.internet import tcp
from twisted.internet.protocol import Protocol

from scoreboard.domain.events import BoardChanged
from scoreboard.net.socket_writer import SocketWriter
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.native import NativeEncoder
from tests.realtime.fake_transport import FakeReactor
from tests.realtime.harness import FakeAnnouncer, FakeAuthenticator, page

SOCKETS = 2_000
ENCODER = NativeEncoder()


class Clients:
    """Both ends of TCP connections, in one process."""

    def __init__(self) -> None:
        reactor: Any = FakeReactor()
        self.ours: list[tcp.Connection] = []
        self.theirs: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0), backlog=SOCKETS) as listener:
            for _ in range(SOCKETS):
                self.theirs.append(socket.create_connection(listener.getsockname()))
                connection = tcp.Connection(listener.accept()[0], Protocol(), reactor)
                connection.connected = 1
                connection.setTcpNoDelay(True)
                self.ours.append(connection)
        self.sessions = [
            ClientSession(
                authenticator=FakeAuthenticator(),
                announcer=FakeAnnouncer(),
                encoder=ENCODER,
                writer=SocketWriter(connection),
                close=lambda close_reason: None,
            )
            for connection in self.ours
        ]

    def read_all(self) -> None:
        for one in self.theirs:
            one.recv(2**16)

    def close(self) -> None:
        for ours, theirs in zip(self.ours, self.theirs, strict=True):
            ours.socket.close()
            theirs.close()


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * SOCKETS)), hard))
    clients = Clients()
    yield clients
    clients.close()


def test_a_tick_to_two_thousand_sockets(benchmark: BenchmarkFixture, clients: Clients) -> None:
    def tick() -> None:
        frames = ENCODER.encode((BoardChanged(page=page(players=2)),))
        for client in clients.sessions:
            if client.drained:
                client.offer(frames)

    benchmark.pedantic(tick, rounds=50, warmup_rounds=2, teardown=clients.read_all)


def test_a_bare_send_loop_over_the_same_sockets(benchmark: BenchmarkFixture, clients: Clients) -> None:
    frames = ENCODER.encode((BoardChanged(page=page(players=2)),))

    def loop() -> None:
        for connection in clients.ours:
            connection.socket.send(frames)

    benchmark.pedantic(loop, rounds=50, warmup_rounds=2, teardown=clients.read_all)
