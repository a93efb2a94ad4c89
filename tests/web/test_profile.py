"""What is a player's own: achievements and settings, as docs/protocol-http.md promises."""

from __future__ import annotations

from typing import Any

import pytest

from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.limits import RateVerdict
from scoreboard.domain.players import Achievement
from tests.awaiting import result_of
from tests.web.house import NOW_S, House

ACHIEVEMENTS = "/api/v1/me/achievements"
SETTINGS = "/api/v1/me/settings"


def test_achievements_are_answered_to_the_letter_and_are_nobody_elses() -> None:
    house = House()
    house.unlocked["user-123", 500] = Achievement(milestone=500, action_id="a-2", at_ms=NOW_S * 1000 + 7)
    house.unlocked["user-123", 100] = Achievement(milestone=100, action_id="a-1", at_ms=NOW_S * 1000)
    reply = house.ask("GET", ACHIEVEMENTS)
    assert reply.json == {
        "success": True,
        "data": {
            "achievements": [
                {"type": "SCORE_MILESTONE", "milestone": 100, "unlockedAt": "2025-10-22T10:30:00Z"},
                {"type": "SCORE_MILESTONE", "milestone": 500, "unlockedAt": "2025-10-22T10:30:00.007Z"},
            ]
        },
    }
    assert (reply.status, reply.headers["cache-control"]) == (200, "private, no-store")
    assert house.ask("GET", ACHIEVEMENTS, token=house.token("user-2")).json["data"] == {"achievements": []}


def test_settings_are_the_defaults_until_the_player_decides() -> None:
    house = House()
    for ask, spectators in [(("GET", None), True), (("PUT", False), False), (("GET", None), False), (("PUT", True), True)]:
        method, wish = ask
        reply = house.ask(method, SETTINGS, body=None if wish is None else {"spectators": wish})
        assert (reply.status, reply.json) == (200, {"success": True, "data": {"spectators": spectators}})
        assert reply.headers["cache-control"] == "private, no-store"
    assert house.ask("GET", SETTINGS, token=house.token("user-2")).json["data"] == {"spectators": True}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "spectators"),
        ({"spectators": "false"}, "spectators"),
        ({"spectators": 0}, "spectators"),
        ({"spectators": None}, "spectators"),
        ({"spectators": False, "colour": "red"}, "colour"),
        ([], "body"),
    ],
)
def test_settings_are_read_strictly_and_the_member_at_fault_is_named(body: Any, field: str) -> None:
    house = House()
    reply = house.ask("PUT", SETTINGS, body=body)
    assert (reply.status, reply.json["code"], reply.json["field"]) == (400, 4000, field)
    assert [hit.limit.name for hit in house.gatekeeper.asked[0][0]] == ["address", "everyone", "settings"]
    assert result_of(house.player_store.revision()) == 0


@pytest.mark.parametrize("raw", [b"", b"spectators=false", b'{"spectators": true, "spectators": false}', b'{"spectators": NaN}'])
def test_what_is_no_json_changes_nothing(raw: bytes) -> None:
    house = House()
    assert house.ask("PUT", SETTINGS, raw=raw).status == 400
    assert result_of(house.player_store.revision()) == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "-"])
def test_settings_are_json(kind: str) -> None:
    reply = House().ask("PUT", SETTINGS, body={"spectators": False}, headers={"Content-Type": kind})
    assert (reply.status, reply.json["code"]) == (415, 4150)


def test_a_spectator_decides_nothing() -> None:
    house = House()
    assert house.ask("PUT", SETTINGS, body={"spectators": False}, token=house.token(role="spectator")).status == 403
    assert house.ask("GET", SETTINGS, token=house.token(role="spectator")).status == 200


def test_too_many_changes_are_refused_and_said_so() -> None:
    house = House()
    house.gatekeeper.verdict = RateVerdict(refused="settings", retry_after_ms=30_000)
    reply = house.ask("PUT", SETTINGS, body={"spectators": False})
    assert (reply.status, reply.json["retryAfter"]) == (429, 30)
    assert reply.json["message"] == "Too many changes of settings. Please try again later."
    assert reply.headers["ratelimit-policy"] == '"settings";q=10;w=60'
    assert result_of(house.player_store.revision()) == 0


def test_ten_changes_a_minute_are_admitted_and_reads_do_not_use_them_up() -> None:
    house = House(counting=True)
    for _ in range(20):
        assert house.ask("GET", SETTINGS).status == 200
    assert [house.ask("PUT", SETTINGS, body={"spectators": False}).status for _ in range(11)] == [200] * 10 + [429]


@pytest.mark.parametrize(("method", "path"), [("GET", ACHIEVEMENTS), ("GET", SETTINGS), ("PUT", SETTINGS)])
def test_a_register_that_is_away_is_503(method: str, path: str) -> None:
    house = House()
    house.player_store.broken = StoreUnavailable("postgresql://user:password@host")
    reply = house.ask(method, path, body={"spectators": False} if method == "PUT" else None)
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, 5030, "1")
    assert b"password" not in reply.body
