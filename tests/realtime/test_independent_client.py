"""The live server on a real reactor, used by a WebSocket client of another project."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from scoreboard.domain.close_reasons import CloseReason
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.realtime.native import NativeFactory
from scoreboard.realtime.services import LiveServices
from tests.awaiting import run
from tests.pauses import within
from tests.realtime.harness import FakeAnnouncer, FakeAuthenticator, RecordingMeter

LATER_S = 2**31


def served(client: Callable[[str], Any], **settings: Any) -> Any:
    """Run the client in a thread with the URL of a live server, and return its result. No connection may be left."""

    async def main() -> Any:
        from twisted.internet import reactor as _reactor

        reactor: Any = _reactor
        limits = LiveLimits(origins=(), sockets_max=50, sockets_per_address_max=50, lag_s_max=60.0, **settings)
        registry = ConnectionRegistry(
            http_limits=HttpLimits(),
            limits=limits,
            clock=reactor,
            wall_ms=lambda: int(time.time() * 1000),
            meter=RecordingMeter(),
        )
        registry.add_listener()
        services = LiveServices(
            authenticator=FakeAuthenticator(),
            announcer=FakeAnnouncer(),
            registry=registry,
            limits=limits,
            clock=reactor,
            meter=RecordingMeter(),
            address_of=lambda peer, forwarded: peer,
        )
        factory = NativeFactory(services)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        threads = ThreadPool(0, 1)  # the reactor's own pool would outlive the test
        threads.start()
        try:
            return await deferToThreadPool(reactor, threads, client, f"ws://127.0.0.1:{port.getHost().port}/ws")
        finally:
            threads.stop()
            await port.stopListening()
            await registry.drain(CloseReason(code=1012, reason="stopping"), 0.1)
            assert registry.handshaking + len(registry.live) == 0

    return run(main)


def token(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user}@{LATER_S}"}


def test_an_independent_client_joins_gets_events_and_closes() -> None:
    def client(url: str) -> list[Any]:
        with connect(url, additional_headers=token("amy")) as socket:
            socket.send('{"event":"join:leaderboard","id":1}')
            events = [json.loads(socket.recv(5))["event"] for _ in range(2)]
            socket.ping().wait(5)
        return [*events, socket.close_code]

    assert served(client) == ["ack", "leaderboard:update", 1000]


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"binary", 1003), ("x" * 65_537, 1009), ("x" * 3_000_000, 1009), ('{"event":"auth","data":{"token":"bad"}}', 4401)],
)
def test_the_close_frame_arrives_whole_and_at_once(message: str | bytes, code: int) -> None:
    def client(url: str) -> int | None:
        with connect(url, compression=None) as socket:
            with within(5.0), suppress(ConnectionClosed):  # if it waited for the client, it would wait for close_timeout_s
                socket.send(message)
                for _ in socket:
                    pass
            return socket.close_code

    assert served(client, close_timeout_s=20.0) == code


def test_an_independent_client_understands_a_refused_handshake() -> None:
    def client(url: str) -> int:
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers={"Authorization": "Bearer bad"}):
            pass
        return refused.value.response.status_code

    assert served(client) == 401


def test_connected_clients_get_the_close_code_of_a_restart() -> None:
    with ExitStack() as stack:

        def client(url: str) -> Any:
            return stack.enter_context(connect(url, additional_headers=token("amy")))

        socket = served(client)
        with pytest.raises(ConnectionClosed):
            socket.recv(5)
        assert socket.close_code == 1012
