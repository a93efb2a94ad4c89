"""HTTP over a real socket: slow readers, large bodies and lost connections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.awaiting import run
from tests.web.harness import Harness, request


class Client(Protocol):
    """Client protocol that collects all bytes until the connection ends."""

    transport: Any

    def __init__(self) -> None:
        self.got = bytearray()
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


async def connected(harness: Harness) -> Client:
    """A client of a site on a loopback port."""
    port = await TCP4ServerEndpoint(reactor(), 0, interface="127.0.0.1").listen(harness.site)
    client: Client = await connectProtocol(TCP4ClientEndpoint(reactor(), "127.0.0.1", port.getHost().port), Client())
    client.ended.addBoth(lambda _: port.stopListening())
    return client


async def until(true: Callable[[], bool]) -> None:
    """Wait until this is true; `run` limits the time."""
    while not true():
        await deferLater(reactor(), 0.005)


def test_a_slow_reader_gets_all_of_it_in_order(tmp_path: Path) -> None:
    large = bytes(range(256)) * 20_000
    (tmp_path / "index.html").write_bytes(large)

    async def read_slowly() -> bytes:
        client = await connected(Harness(pages=tmp_path))
        client.transport.pauseProducing()
        client.transport.write(
            request("GET", "/") + request("GET", "/healthz") + request("GET", "/", headers={"Connection": "close"})
        )
        await deferLater(reactor(), 0.1)
        client.transport.resumeProducing()
        await client.ended
        return bytes(client.got)

    answers = run(read_slowly).split(b"HTTP/1.1 200 OK\r\n")
    assert [len(answer.partition(b"\r\n\r\n")[2]) for answer in answers] == [0, len(large), 34, len(large)]
    assert answers[3].endswith(large)


def test_an_announced_body_of_100_mib_is_refused_at_once() -> None:
    def resident_kib() -> int:
        status = Path("/proc/self/status").read_text()
        return int(next(connection.split()[1] for connection in status.splitlines() if connection.startswith("VmRSS")))

    async def flood() -> tuple[bytes, int]:
        client = await connected(Harness())
        before = resident_kib()
        client.transport.write(b"POST /api/v1/scores/submit HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
        block = b"x" * 65_536
        for _ in range(1600):
            if client.ended.called:
                break
            client.transport.write(block)
            await deferLater(reactor(), 0)
        grown = resident_kib() - before
        client.transport.loseConnection()
        await client.ended
        return bytes(client.got), grown

    got, grown_kib = run(flood)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert got.endswith(b'"code":4130}')
    assert grown_kib < 5_120


def test_a_client_that_disconnects_in_the_middle_leaves_others_alone() -> None:
    async def vanish() -> int:
        harness = Harness()
        harness.scorekeeper.waits = Deferred()
        submission = harness.initialized()
        client = await connected(harness)
        asked = len(harness.rate_limiter.asked)
        client.transport.write(
            request("POST", "/api/v1/scores/submit", body=submission, headers={"Authorization": f"Bearer {harness.token()}"})
        )
        await until(lambda: len(harness.rate_limiter.asked) > asked)  # and then it waits for the scorekeeper
        client.transport.abortConnection()
        await client.ended
        await until(lambda: len(harness.registry.http) == 0)
        harness.scorekeeper.waits.callback(None)
        return len(harness.scorekeeper.kept)

    assert run(vanish) == 1
