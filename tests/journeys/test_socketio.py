"""Independent Socket.IO clients watch a live board: python-socketio, and socket.io-client."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped]  # it ships no types

from tests.journeys.server import ServerProcess
from tests.programs import node_modules, program

EVENTS = (
    *("leaderboard:update", "leaderboard:rows", "score:update", "rank:achieved", "achievement:unlocked", "player:action"),
    *("auth:expiring", "account:suspended", "error"),
)
NODE = Path(__file__).with_name("node")


class EventRecorder:
    """The events of a client in order, as (name, value). ``pid`` is the process of a client that is not in ours."""

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid
        self.received: list[tuple[str, Any]] = []
        self._new: queue.Queue[tuple[str, Any]] = queue.Queue()

    def put(self, name: str, value: Any) -> None:
        self._new.put((name, value))

    def wait(self, *names: str, where: Callable[[Any], bool] = lambda value: True, seconds: float = 15.0) -> Any:
        """The value of the next event that fits; ``received`` keeps all events before it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                received = self._new.get(timeout=left)
            except queue.Empty:
                break
            self.received.append(received)
            if received[0] in names and where(received[1]):
                return received[1]
        raise AssertionError(f"no event {' or '.join(names)}: {self.received}")

    def cursors(self) -> list[tuple[int, int]]:
        answered = [value["data"] for name, value in self.received if name in ("leaderboard:update", "score:update")]
        return [(data["epoch"], data["seq"]) for data in answered]


@pytest.fixture(params=["PORT", "WEBSOCKET_PORT"])
def url(request: pytest.FixtureRequest, live_server: ServerProcess) -> str:
    port = live_server.port if request.param == "PORT" else live_server.websocket_port
    return f"http://127.0.0.1:{port}"


def leads(player: str) -> Callable[[Any], bool]:
    return lambda answered: player in {row["userId"] for row in answered["data"]["leaderboard"]}


def sees_a_score(server: ServerProcess, recorder: EventRecorder, player: str) -> None:
    """Assert that a client gets the player's score: as a new top, or as a move below the top."""
    receipt = server.play(player).body["data"]
    if receipt["currentRank"] <= 10:
        recorder.wait("leaderboard:update", where=leads(player))
    else:
        recorder.wait("score:update", where=lambda answered: answered["data"]["userId"] == player)
    assert recorder.cursors() == sorted(recorder.cursors())


# python-socketio


@contextmanager
def python_client(url: str, token: str, transports: list[str]) -> Iterator[tuple[socketio.Client, EventRecorder]]:
    client, recorder = socketio.Client(reconnection=False), EventRecorder()
    for event in (*EVENTS, "disconnect", "connect_error"):
        client.on(event, lambda *args, event=event: recorder.put(event, args[0] if args else None))
    client.connect(url, auth={"token": token}, transports=transports, wait_timeout=15)
    try:
        yield client, recorder
    finally:
        client.disconnect()


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids="+".join)
def test_python_socketio_watches(live_server: ServerProcess, url: str, transports: list[str]) -> None:
    with python_client(url, live_server.issue_token("viewer"), transports) as (client, recorder):
        assert client.transport() == transports[-1]
        assert set(client.call("join:leaderboard", timeout=15)) == {"epoch", "seq"}
        recorder.wait("leaderboard:update")
        sees_a_score(live_server, recorder, f"python-{'-'.join(transports)}-{len(url)}")
        client.emit("nonsense")
        assert recorder.wait("error")["error"] == "MALFORMED_REQUEST"
        assert client.call("leave:leaderboard", timeout=15) == {}


def test_python_socketio_gets_the_players_own_rank_without_joining(live_server: ServerProcess) -> None:
    with python_client(live_server.url, live_server.issue_token("sio-amy"), ["websocket"]) as (_, recorder):
        live_server.play("sio-amy")
        answered = recorder.wait("score:update", where=lambda answered: answered["data"]["userId"] == "sio-amy")
        assert answered["type"] == "SCORE_CHANGED"


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="+".join)
def test_python_socketio_spectates_follows_a_view_and_gets_unlocks(
    live_server: ServerProcess, url: str, transports: list[str]
) -> None:
    player = f"watched-{'-'.join(transports)}-{url.rpartition(':')[2]}"
    with (
        python_client(url, live_server.issue_token("viewer"), transports) as (viewer, seen),
        python_client(url, live_server.issue_token(player, life_s=29), transports) as (watched, own),
    ):
        own.wait("auth:expiring")
        watched.call("auth:refresh", {"token": live_server.issue_token(player)}, timeout=15)  # the rest may take long
        assert viewer.call("spectate:user", player, timeout=15) == {"userId": player}
        assert viewer.call("join:leaderboard", {"view": {"limit": 100}}, timeout=15)["view"] == {"offset": 0, "limit": 100}
        seen.wait("leaderboard:update", where=lambda answered: answered["data"]["view"]["limit"] == 100)
        live_server.play(player)
        award = seen.wait("player:action")["data"]
        assert (award["userId"], award["actionType"], award["scoreAwarded"]) == (player, "COMPLETE_QUEST", 100)
        entered = {"op": "enter", "userId": player, "score": 100}

        def enters(rows: Any) -> bool:
            return any(entered.items() <= op.items() for op in rows["data"]["ops"])

        if not any(enters(rows) for name, rows in seen.received if name == "leaderboard:rows"):
            seen.wait("leaderboard:rows", where=enters)
        assert own.wait("achievement:unlocked")["milestone"] == 100
        live_server.command_line("player", "suspend", player, "--reason", "cheated", "--operator", "tests", "--yes")
        own.wait("account:suspended")
        own.wait("disconnect")


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="+".join)
def test_python_socketio_gets_an_error_for_an_invalid_token(live_server: ServerProcess, transports: list[str]) -> None:
    client, recorder = socketio.Client(reconnection=False), EventRecorder()
    client.on("connect_error", lambda answered: recorder.put("connect_error", answered))
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(live_server.url, auth={"token": "not-a-token"}, transports=transports)
    assert "Authentication failed" in str(recorder.wait("connect_error"))


def test_a_client_is_disconnected_when_its_token_ends(live_server: ServerProcess) -> None:
    with python_client(live_server.url, live_server.issue_token("brief", life_s=15), ["polling"]) as (_, recorder):
        recorder.wait("disconnect", seconds=40)


def test_a_stopping_server_ends_polls_at_once(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    with python_client(server.url, server.issue_token("viewer"), ["polling"]) as (client, recorder):
        client.call("join:leaderboard", timeout=15)
        began_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_s < 8
        recorder.wait("disconnect")
    assert "Traceback" not in server.log


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="+".join)
def test_python_socketio_connects_again_by_itself_after_a_restart(
    new_server: Callable[..., ServerProcess], transports: list[str]
) -> None:
    server = new_server().start()
    server.play("amy")
    client, recorder = socketio.Client(reconnection_delay=0.3, reconnection_delay_max=1), EventRecorder()
    for event in ("leaderboard:update", "disconnect"):
        client.on(event, lambda *args, event=event: recorder.put(event, args[0]))
    client.on("connect", lambda: client.emit("join:leaderboard"))
    client.connect(server.url, auth={"token": server.issue_token("viewer")}, transports=transports, wait_timeout=15)
    try:
        recorder.wait("leaderboard:update", where=leads("amy"))
        assert server.stop() == 0
        assert recorder.wait("disconnect") == "transport error", "after a server disconnect it stays away"
        server.start()
        recorder.wait("leaderboard:update", where=leads("amy"), seconds=15)
        server.play("bob")
        recorder.wait("leaderboard:update", where=leads("bob"))
    finally:
        client.disconnect()


# socket.io-client


@pytest.fixture(scope="module")
def node_client() -> Path:
    """Node with socket.io-client, installed once into node_modules. Without them: skipped, or in CI a failure."""
    program("node", "nodejs")
    node_modules(NODE, "socket.io-client")
    return NODE / "viewer.mjs"


def _read(text_lines: Iterable[str], recorder: EventRecorder) -> None:
    for text_line in text_lines:
        recorder.put(*json.loads(text_line))


@contextmanager
def node_viewer(script: Path, url: str, transports: str, *tokens: str) -> Iterator[EventRecorder]:
    """A socket.io-client in a separate process."""
    command = ["node", str(script), url, transports, *tokens]
    process = subprocess.Popen(command, cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    recorder = EventRecorder()
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, recorder), daemon=True)
    reader.start()
    try:
        yield recorder
    finally:
        process.communicate(timeout=15)
        reader.join(15)


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
def test_socket_io_client_watches(live_server: ServerProcess, node_client: Path, url: str, transports: str) -> None:
    with node_viewer(node_client, url, transports, live_server.issue_token("viewer")) as recorder:
        assert recorder.wait("connect")["transport"] in transports.split(",")
        assert set(recorder.wait("joined")) == {"epoch", "seq"}
        if "," in transports and not any(name == "upgrade" for name, _ in recorder.received):
            assert recorder.wait("upgrade") == "websocket"
        sees_a_score(live_server, recorder, f"node-{transports.replace(',', '-')}-{len(url)}")


def test_socket_io_client_connects_with_a_new_token_after_a_refusal(live_server: ServerProcess, node_client: Path) -> None:
    with node_viewer(node_client, live_server.url, "websocket", "not-a-token", live_server.issue_token("viewer")) as recorder:
        assert recorder.wait("connect_error") == "Authentication failed"
        assert recorder.wait("refused") == {"code": 4011}
        recorder.wait("joined")


def test_socket_io_client_reconnects_after_a_restart(new_server: Callable[..., ServerProcess], node_client: Path) -> None:
    server = new_server().start()
    server.play("amy")
    with node_viewer(node_client, server.url, "polling,websocket", server.issue_token("viewer")) as recorder:
        recorder.wait("leaderboard:update")
        assert server.stop() == 0
        assert recorder.wait("disconnect") in ("transport close", "transport error")
        server.start()
        recorder.wait("leaderboard:update", where=leads("amy"), seconds=15)
        assert recorder.cursors() == sorted(recorder.cursors())


def test_socket_io_client_stays_disconnected_after_its_tokens_end(live_server: ServerProcess, node_client: Path) -> None:
    token = live_server.issue_token("brief", life_s=15)  # longer than a start of Node on a busy machine
    with node_viewer(node_client, live_server.url, "websocket", token) as recorder:
        recorder.wait("joined")
        assert recorder.wait("disconnect", seconds=40) == "io server disconnect"
