"""Fan-out of one tick to 2,000 Socket.IO clients, against a plain ``send()`` loop over the same sockets (`make bench`)."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol

from scoreboard.domain.events import BoardChanged
from tests.realtime.fake_transport import FakeReactor
from tests.realtime.harness import page
from tests.realtime_sio.harness import Harness

SOCKETS = 2_000


class Connection(tcp.Connection):
    """Connection that knows its peer, as a server's does."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40_000)


class Clients:
    """Clients that have joined the room over TCP; both ends are in one process."""

    def __init__(self) -> None:
        reactor: Any = FakeReactor()
        self.harness = Harness(sockets_max=SOCKETS, sockets_per_address_max=SOCKETS)
        self.ours: list[Connection] = []
        self.theirs: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0), backlog=SOCKETS) as listener:
            for _ in range(SOCKETS):
                self.theirs.append(socket.create_connection(listener.getsockname()))
                connection = Connection(listener.accept()[0], Protocol(), reactor)
                connection.connected = 1
                self.ours.append(connection)
                self.harness.add_viewer(connection)
        self.read_all()

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


def test_a_tick_to_two_thousand_socketio_clients(benchmark: BenchmarkFixture, clients: Clients) -> None:
    viewers = list(clients.harness.announcer.room)
    assert len(viewers) == SOCKETS

    def tick() -> None:
        frames = viewers[0].encoder.encode((BoardChanged(page=page(players=2)),))
        for viewer in viewers:
            if viewer.drained:
                viewer.offer(frames)

    benchmark.pedantic(tick, rounds=50, warmup_rounds=2, teardown=clients.read_all)


def test_a_bare_send_loop_over_the_same_sockets(benchmark: BenchmarkFixture, clients: Clients) -> None:
    viewers = list(clients.harness.announcer.room)
    frames = viewers[0].encoder.encode((BoardChanged(page=page(players=2)),))

    def loop() -> None:
        for connection in clients.ours:
            connection.socket.send(frames)

    benchmark.pedantic(loop, rounds=50, warmup_rounds=2, teardown=clients.read_all)
