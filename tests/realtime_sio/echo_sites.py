"""Echo servers of their own process, and clients of other projects that speak to them."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.journeys.server import ROOT

#: Both loopback addresses are tested.
HOST_AND_PATH = {"eio": ("127.0.0.1", "/engine.io/"), "sio": ("::1", "/socket.io/")}


@contextmanager
def echo_server(profile: str, times_ms: tuple[int, ...] = ()) -> Iterator[int]:
    """An echo server, by default with the times that the official suites need."""
    command = [sys.executable, "-m", "tests.fixtures.echo_server", "--profile", profile, "--port", "0"]
    command += ["--times", *map(str, times_ms)] if times_ms else []
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        listening = server.stdout.readline()
        assert listening.startswith("listening")
        yield int(listening.split()[-1])
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def site_of(profile: str, *times_ms: int) -> Iterator[Site]:
    """A site of an echo server of its own."""
    host, path = HOST_AND_PATH[profile]
    with echo_server(profile, times_ms) as port:
        yield Site(host, port, path)


class Site:
    """Where an echo server listens, and how a client speaks to it."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.host, self.port, self.path = host, port, path

    def ask(self, method: str, query: str, body: str | bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=15)
        try:
            connection.request(method, f"{self.path}?{query}", body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def poll(self, sid: str) -> tuple[int, str]:
        return self.ask("GET", f"EIO=4&transport=polling&sid={sid}")

    def push(self, sid: str, body: str | bytes) -> tuple[int, str]:
        return self.ask("POST", f"EIO=4&transport=polling&sid={sid}", body)

    def hang(self, sid: str) -> socket.socket:
        """Send a GET that waits."""
        waiting = socket.create_connection((self.host, self.port), timeout=15)
        waiting.sendall(f"GET {self.path}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.02)  # no test relies on it: of two requests the server reads the older one first
        return waiting

    def open(self) -> str:
        status, text = self.ask("GET", "EIO=4&transport=polling")
        assert status == 200
        return str(json.loads(text[1:])["sid"])

    def socket(self, query: str = "EIO=4&transport=websocket") -> ClientConnection:
        host = f"[{self.host}]" if ":" in self.host else self.host
        url = f"ws://{host}:{self.port}{self.path}?{query}"
        opened: ClientConnection = ExitStack().enter_context(connect(url, open_timeout=15, compression=None, max_size=None))
        return opened

    def engine(self) -> ClientConnection:
        opened = self.socket()
        hello = opened.recv(15)
        assert isinstance(hello, str)
        assert hello[0] == "0"
        return opened

    def connected(self, namespace: str = "") -> ClientConnection:
        opened = self.engine()
        opened.send("40" + namespace)
        assert str(receive(opened)).startswith("40")
        assert '["auth",{}]' in str(receive(opened))
        return opened


def receive(opened: ClientConnection) -> str | bytes:
    """Return the next message that is not a ping. Pings are answered."""
    while True:
        message = opened.recv(15)
        if message != "2":
            return message
        opened.send("3")


def closes(opened: ClientConnection, seconds: float = 15.0) -> bool:
    """Whether the server closes within the time, after any messages."""
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            opened.recv(until - time.monotonic())
    except ConnectionClosed:
        return True
    except TimeoutError:
        pass
    return False


def body_of(waiting: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or not data.partition(b"\r\n\r\n")[2]:
        more = waiting.recv(65_536)
        if not more:
            break
        data += more
    return data.partition(b"\r\n\r\n")[2]
