"""The wall clock of a serving machine is set forward and back: only tokens and actions may be affected."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.fake_clock import FakeClock
from tests.journeys.server import ServerProcess
from tests.journeys.test_live import Viewer, watch
from tests.pauses import within
from tests.storage_redis.redis_server import RedisServer

WINDOW_S = 4
HEAD_S_MAX = 10.0
PING_S = 25.0
#: The time for something short on a busy machine. The faults that this drill looks for last at least a minute.
SOON_S = 5.0
#: A step may end an action that was begun before it. No other submission may be refused.
ENDED = {"ACTION_EXPIRED", "ACTION_TOO_EARLY"}


class ServerAtAnyTime(ServerProcess):
    """A server whose clients have tokens that are valid at any time that the clock is set to."""

    _issuing = threading.Lock()  # the patch is for all threads

    def issue_token(self, user_id: str, *, role: str = "user", life_s: int = 3 * 86_400) -> str:
        with self._issuing, pytest.MonkeyPatch.context() as patch:
            true_s = time.time()
            patch.setattr("tests.journeys.server.time.time", lambda: true_s - 3 * 86_400)
            return super().issue_token(user_id, role=role, life_s=life_s + 3 * 86_400)


class Repeated:
    """Calls ``act`` again and again in a thread until the end of the drill."""

    def __init__(self, act: Callable[[], None], pause_s: float = 0.0) -> None:
        self._over = threading.Event()
        self.fault: BaseException | None = None

        def live() -> None:
            try:
                while not self._over.wait(pause_s):
                    act()
            except BaseException as fault:
                self.fault = fault

        self._thread = threading.Thread(target=live, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join(20)
        if self.fault is not None:
            raise self.fault


class Players:
    """Players who submit constantly; records each result with its time by the true clock."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._number = 0
        self.awards_s: list[float] = []
        self.refusals: list[tuple[int, str]] = []

    def play(self) -> None:
        self._number += 1
        answer = self._server.play(f"player-{self._number % 40}")
        if answer.status == 200:
            self.awards_s.append(time.monotonic())
        else:
            self.refusals.append((answer.status, str(answer.body)))


class Listener:
    """A socket in the room of the board; records when it got changes."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.heard_s: list[float] = []

    def on_changes(self) -> None:
        with suppress(TimeoutError):
            if json.loads(self._viewer.socket.recv(timeout=0.5))["event"] in ("score:update", "leaderboard:update"):
                self.heard_s.append(time.monotonic())


class Heartbeats:
    """An Engine.IO client that answers the pings, which come every 25 s."""

    def __init__(self, server: ServerProcess) -> None:
        self._socket = Viewer(f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket").socket
        self._socket.recv(timeout=15)
        self._socket.send("40" + json.dumps({"token": server.issue_token("sio")}))
        self.at_s = [time.monotonic()]

    def on_changes(self) -> None:
        with suppress(TimeoutError):
            if self._socket.recv(timeout=0.5) == "2":
                self._socket.send("3")
                self.at_s.append(time.monotonic())


class SilentClient:
    """A client that connects and sends nothing: the server closes it after 10 s."""

    def __init__(self, server: ServerProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=HEAD_S_MAX + 10)
        self.lived_s = 0.0
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        began_s = time.monotonic()
        with suppress(OSError):
            while self._socket.recv(4096):
                pass
        self.lived_s = time.monotonic() - began_s
        self._socket.close()

    def end(self) -> float:
        self._thread.join()
        return self.lived_s


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    return FakeClock(tmp_path)


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> Iterator[ServerAtAnyTime]:
    """A server on SQLite with its own Redis, so that all of them have the clock that the test sets."""
    redis = RedisServer(environment=clock.environment)
    machine = ServerAtAnyTime(
        tmp_path / "server",
        {
            **clock.environment,
            "REDIS_URL": redis.url,
            "JWT_EXPIRATION": "30d",
            "RATE_LIMIT_WINDOW": str(WINDOW_S),
            "RATE_LIMIT_MAX_REQUESTS": "50",
            "RATE_LIMIT_INITIALIZE_MAX": "1000",
        },
    )
    try:
        machine.start()
        yield machine
    finally:
        machine.kill()
        redis.close()


def fill_the_window(server: ServerProcess, user_id: str) -> None:
    """Submit with invalid signatures until the rate limit refuses the user."""
    forged = {**server.initialize(user_id), "signature": "v1.00000000.W10.AAAA"}
    while server.submit(user_id, forged).status != 429:
        pass


def until_free_s(server: ServerProcess, user_id: str) -> float:
    """The seconds until the user is admitted again; no `Retry-After` on the way may exceed the window."""
    began_s = time.monotonic()
    while (answer := server.play(user_id)).status == 429:
        assert int(answer.headers["retry-after"]) <= WINDOW_S + 1, answer.headers
        assert time.monotonic() - began_s < 3 * WINDOW_S, "still refused"
        time.sleep(0.1)
    return time.monotonic() - began_s


def soon_after(times_s: list[float], moment_s: float, within_s: float = SOON_S) -> float:
    """The first of the times after a given one; it must come within ``within_s``."""
    until = moment_s + within_s
    while time.monotonic() < until:
        later = [one for one in times_s if one > moment_s]
        if later:
            return later[0]
        time.sleep(0.02)
    raise AssertionError(f"nothing for {within_s} s")


def suspend(server: ServerProcess, user_id: str) -> None:
    """Suspend a player; the server must know it within about a second, whatever its clock shows."""
    assert server.get("/api/v1/scores/me", server.issue_token(user_id)).status == 200
    ordered = server.command_line("player", "suspend", user_id, "--reason", "drill", "--operator", "root", "--yes", "--unknown")
    assert (ordered.returncode, ordered.stderr) == (0, "")
    until = time.monotonic() + 4 * SOON_S
    while server.get("/api/v1/scores/me", server.issue_token(user_id)).status != 403:
        assert time.monotonic() < until, "not suspended"
        time.sleep(0.05)


@pytest.mark.parametrize("by_s", [60, 3_600, 86_400])
def test_a_step_of_the_clock_affects_only_tokens_and_actions(clock: FakeClock, server: ServerAtAnyTime, by_s: int) -> None:
    players, listener, heartbeats = Players(server), Listener(watch(server, "viewer")), Heartbeats(server)
    going_on = [Repeated(players.play, 0.2), Repeated(listener.on_changes), Repeated(heartbeats.on_changes)]
    silent: list[SilentClient] = []
    for number, step_s in enumerate((+by_s, -by_s, -by_s, +by_s)):
        silent.append(SilentClient(server))
        fill_the_window(server, f"greedy-{number}")
        time.sleep(0.5)
        clock.step(step_s)
        stepped_s = time.monotonic()
        awarded_s = soon_after(players.awards_s, stepped_s)
        soon_after(listener.heard_s, awarded_s)
        assert until_free_s(server, f"greedy-{number}") <= WINDOW_S + SOON_S / 2, f"after a step of {step_s} s"
        suspend(server, f"suspect-{number}")
        soon_after(players.awards_s, time.monotonic())
        soon_after(listener.heard_s, time.monotonic())
    lives_s = [one.end() for one in silent]
    assert all(HEAD_S_MAX - 1 <= one <= HEAD_S_MAX + SOON_S for one in lives_s), lives_s
    soon_after(heartbeats.at_s, max(heartbeats.at_s[0] + PING_S, stepped_s) - 1, PING_S + SOON_S)
    for one in going_on:
        one.end()
    gaps_s = [later - earlier for earlier, later in zip(heartbeats.at_s, heartbeats.at_s[1:], strict=False)]
    assert all(PING_S - SOON_S < gap_s < PING_S + SOON_S for gap_s in gaps_s), gaps_s
    pauses_s = [later - earlier for earlier, later in zip(players.awards_s, players.awards_s[1:], strict=False)]
    assert max(pauses_s) < SOON_S, "awards go on all the time"
    assert [text for _, text in players.refusals if not any(reason in text for reason in ENDED)] == []
    assert len(players.refusals) <= 4, "each step refuses at most the one action that was begun before it"
    assert server.get("/readyz").status == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_tokens_end_by_the_wall_clock(clock: FakeClock, server: ServerAtAnyTime) -> None:
    viewer = watch(server, "viewer")
    clock.step(4 * 86_400)
    began_s = time.monotonic()
    closed: Any = None
    with within(3):
        try:
            while time.monotonic() - began_s < 20:
                viewer.socket.recv(timeout=20)
        except ConnectionClosed as fault:
            closed = fault
        assert closed is not None, "the token ended, so the socket must be closed"
    assert server.get("/api/v1/scores/me", server.issue_token("amy")).status == 401
    clock.step(-4 * 86_400)
    assert server.get("/api/v1/scores/me", server.issue_token("amy")).status == 200
