"""An operator suspends a player of a running server: within a second every endpoint refuses the player, until it is undone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.journeys.server import Answer, ServerProcess
from tests.pauses import within

REASON = ("--reason", "cheated, ticket 4711", "--operator", "root", "--yes")


def within_a_second(ask: Callable[[], Answer], status: int) -> Answer:
    """The answer as soon as it has this status; it must come within a second."""
    until = time.monotonic() + 20
    with within(1.0):
        while (answer := ask()).status != status:
            assert time.monotonic() < until, answer
            time.sleep(0.02)
    return answer


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_suspended_player_is_refused_and_a_reinstated_one_admitted_within_a_second(
    store: str, new_server: Callable[..., ServerProcess], request: pytest.FixtureRequest
) -> None:
    server = new_server(**({"DATABASE_URL": request.getfixturevalue("postgres_url")} if store == "postgresql" else {}))
    if store == "postgresql":
        assert server.command_line("db", "upgrade").returncode == 0
    server.start()
    token = server.issue_token("amy")
    begun = server.initialize("amy")
    assert server.play("amy").status == 200
    ticket = server.post("/api/v1/auth/ticket", token, {}).body["data"]["ticket"]

    ordered = server.command_line("player", "suspend", "amy", *REASON)
    assert (ordered.returncode, ordered.stderr) == (0, "")
    refused = within_a_second(lambda: server.get("/api/v1/scores/me", token), 403)
    assert (refused.body["code"], refused.body["message"]) == (4030, "This account is suspended")
    assert server.submit("amy", begun).status == 403
    assert server.get(f"/api/v1/scores/changes?ticket={ticket}&wait=0").status == 403
    assert server.request("PUT", "/api/v1/me/settings", token, {"spectators": False}, {}).status == 403
    assert server.get("/api/v1/scores/stream", token).status == 403
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{server.port}/ws", additional_headers={"Authorization": f"Bearer {token}"})
    assert server.play("bob").status == 200
    assert dict(server.board()) == {"amy": 100, "bob": 100}, "points and rank stay"
    assert server.command_line("player", "suspend", "amy", *REASON).returncode == 1

    server.stop()
    server.start()
    assert server.get("/api/v1/scores/me", token).status == 403, (
        "a restarted server knows the suspension before its ports are open"
    )

    assert server.command_line("player", "reinstate", "amy", *REASON).returncode == 0
    within_a_second(lambda: server.get("/api/v1/scores/me", token), 200)
    assert server.submit("amy", begun).status == 200
    known = json.loads(server.command_line("player", "show", "amy", "--json").stdout)
    assert (known["account"]["points"], known["rank"], known["suspended"]) == (200, 1, False)
    assert [one["suspended"] for one in known["suspensions"]] == [False, True]
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_unlocked_milestones_and_settings_survive_a_restart(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server(SCORE_MILESTONES="150,100")
    server.start()
    token = server.issue_token("amy")
    assert [server.play("amy").status for _ in range(2)] == [200, 200]
    assert server.request("PUT", "/api/v1/me/settings", token, {"spectators": False}, {}).status == 200
    assert server.command_line("reset", "user", "amy", *REASON).returncode == 0
    assert server.play("amy").status == 200
    server.kill()
    server.start()
    unlocked = server.get("/api/v1/me/achievements", token).body["data"]["achievements"]
    assert [one["milestone"] for one in unlocked] == [100, 150]
    assert server.get("/api/v1/me/settings", token).body == {"success": True, "data": {"spectators": False}}
    assert server.stop() == 0
