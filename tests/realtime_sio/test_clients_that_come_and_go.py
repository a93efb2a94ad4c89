"""Clients that connect and disconnect at random for a minute, over both transports: nothing of them is left."""

from __future__ import annotations

from random import Random

import pytest

from tests.realtime.fake_transport import frame
from tests.realtime_sio.harness import Harness, Request, SioClient


class RandomClients:
    """Clients of each kind that end in each way, or not at all: those stay half open."""

    def __init__(self, seed: int) -> None:
        self.harness = Harness(sockets_per_address_max=1_000)
        self.random = Random(seed)
        self.sockets: list[SioClient] = []
        self.polls: list[str] = []
        self.waiting: list[Request] = []

    def arrive(self) -> None:
        harness = self.harness
        match self.random.randrange(5):
            case 0:
                self.sockets.append(harness.viewer(f"user-{self.random.randrange(50)}"))
            case 1:
                self.sockets.append(harness.open_websocket())
            case 2:
                self.sockets.append(harness.connect())
            case 3:
                self.polls.append(harness.open_connected(f"user-{self.random.randrange(50)}"))
            case _:
                sid = harness.open_connected()
                harness.post(sid, b'42["join:leaderboard"]')
                client = harness.open_websocket(sid)
                client.text("2probe")
                client.text(self.random.choice(["5", "5", "4no", "1"]))
                self.sockets.append(client)

    def act(self) -> None:
        if self.sockets:
            client = self.sockets.pop(self.random.randrange(len(self.sockets)))
            match self.random.randrange(6):
                case 0:
                    client.break_connection()
                case 1:
                    client.text("1")
                case 2:
                    client.text("41")
                case 3:
                    client.send(frame(8, b"\x03\xe8"))
                case 4:
                    client.send(self.random.randbytes(self.random.randrange(1, 60)))
                case _:
                    client.transport.room = 0
        if self.polls:
            sid = self.polls.pop(self.random.randrange(len(self.polls)))
            match self.random.randrange(4):
                case 0:
                    self.harness.post(sid, b"1")
                case 1:
                    self.harness.get(sid).disconnect()
                case 2:
                    self.harness.post(sid, self.random.randbytes(self.random.randrange(30)))
                case _:
                    self.waiting.append(self.harness.get(sid))


@pytest.mark.parametrize("seed", range(3))
def test_after_a_minute_no_session_timer_or_membership_is_left(seed: int) -> None:
    clients = RandomClients(seed)
    harness = clients.harness
    for _ in range(600):
        clients.arrive()
        clients.act()
        harness.announcer.publish([])
        harness.pass_time(0.1, 0.1)
    assert harness.connected
    assert len(harness.clock.getDelayedCalls()) == 1 + harness.resource.sessions, "one timer for each session, and the sweep's"
    harness.pass_time(60)  # half-open connections are closed by now
    assert harness.is_empty
    assert harness.resource.sessions == harness.registry.handshaking == 0
    assert not harness.announcer.room
    assert harness.meter.values["websocket_connections_active"] == 0
    assert all(request.answer is not None for request in clients.waiting)
