"""Load generator: thousands of native viewers on raw sockets in one epoll loop, in a process of its own.

Python cannot parse all that thousands of sockets receive each tick. So one viewer in ``measured_every`` searches its data for the
times of awards; the others only read and answer pings. *Staleness* is the time from an award until a viewer has read it, by the
wall clock of the machine; a delay of this process counts, too.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import json
import multiprocessing
import os
import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

from cli.retry_wait import retry_wait_s
from tests.realtime.fake_transport import frame

JOIN = frame(1, b'{"event":"join:leaderboard","id":1}')
PING, PONG = b"\x89\x00", frame(10)
#: The process ends after this time at the latest, also if its parent has ended.
LIFE_S_MAX = 600.0
#: The documented waits before a reconnect (docs/protocol-live.md).
_AWARDED = re.compile(rb'"previousRank":[^,]*,"timestamp":"([^"]{24})"')
_READ_BYTES = 1 << 18
_OVER = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many viewers connect where. ``stall`` stops the first ``stalling``; 0 bytes mean the kernel's default."""

    port: int
    token: str
    viewers: int
    stalling: int = 0
    stalling_receive_bytes: int = 0
    measured_every: int = 10
    at_once_max: int = 200


@dataclass(kw_only=True)
class Report:
    """What the viewers noticed since the last ``mark``. Times are seconds since the last ``stall`` or ``return``."""

    joined: int = 0
    stale_ms: Counter[int] = field(default_factory=Counter)
    ended_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    lost: int = 0
    went_back: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    boards: Counter[str] = field(default_factory=Counter)
    received: int = 0
    cpu_s: float = 0.0


class Stage(Enum):
    """The state of a viewer's connection."""

    DISCONNECTED = auto()
    CONNECTING = auto()
    HANDSHAKE = auto()
    JOINING = auto()
    JOINED = auto()
    STALLED = auto()


class Viewer:
    """One client with its socket."""

    __slots__ = ("cursor", "data", "failures", "measured", "number", "received", "socket", "stage")

    def __init__(self, number: int, measured: bool) -> None:
        self.number, self.measured = number, measured
        self.stage = Stage.DISCONNECTED
        self.socket: socket.socket | None = None
        self.data = b""
        self.cursor = (0, 0)
        self.received = False
        self.failures = 0


class ViewerLoop:
    """All viewers and their event loop."""

    def __init__(self, plan: Plan, commands: Connection) -> None:
        self.plan, self.commands = plan, commands
        self.viewers = [Viewer(number, number % plan.measured_every == 0) for number in range(plan.viewers)]
        self.by_fd: dict[int, Viewer] = {}
        self.connecting = 0
        self.at_once_max = plan.at_once_max
        self.due: list[tuple[float, int, Viewer]] = [(0.0, viewer.number, viewer) for viewer in self.viewers]
        self.tie_breaker = itertools.count(plan.viewers)
        self.epoll = select.epoll()
        self.report = Report()
        self.began_s = time.monotonic()
        self.needle = b""
        self.buffer = bytearray(_READ_BYTES)
        self.returns = False
        self.request = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\nAuthorization: Bearer {plan.token}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    def run(self) -> None:
        """Run until the command ``end``, the end of the parent process, or the time limit."""
        gc.disable()
        until_s = time.monotonic() + LIFE_S_MAX
        self.epoll.register(self.commands.fileno(), select.EPOLLIN)
        while time.monotonic() < until_s:
            self._connect_due()
            for fd, events in self.epoll.poll(0.05, 4_096):
                if fd == self.commands.fileno():
                    if not self._run_command():
                        return
                elif fd in self.by_fd:
                    self._handle(self.by_fd[fd], events)

    # Commands

    def _run_command(self) -> bool:
        try:
            name, value = self.commands.recv()
        except EOFError:
            return False
        match name:
            case "report":
                self.report.joined = sum(viewer.stage is Stage.JOINED for viewer in self.viewers)
                self.report.received = sum(viewer.received for viewer in self.viewers)
                self.report.cpu_s = time.process_time()
                self.commands.send(self.report)
            case "mark":
                self.report = Report()
            case "stall":
                self.began_s = time.monotonic()
                for viewer in self.viewers[:value]:
                    self._stall(viewer)
            case "listen":
                self.needle = value
                for viewer in self.viewers:
                    viewer.received = False
            case "return":
                self.began_s, self.returns, self.at_once_max = time.monotonic(), True, len(self.viewers)
                self.due = [(0.0, viewer.number, viewer) for viewer in self.viewers if viewer.stage is Stage.DISCONNECTED]
        return bool(name != "end")

    def _stall(self, viewer: Viewer) -> None:
        if viewer.socket is not None and viewer.stage is Stage.JOINED:
            viewer.stage = Stage.STALLED
            self.epoll.modify(viewer.socket, 0)  # only errors and the end of the connection are reported

    # Connect and disconnect

    def _connect_due(self) -> None:
        now_s = time.monotonic()
        while self.due and self.due[0][0] <= now_s and self.connecting < self.at_once_max:
            viewer = heapq.heappop(self.due)[2]
            one = socket.socket()
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if viewer.number < self.plan.stalling and self.plan.stalling_receive_bytes:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.plan.stalling_receive_bytes)
            one.connect_ex(("127.0.0.1", self.plan.port))
            viewer.socket, viewer.stage, viewer.data = one, Stage.CONNECTING, b""
            self.by_fd[one.fileno()] = viewer
            self.epoll.register(one, select.EPOLLOUT)
            self.connecting += 1

    def _disconnect(self, viewer: Viewer, why: str, retry_after: str | None = None) -> None:
        """The connection has ended. A viewer that had not joined yet tries again; one that had joined waits for ``return``."""
        assert viewer.socket is not None
        del self.by_fd[viewer.socket.fileno()]
        self.epoll.unregister(viewer.socket)
        viewer.socket.close()
        stage, viewer.socket, viewer.stage = viewer.stage, None, Stage.DISCONNECTED
        if stage is Stage.STALLED:
            self.report.ended_s.append(time.monotonic() - self.began_s)
        elif stage is Stage.JOINED:
            self.report.lost += 1
        else:
            self.connecting -= 1
            self.report.refusals[why] += 1
            pause_s = retry_wait_s(retry_after, viewer.failures, now_s=time.time(), random=random.random())
            viewer.failures += 1
            heapq.heappush(self.due, (time.monotonic() + pause_s, next(self.tie_breaker), viewer))

    # Received data

    def _handle(self, viewer: Viewer, events: int) -> None:
        assert viewer.socket is not None
        if viewer.stage is Stage.CONNECTING:
            error = viewer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._disconnect(viewer, os.strerror(error))
                return
            viewer.stage = Stage.HANDSHAKE
            self.epoll.modify(viewer.socket, select.EPOLLIN)
            self._send(viewer, self.request)
            return
        if viewer.stage is Stage.STALLED:
            if events & _OVER:
                self._disconnect(viewer, "stalled")
            return
        try:
            size = viewer.socket.recv_into(self.buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._disconnect(viewer, error.strerror or "lost")
            return
        if not size:
            self._disconnect(viewer, "closed")
        elif viewer.stage is Stage.JOINED:
            self._read(viewer, size)
        else:
            viewer.data += self.buffer[:size]
            if viewer.stage is Stage.HANDSHAKE:
                self._finish_handshake(viewer)
            if viewer.stage is Stage.JOINING:
                self._join(viewer)

    def _send(self, viewer: Viewer, data: bytes) -> None:
        """Send a few bytes, which always fit. If the connection is lost, the next read reports it."""
        assert viewer.socket is not None
        with suppress(OSError):
            viewer.socket.send(data)

    def _finish_handshake(self, viewer: Viewer) -> None:
        head, end, rest = viewer.data.partition(b"\r\n\r\n")
        if not end:
            return
        status = head.split(b" ", 2)[1].decode()
        if status == "101":
            self._send(viewer, JOIN)
            viewer.stage, viewer.data = Stage.JOINING, rest
        else:
            found = re.search(r"(?i)\r\nretry-after:([^\r]*)", head.decode("latin-1"))
            self._disconnect(viewer, status, found[1] if found else None)

    def _join(self, viewer: Viewer) -> None:
        for payload in _texts(viewer.data):
            if b'"leaderboard:update"' in payload:
                board = json.loads(payload)["data"]["data"]
                rows = [(row["userId"], row["score"]) for row in board["leaderboard"]]
                cursor = (board["epoch"], board["seq"])
                self.report.boards[json.dumps(rows)] += 1
                self.report.went_back += cursor < viewer.cursor
                viewer.stage, viewer.data, viewer.cursor = Stage.JOINED, b"", cursor
                self.connecting -= 1
                if self.returns:
                    self.report.back_s.append(time.monotonic() - self.began_s)
                return

    def _read(self, viewer: Viewer, size: int) -> None:
        if self.buffer.find(PING, 0, size) >= 0:
            self._send(viewer, PONG)
        if self.needle and self.buffer.find(self.needle, 0, size) >= 0:
            viewer.received = True
        if viewer.measured:
            now_ms = time.time_ns() // 1_000_000
            viewer.data += self.buffer[:size]
            at = 0
            for found in _AWARDED.finditer(viewer.data):
                self.report.stale_ms[now_ms - _ms(found[1])] += 1
                at = found.end()
            viewer.data = viewer.data[max(at, len(viewer.data) - 512) :]


def _texts(data: bytes) -> Iterator[bytes]:
    """The complete messages in the data. The server's frames are never masked and never fragmented."""
    at = 0
    while len(data) >= at + 4:
        size, at = data[at + 1], at + 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        if len(data) < at + size:
            return
        yield data[at : at + size]
        at += size


@lru_cache(maxsize=4_096)
def _ms(time_value: bytes) -> int:
    return round(datetime.fromisoformat(time_value.decode()).timestamp() * 1000)


# The side of the test


class ViewerProcess:
    """The test's handle of a process with viewers."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        context = multiprocessing.get_context("spawn")
        self._commands, child_end = context.Pipe()
        self._process = context.Process(target=_run_viewers, args=(plan, child_end), daemon=True)
        self._process.start()
        child_end.close()

    def command(self, name: str, value: Any = None) -> None:
        """Send ``mark``, ``stall`` (how many), ``listen`` (for which bytes), ``return`` or ``end``."""
        self._commands.send((name, value))

    def report(self) -> Report:
        """The current report."""
        self.command("report")
        report = self._commands.recv()
        assert isinstance(report, Report)
        return report

    def wait_joined(self, viewers: int, seconds: float) -> Report:
        """Wait until so many viewers have joined, or the time is up."""
        until_s = time.monotonic() + seconds
        while (report := self.report()).joined < viewers and time.monotonic() < until_s:
            time.sleep(0.05)
        return report

    def end(self) -> None:
        """Disconnect all viewers and end the process."""
        with suppress(OSError):
            self.command("end")
        self._process.join(10)


@contextmanager
def viewer_process(plan: Plan) -> Iterator[ViewerProcess]:
    """A process with viewers, which ends with the block."""
    viewers = ViewerProcess(plan)
    try:
        yield viewers
    finally:
        viewers.end()


def _run_viewers(plan: Plan, commands: Connection) -> None:
    ViewerLoop(plan, commands).run()
