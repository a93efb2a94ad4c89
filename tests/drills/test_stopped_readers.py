"""A client that stops reading is closed within 15 s, over each protocol and with default buffers; a slow reader is not."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.journeys.server import ServerProcess
from tests.journeys.steady_load import TimedSubmitter, send_all, submissions
from tests.pauses import pauses
from tests.realtime.fake_transport import frame

CLOSED_S_MAX = 15.0
READS_S = 4.0
RATE = 100
SLOW_BYTES_PER_S = 20_000
LEADERS, LEAD, PLAYERS = 10, 30, 100
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Reader(threading.Thread):
    """One client. It reads everything for ``READS_S`` and then nothing, or it reads slowly. ``ended_s`` says when it ended."""

    def __init__(self, server: ServerProcess, kind: str, *, stops: bool) -> None:
        super().__init__(daemon=True)
        self.kind, self.stops = kind, stops
        self.ended_s: float | None = None
        self._over = threading.Event()
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        self._enter(server.issue_token(f"reader-{kind}"))

    def _enter(self, token: str) -> None:
        match self.kind:
            case "native":
                self._ask("/ws", token, UPGRADE)
                self._socket.sendall(frame(1, b'{"event":"join:leaderboard","id":1}'))
            case "socketio":
                self._ask("/socket.io/?EIO=4&transport=websocket", token, UPGRADE)
                self._socket.sendall(frame(1, b"40" + json.dumps({"token": token}).encode()))
                time.sleep(0.2)
                self._socket.sendall(frame(1, b'42["join:leaderboard"]'))
            case _:
                self._ask("/api/v1/scores/stream", token, "")

    def _ask(self, path: str, token: str, more: str) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: drill/1\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        self._socket.sendall(head.encode())
        assert self._socket.recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 200")

    def run(self) -> None:
        with suppress(OSError):
            if self.stops:
                self._read_then_stop()
            else:
                while not self._over.wait(0.1) and self._socket.recv(SLOW_BYTES_PER_S // 10):
                    pass
        if not self._over.is_set():
            self.ended_s = time.monotonic()

    def _read_then_stop(self) -> None:
        until_s = time.monotonic() + READS_S
        while time.monotonic() < until_s:
            assert self._socket.recv(2**18)
        self.stopped_s = time.monotonic()
        end = select.poll()
        end.register(self._socket, select.POLLRDHUP)
        while not self._over.is_set() and not end.poll(100):
            pass

    def close(self) -> None:
        self._over.set()
        self._socket.close()


def test_a_client_that_stops_reading_is_closed_and_a_slow_one_is_not(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    send_all(server.port, submissions(server, [f"leader-{number}" for number in range(LEADERS)] * LEAD))
    seconds = READS_S + CLOSED_S_MAX + 5
    submitter = TimedSubmitter(
        server.port, submissions(server, [f"player-{n % PLAYERS}" for n in range(round(RATE * seconds))]), RATE
    )
    kinds = ("native", "socketio", "sse")
    stopped = [Reader(server, kind, stops=True) for kind in kinds]
    slow = [Reader(server, kind, stops=False) for kind in kinds]
    submitter.start()
    with pauses() as paused:
        for reader in stopped + slow:
            reader.start()
        submitter.join()
        closed_s_max = CLOSED_S_MAX + paused.seconds
    closed_s = {one.kind: None if one.ended_s is None else one.ended_s - one.stopped_s for one in stopped}
    for reader in stopped + slow:
        reader.close()
    print({kind: None if took_s is None else round(took_s, 1) for kind, took_s in closed_s.items()})  # noqa: T201 -- a drill's figures
    assert all(took_s is not None and took_s <= closed_s_max for took_s in closed_s.values()), closed_s
    assert [one.kind for one in slow if one.ended_s is not None] == [], "slow readers stay connected"
