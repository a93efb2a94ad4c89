"""Views, spectators, achievements, and events for players, on a real server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.journeys.server import ServerProcess
from tests.journeys.test_live import Viewer
from tests.pauses import within


def connect(server: ServerProcess, user_id: str, **more: Any) -> Viewer:
    """An open socket of a player that has joined no room."""
    token = server.issue_token(user_id, **more)
    return Viewer(f"ws://127.0.0.1:{server.port}/ws", additional_headers={"Authorization": f"Bearer {token}"})


class ViewClient:
    """A view as a client keeps it, by the rules of docs/protocol-live.md."""

    def __init__(self, viewer: Viewer, view: dict[str, int]) -> None:
        self.viewer, self.view = viewer, view
        self.rows: list[tuple[str, int]] = []
        self.offset = 0
        viewer.send("join:leaderboard", {"view": view}, 1)
        viewer.receive("ack", lambda data: data["view"] == view)
        self.take(viewer.receive("leaderboard:update", self._is_of_this_view)["data"])

    def _is_of_this_view(self, answered: Any) -> bool:
        return bool(answered["data"].get("view") == self.view)

    def take(self, data: Any) -> None:
        self.offset = data["offset"]
        if "leaderboard" in data:
            self.rows = [(row["userId"], row["score"]) for row in data["leaderboard"]]
            assert [row["rank"] for row in data["leaderboard"]] == self.ranks
            return
        for op in data["ops"]:
            users = [user for user, _ in self.rows]
            if op["op"] == "enter":
                self.rows.insert(op["rank"] - self.offset - 1, (op["userId"], op["score"]))
            elif op["op"] == "leave":
                del self.rows[users.index(op["userId"])]
            elif op["op"] == "move":
                self.rows.insert(op["rank"] - self.offset - 1, self.rows.pop(users.index(op["userId"])))
            else:
                self.rows[users.index(op["userId"])] = (op["userId"], op["score"])

    @property
    def ranks(self) -> list[int]:
        return list(range(self.offset + 1, self.offset + 1 + len(self.rows)))

    def until(self, users: list[str]) -> None:
        while [user for user, _ in self.rows] != users:
            self.take(self.viewer.receive("leaderboard:rows", self._is_of_this_view)["data"])


def test_views_follow_the_board(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    for n in range(6):  # p0 has the most points
        for _ in range(6 - n):
            server.play(f"p{n}")
    around = ViewClient(connect(server, "p4"), {"around": 1})
    assert (around.rows, around.ranks) == ([("p3", 300), ("p4", 200), ("p5", 100)], [4, 5, 6])
    middle = ViewClient(connect(server, "watcher"), {"offset": 2, "limit": 2})
    assert (middle.rows, middle.ranks) == ([("p2", 400), ("p3", 300)], [3, 4])
    for _ in range(3):
        server.play("p4")
    around.until(["p1", "p4", "p2"])
    assert around.ranks == [2, 3, 4]
    middle.until(["p4", "p2"])
    newcomer = ViewClient(connect(server, "zed"), {"around": 2})
    assert newcomer.rows == []
    server.play("zed")
    newcomer.until(["p3", "p5", "zed"])
    assert [user for user, _ in newcomer.rows] == [user for user, _ in server.board()][newcomer.offset :]


def test_a_spectator_gets_each_award_and_the_player_each_milestone_once(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    spectator, amy = connect(server, "watcher"), connect(server, "amy")
    spectator.send("spectate:user", "amy", 1)
    spectator.receive("ack", lambda data: data == {"userId": "amy"})
    server.play("amy", questId="secret-quest")
    award = spectator.receive("player:action")
    assert award["type"] == "PLAYER_ACTION"
    answered = {name: award["data"][name] for name in ("userId", "actionType", "scoreAwarded", "newTotalScore", "newRank")}
    assert answered == {"userId": "amy", "actionType": "COMPLETE_QUEST", "scoreAwarded": 100, "newTotalScore": 100, "newRank": 1}
    assert "secret-quest" not in str(spectator.received)
    assert amy.receive("achievement:unlocked")["milestone"] == 100
    assert server.command_line("reset", "user", "amy", "--reason", "again", "--operator", "tests", "--yes").returncode == 0
    amy.receive("score:update", lambda answered: answered["data"]["newScore"] == 0)
    for _ in range(5):
        server.play("amy")
    assert amy.receive("achievement:unlocked")["milestone"] == 500, "the milestone 100 was unlocked before the reset"
    held = server.get("/api/v1/me/achievements", server.issue_token("amy")).body["data"]["achievements"]
    assert [one["milestone"] for one in held] == [100, 500]


def test_a_player_who_forbids_spectators_has_none_within_a_second(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    spectator, admin = connect(server, "watcher"), connect(server, "boss", role="admin")
    for viewer in (spectator, admin):
        viewer.send("spectate:user", {"userId": "amy"}, 1)
        viewer.receive("ack")
    answer = server.request("PUT", "/api/v1/me/settings", server.issue_token("amy"), {"spectators": False}, {})
    assert (answer.status, answer.body["data"]) == (200, {"spectators": False})
    with within(1.0):
        spectator.receive("spectate:ended", lambda data: data == {"userId": "amy"})
    server.play("amy")
    admin.receive("player:action")
    spectator.send("spectate:user", "amy", 2)
    assert spectator.receive("error")["code"] == 4030
    assert "player:action" not in [received["event"] for received in spectator.received]


def test_a_suspended_players_socket_is_closed_within_a_second_and_cannot_reopen(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    amy, other = connect(server, "amy"), connect(server, "zed")
    ordered = ("--reason", "cheated", "--operator", "tests", "--yes")
    assert server.command_line("player", "suspend", "amy", *ordered, "--unknown").returncode == 0
    with within(1.0):
        amy.receive("account:suspended")
        assert amy.close_code() == 4403
    assert server.get("/api/v1/scores/me", server.issue_token("amy")).status == 403
    assert server.command_line("player", "reinstate", "amy", *ordered).returncode == 0
    began_s = time.monotonic()
    with within(1.0):
        while server.get("/api/v1/scores/me", server.issue_token("amy")).status != 200:
            assert time.monotonic() - began_s < 20
    other.send("leave:leaderboard", number=1)
    other.receive("ack")


def test_a_client_is_warned_before_its_token_ends_and_can_renew_it(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    viewer = connect(server, "amy", life_s=20)
    viewer.receive("auth:expiring", seconds=15)
    viewer.send("auth:refresh", {"token": server.issue_token("amy")}, 1)
    assert viewer.receive("ack")["userId"] == "amy"
