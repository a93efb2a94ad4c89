"""An independent WebSocket client (websockets) watches the board of a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.journeys.server import ServerProcess
from tests.pauses import within


class Viewer:
    """One socket that sends events, and reads until an awaited event arrives."""

    def __init__(self, url: str, **more: Any) -> None:
        self.socket: ClientConnection = ExitStack().enter_context(connect(url, open_timeout=15, compression=None, **more))
        self.received: list[dict[str, Any]] = []

    def send(self, event: str, data: object = None, number: int | None = None) -> None:
        message = {
            "event": event,
            **({"data": data} if data is not None else {}),
            **({"id": number} if number is not None else {}),
        }
        self.socket.send(json.dumps(message))

    def receive(self, event: str, where: Callable[[Any], bool] = lambda data: True, seconds: float = 15.0) -> Any:
        """The data of the next event that fits; ``received`` keeps all events before it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            message = json.loads(self.socket.recv(timeout=until - time.monotonic()))
            self.received.append(message)
            if message["event"] == event and where(message.get("data")):
                return message["data"]
        raise AssertionError(f"no event {event}: {self.received}")

    def close_code(self) -> int | None:
        """The close code that the server sends, after any other events."""
        try:
            while True:
                self.socket.recv(timeout=15)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    def cursors(self) -> list[tuple[int, int]]:
        answered = [m["data"]["data"] for m in self.received if m["event"] in ("leaderboard:update", "score:update")]
        return [(data["epoch"], data["seq"]) for data in answered]


def watch(server: ServerProcess, user_id: str, url: str = "") -> Viewer:
    viewer = Viewer(url or f"ws://127.0.0.1:{server.port}/ws")
    viewer.send("auth", {"token": server.issue_token(user_id)}, 1)
    viewer.receive("ack")
    viewer.send("join:leaderboard", number=2)
    viewer.receive("ack")
    viewer.receive("leaderboard:update")
    return viewer


def leaders(update: Any) -> dict[str, int]:
    return {row["userId"]: row["score"] for row in update["data"]["leaderboard"]}


@pytest.fixture(params=["mounted", "own-port"])
def ws_url(request: pytest.FixtureRequest, live_server: ServerProcess) -> str:
    return (
        f"ws://127.0.0.1:{live_server.port}/ws" if request.param == "mounted" else f"ws://127.0.0.1:{live_server.websocket_port}/"
    )


def test_a_viewer_gets_a_score_within_the_promised_time(live_server: ServerProcess, ws_url: str) -> None:
    viewer = watch(live_server, "viewer", ws_url)
    player = f"blink-{live_server.port}-{len(ws_url)}"

    with within(1.0):
        receipt = live_server.play(player).body["data"]
        if receipt["currentRank"] <= 10:
            viewer.receive("leaderboard:update", lambda answered: leaders(answered).get(player) == receipt["newTotalScore"])
        else:
            viewer.receive("score:update", lambda answered: answered["data"]["userId"] == player)
    assert viewer.cursors() == sorted(viewer.cursors())


def test_a_player_gets_their_own_rank_without_joining(live_server: ServerProcess) -> None:
    amy = Viewer(
        f"ws://127.0.0.1:{live_server.port}/ws", additional_headers={"Authorization": f"Bearer {live_server.issue_token('amy')}"}
    )
    live_server.play("amy")
    assert amy.receive("score:update")["data"]["newScore"] == 100
    assert amy.receive("rank:achieved")["data"]["userId"] == "amy"
    live_server.play("amy")
    answered = amy.receive("score:update")
    assert (answered["type"], answered["data"]["userId"], answered["data"]["newScore"]) == ("SCORE_CHANGED", "amy", 200)


def test_a_socket_without_a_token_is_unauthorized(live_server: ServerProcess) -> None:
    socket = Viewer(f"ws://127.0.0.1:{live_server.port}/ws")
    socket.send("join:leaderboard", number=1)
    socket.receive("error")


def test_a_handshake_from_a_foreign_origin_is_refused(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(CORS_ORIGIN="https://game.example").start()
    with pytest.raises(InvalidStatus, match="403"):
        Viewer(f"ws://127.0.0.1:{server.port}/ws", origin="https://evil.example")
    Viewer(f"ws://127.0.0.1:{server.port}/ws", origin="https://game.example").socket.close()


def test_a_stopping_server_sends_a_close_frame(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    viewer = watch(server, "viewer")
    server.play("amy")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10
    assert viewer.close_code() == 1012
    assert "Traceback" not in server.log


def test_a_restarted_server_has_its_data_and_its_cursors_never_go_back(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    server.play("amy")
    before = watch(server, "viewer").cursors()
    assert server.stop() == 0
    server.start()
    again = watch(server, "viewer")
    assert leaders(again.received[-1]["data"]) == {"amy": 100}
    assert again.cursors()[0] > before[-1]
