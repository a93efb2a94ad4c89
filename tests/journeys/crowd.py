"""A crowd: thousands of native viewers on raw sockets in one epoll loop, in a process of its own.

Python cannot understand what thousands of sockets are sent each tick, so one viewer in ``measured_every`` looks for the times of
the awards in what it reads, and the others only read (and answer pings). *Stale* is how long it took from an award's time, on the
machine's one wall clock, until a viewer had read of it: what this process is late itself counts, too.
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

from tests.realtime.fake_transport import frame

JOIN = frame(1, b'{"event":"join:leaderboard","id":1}')
PING, PONG = b"\x89\x00", frame(10)
#: How long a crowd lives at most, whatever becomes of whoever gathered it.
LIFE_S_MAX = 600.0
#: The documented way of coming back (docs/protocol-live.md).
FIRST_WAIT_S, LAST_WAIT_S = (0.5, 1.5), 30.0
_AWARDED = re.compile(rb'"previousRank":[^,]*,"timestamp":"([^"]{24})"')
_READ_BYTES = 1 << 18
_OVER = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who comes where. The first ``deaf`` may be told to stop reading; their receive buffer is the kernel's own if it is 0."""

    port: int
    token: str
    viewers: int
    deaf: int = 0
    deaf_receive_bytes: int = 0
    measured_every: int = 10
    at_once_max: int = 200


@dataclass(kw_only=True)
class Report:
    """How the crowd is, and what it noticed since the last mark. Times in seconds from the last order to stall or to return."""

    inside: int = 0
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
    """Where a viewer is."""

    AWAY = auto()
    CONNECTING = auto()
    SHAKING = auto()
    JOINING = auto()
    INSIDE = auto()
    DEAF = auto()


class Viewer:
    """One client and its socket."""

    __slots__ = ("cursor", "data", "measured", "number", "received", "socket", "stage", "wait_s")

    def __init__(self, number: int, measured: bool) -> None:
        self.number, self.measured = number, measured
        self.stage = Stage.AWAY
        self.socket: socket.socket | None = None
        self.data = b""
        self.cursor = (0, 0)
        self.received = False
        self.wait_s = random.uniform(*FIRST_WAIT_S)


class Crowd:
    """All viewers and their one loop."""

    def __init__(self, plan: Plan, commands: Connection) -> None:
        self.plan, self.commands = plan, commands
        self.viewers = [Viewer(number, number % plan.measured_every == 0) for number in range(plan.viewers)]
        self.by_fd: dict[int, Viewer] = {}
        self.arriving = 0
        self.at_once_max = plan.at_once_max
        self.due: list[tuple[float, int, Viewer]] = [(0.0, viewer.number, viewer) for viewer in self.viewers]
        self.step = itertools.count(plan.viewers)
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
        """Until told to go, or nobody is there any more to tell."""
        gc.disable()
        until_s = time.monotonic() + LIFE_S_MAX
        self.epoll.register(self.commands.fileno(), select.EPOLLIN)
        while time.monotonic() < until_s:
            self._arrive()
            for fd, events in self.epoll.poll(0.05, 4_096):
                if fd == self.commands.fileno():
                    if not self._obey():
                        return
                elif fd in self.by_fd:
                    self._serve(self.by_fd[fd], events)

    # Orders

    def _obey(self) -> bool:
        try:
            order, value = self.commands.recv()
        except EOFError:
            return False
        match order:
            case "report":
                self.report.inside = sum(viewer.stage is Stage.INSIDE for viewer in self.viewers)
                self.report.received = sum(viewer.received for viewer in self.viewers)
                self.report.cpu_s = time.process_time()
                self.commands.send(self.report)
            case "mark":
                self.report = Report()
            case "stall":
                self.began_s = time.monotonic()
                for viewer in self.viewers[:value]:
                    self._turn_deaf(viewer)
            case "listen":
                self.needle = value
                for viewer in self.viewers:
                    viewer.received = False
            case "return":
                self.began_s, self.returns, self.at_once_max = time.monotonic(), True, len(self.viewers)
                self.due = [(0.0, viewer.number, viewer) for viewer in self.viewers if viewer.stage is Stage.AWAY]
        return bool(order != "go")

    def _turn_deaf(self, viewer: Viewer) -> None:
        if viewer.socket is not None and viewer.stage is Stage.INSIDE:
            viewer.stage = Stage.DEAF
            self.epoll.modify(viewer.socket, 0)  # it hears of the end only

    # Coming and going

    def _arrive(self) -> None:
        now_s = time.monotonic()
        while self.due and self.due[0][0] <= now_s and self.arriving < self.at_once_max:
            viewer = heapq.heappop(self.due)[2]
            one = socket.socket()
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if viewer.number < self.plan.deaf and self.plan.deaf_receive_bytes:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.plan.deaf_receive_bytes)
            one.connect_ex(("127.0.0.1", self.plan.port))
            viewer.socket, viewer.stage, viewer.data = one, Stage.CONNECTING, b""
            self.by_fd[one.fileno()] = viewer
            self.epoll.register(one, select.EPOLLOUT)
            self.arriving += 1

    def _leave(self, viewer: Viewer, why: str, wait_s: float = 0.0) -> None:
        """Its connection is over. Who was on the way in tries again, who was inside waits for the order to return."""
        assert viewer.socket is not None
        del self.by_fd[viewer.socket.fileno()]
        self.epoll.unregister(viewer.socket)
        viewer.socket.close()
        stage, viewer.socket, viewer.stage = viewer.stage, None, Stage.AWAY
        if stage is Stage.DEAF:
            self.report.ended_s.append(time.monotonic() - self.began_s)
        elif stage is Stage.INSIDE:
            self.report.lost += 1
        else:
            self.arriving -= 1
            self.report.refusals[why] += 1
            pause_s = max(wait_s, viewer.wait_s) * random.uniform(1, 1.5)
            viewer.wait_s = min(2 * viewer.wait_s, LAST_WAIT_S)
            heapq.heappush(self.due, (time.monotonic() + pause_s, next(self.step), viewer))

    # What comes

    def _serve(self, viewer: Viewer, events: int) -> None:
        assert viewer.socket is not None
        if viewer.stage is Stage.CONNECTING:
            error = viewer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._leave(viewer, os.strerror(error))
                return
            viewer.stage = Stage.SHAKING
            self.epoll.modify(viewer.socket, select.EPOLLIN)
            self._say(viewer, self.request)
            return
        if viewer.stage is Stage.DEAF:
            if events & _OVER:
                self._leave(viewer, "stalled")
            return
        try:
            size = viewer.socket.recv_into(self.buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._leave(viewer, error.strerror or "lost")
            return
        if not size:
            self._leave(viewer, "closed")
        elif viewer.stage is Stage.INSIDE:
            self._read(viewer, size)
        else:
            viewer.data += self.buffer[:size]
            if viewer.stage is Stage.SHAKING:
                self._shake(viewer)
            if viewer.stage is Stage.JOINING:
                self._join(viewer)

    def _say(self, viewer: Viewer, data: bytes) -> None:
        """Few bytes, which always fit. If the connection is gone, the next read says so."""
        assert viewer.socket is not None
        with suppress(OSError):
            viewer.socket.send(data)

    def _shake(self, viewer: Viewer) -> None:
        head, end, rest = viewer.data.partition(b"\r\n\r\n")
        if not end:
            return
        status = head.split(b" ", 2)[1].decode()
        if status == "101":
            self._say(viewer, JOIN)
            viewer.stage, viewer.data = Stage.JOINING, rest
        else:
            wait = re.search(rb"(?i)\r\nretry-after: *(\d+)", head)
            self._leave(viewer, status, float(wait[1]) if wait else 0.0)

    def _join(self, viewer: Viewer) -> None:
        for payload in _texts(viewer.data):
            if b'"leaderboard:update"' in payload:
                board = json.loads(payload)["data"]["data"]
                rows = [(row["userId"], row["score"]) for row in board["leaderboard"]]
                cursor = (board["epoch"], board["seq"])
                self.report.boards[json.dumps(rows)] += 1
                self.report.went_back += cursor < viewer.cursor
                viewer.stage, viewer.data, viewer.cursor = Stage.INSIDE, b"", cursor
                self.arriving -= 1
                if self.returns:
                    self.report.back_s.append(time.monotonic() - self.began_s)
                return

    def _read(self, viewer: Viewer, size: int) -> None:
        if self.buffer.find(PING, 0, size) >= 0:
            self._say(viewer, PONG)
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
    """The whole messages in this, as the server frames them: never masked, never in pieces."""
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


# From outside


class Gathered:
    """A crowd, as whoever gathered it speaks to it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        context = multiprocessing.get_context("spawn")
        self._commands, theirs = context.Pipe()
        self._process = context.Process(target=_gather, args=(plan, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def order(self, order: str, value: Any = None) -> None:
        """``mark``, ``stall`` (how many), ``listen`` (for which bytes), ``return`` or ``go``."""
        self._commands.send((order, value))

    def report(self) -> Report:
        """How it is."""
        self.order("report")
        report = self._commands.recv()
        assert isinstance(report, Report)
        return report

    def wait_inside(self, viewers: int, seconds: float) -> Report:
        """Until so many are inside, or the time is up."""
        until_s = time.monotonic() + seconds
        while (report := self.report()).inside < viewers and time.monotonic() < until_s:
            time.sleep(0.05)
        return report

    def go(self) -> None:
        """All away."""
        with suppress(OSError):
            self.order("go")
        self._process.join(10)


@contextmanager
def crowd(plan: Plan) -> Iterator[Gathered]:
    """A crowd that goes away in the end."""
    gathered = Gathered(plan)
    try:
        yield gathered
    finally:
        gathered.go()


def _gather(plan: Plan, commands: Connection) -> None:
    Crowd(plan, commands).run()
