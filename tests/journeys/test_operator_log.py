"""What an operator reads in the log of a running server: awards, suspensions, resets; and names as other systems write them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt

from tests.journeys.server import JWT_SECRET, ServerProcess

ORDERED = ("--reason", "season 4 begins", "--operator", "root", "--yes")
FAMILY = "👨‍👩‍👧‍👦 می‌خواهم"


def all_logged(server: ServerProcess) -> list[dict[str, Any]]:
    """The lines of the log that are whole."""
    whole = server.log.rpartition("\n")[0]
    return [json.loads(text) for text in whole.splitlines() if text.startswith("{")]


def logged(server: ServerProcess, message: str, wanted: int = 1) -> list[dict[str, Any]]:
    """The lines of the log whose message contains this, as soon as there are so many of them."""
    until = time.monotonic() + 20
    while True:
        found = [one for one in all_logged(server) if message in one["message"]]
        if len(found) >= wanted or time.monotonic() > until:
            return found
        time.sleep(0.05)


def test_awards_suspensions_and_resets_are_lines_of_the_log(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(LOG_AWARDS="true", LOG_LEVEL="info").start()
    for user in ("amy", "bob", "eve"):
        assert server.play(user).status == 200
    awards = [one["fields"] for one in logged(server, "Score updated", 3)]
    assert [(one["userId"], one["scoreAwarded"], one["newRank"]) for one in awards] == [
        ("amy", 100, 1),
        ("bob", 100, 2),
        ("eve", 100, 3),
    ]
    assert all(isinstance(one["duration"], int) and 0 <= one["duration"] < 30_000 for one in awards)

    assert server.command_line("player", "suspend", "eve", *ORDERED).returncode == 0
    assert [(one["level"], one["message"]) for one in logged(server, "eve was")] == [("info", "eve was suspended")]
    assert server.command_line("player", "reinstate", "eve", *ORDERED).returncode == 0
    assert [one["level"] for one in logged(server, "eve was reinstated")] == ["info"]

    assert server.command_line("reset", "user", "amy", *ORDERED).returncode == 0
    assert [(one["level"], one["fields"]["user_id"]) for one in logged(server, "reset players to 0 points (1)")] == [
        ("info", "amy")
    ]
    assert server.command_line("reset", "board", *ORDERED).returncode == 0
    (reset,) = logged(server, "reset players to 0 points (2)")
    assert (reset["level"], reset["message"]) == ("info", "root reset players to 0 points (2): season 4 begins")
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_without_log_awards_an_award_is_a_line_at_debug_alone(new_server: Callable[..., ServerProcess]) -> None:
    for level in ("debug", "info"):
        server = new_server(LOG_LEVEL=level).start()
        assert server.play("amy").status == 200
        assert server.stop() == 0
        written = [(one["level"], one["fields"]["userId"]) for one in all_logged(server) if one["message"] == "Score updated"]
        assert written == ([("debug", "amy")] if level == "debug" else [])


def test_a_name_and_times_of_another_system_are_shown_and_the_newest_token_wins(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    now_s = time.time()

    def token(name: str, issued_s: float) -> str:
        claims = {"userId": "amy", "username": name, "role": "user", "iat": issued_s, "exp": issued_s + 600.5}
        return jwt.encode(claims, JWT_SECRET, algorithm="HS256")

    def play(shown: str) -> None:
        asked = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}
        begun = server.post("/api/v1/actions/initialize", shown, asked).body["data"]
        signed = {"actionId": begun["actionId"], "signature": begun["signature"], "timestamp": float(begun["timestamp"])}
        assert server.post("/api/v1/scores/submit", shown, {**asked, **signed}).status == 200

    def name() -> str:
        board = server.get("/api/v1/scores/leaderboard", token("amy", now_s)).body["data"]["leaderboard"]
        return str(board[0]["username"])

    play(token("Amy", now_s - 100.5))
    assert name() == "Amy"
    play(token(FAMILY, now_s - 50.25))
    assert name() == FAMILY
    play(token("Amy", now_s - 100.5))
    assert name() == FAMILY, "the token of another device is older"
    play(token(" \u200b ", now_s - 10.0))
    assert name() == "amy", "nothing of that name can be seen"
    assert server.stop() == 0
