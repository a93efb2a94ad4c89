"""Load generator: submissions at a steady rate, whatever the answers, over a few keep-alive connections."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from tests.journeys.server import ServerProcess

CONNECTIONS = 16
ACTION = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}


class KeepAliveConnection:
    """One keep-alive connection: it sends requests as bytes and reads the answers in order."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def answer(self) -> tuple[int, bytes]:
        """(status, body) of the answer to the oldest open request."""
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        fields = dict(text_line.lower().split(b": ", 1) for text_line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        while len(self._data) < size:
            self._receive()
        body, self._data = self._data[:size], self._data[size:]
        return int(head.split(b" ", 2)[1]), body

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the server closed a keep-alive connection")
        self._data += data


def request_of(path: str, token: str, body: dict[str, Any]) -> bytes:
    """The bytes of a POST request."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: journey/1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def send_all(port: int, requests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Send all requests as fast as the answers come; returns the answers in the same order."""
    connections = [KeepAliveConnection(port) for _ in range(min(CONNECTIONS, len(requests)))]
    answers = []
    for start in range(0, len(requests), CONNECTIONS):
        step = requests[start : start + CONNECTIONS]
        for one, request in zip(connections, step, strict=False):
            one.send(request)
        answers += [one.answer() for one, _ in zip(connections, step, strict=False)]
    for one in connections:
        one.close()
    return answers


def submissions(server: ServerProcess, players: Sequence[str]) -> list[bytes]:
    """The bytes of one submission for each player; a player may occur several times. The actions are initialized here."""
    tokens = {player: server.issue_token(player) for player in players}
    begun = send_all(server.port, [request_of("/api/v1/actions/initialize", tokens[player], ACTION) for player in players])
    ready = []
    for player, (status, body) in zip(players, begun, strict=True):
        assert status == 200, body
        data = json.loads(body)["data"]
        grant = {name: data[name] for name in ("actionId", "timestamp", "signature")}
        ready.append(request_of("/api/v1/scores/submit", tokens[player], {**ACTION, **grant}))
    return ready


class Submitter(threading.Thread):
    """Sends one request every 1/rate seconds. ``statuses`` and ``took_s`` are complete when the thread has ended."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        super().__init__(daemon=True)
        self._port, self._requests, self._rate = port, requests, rate
        self.statuses: Counter[int] = Counter()
        self.took_s = 0.0

    def run(self) -> None:
        connections = [KeepAliveConnection(self._port) for _ in range(CONNECTIONS)]
        began_s = time.monotonic()
        for number, request in enumerate(self._requests):
            time.sleep(max(0.0, began_s + number / self._rate - time.monotonic()))
            one = connections[number % CONNECTIONS]
            if number >= CONNECTIONS:
                self.statuses[one.answer()[0]] += 1
            one.send(request)
        for one, _ in zip(connections, self._requests, strict=False):
            self.statuses[one.answer()[0]] += 1
        self.took_s = time.monotonic() - began_s
        for one in connections:
            one.close()


class TimedSubmitter(threading.Thread):
    """As Submitter, but reads each answer at once. ``took_us`` counts the answers by their time in microseconds."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float) -> None:
        super().__init__(daemon=True)
        self._port, self._requests, self._rate = port, requests, rate
        self.statuses: Counter[int] = Counter()
        self.took_us: Counter[int] = Counter()
        self.took_s = 0.0

    def run(self) -> None:
        self._free = deque(KeepAliveConnection(self._port) for _ in range(CONNECTIONS))
        self._sent: dict[int, tuple[KeepAliveConnection, float]] = {}
        self._poll = select.poll()
        began_s = time.monotonic()
        for number, request in enumerate(self._requests):
            self._read_until(began_s + number / self._rate)
            while not self._free:
                self._read_until(time.monotonic() + 0.001)
            one = self._free.popleft()  # the one that is unused for longest, because the server closes idle connections
            self._sent[one.fileno()] = one, time.monotonic()
            self._poll.register(one.fileno(), select.POLLIN)
            one.send(request)
        while self._sent:
            self._read_until(time.monotonic() + 0.001)
        self.took_s = time.monotonic() - began_s
        for one in self._free:
            one.close()

    def _read_until(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(left_s * 1000):
                one, sent_s = self._sent.pop(fd)
                self.statuses[one.answer()[0]] += 1
                self.took_us[round((time.monotonic() - sent_s) * 1e6)] += 1
                self._poll.unregister(fd)
                self._free.append(one)
