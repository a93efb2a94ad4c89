"""A player's own achievements and settings, as docs/protocol-http.md specifies."""

from __future__ import annotations

from typing import Any

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import RateVerdict
from scoreboard.domain.players import Achievement
from tests.awaiting import result_of
from tests.web.harness import NOW_S, Harness

ACHIEVEMENTS = "/api/v1/me/achievements"
SETTINGS = "/api/v1/me/settings"


def test_achievements_are_the_players_own_and_as_specified() -> None:
    harness = Harness()
    harness.unlocked["user-123", 500] = Achievement(milestone=500, action_id="a-2", at_ms=NOW_S * 1000 + 7)
    harness.unlocked["user-123", 100] = Achievement(milestone=100, action_id="a-1", at_ms=NOW_S * 1000)
    reply = harness.ask("GET", ACHIEVEMENTS)
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
    assert harness.ask("GET", ACHIEVEMENTS, token=harness.token("user-2")).json["data"] == {"achievements": []}


def test_settings_are_the_defaults_until_the_player_decides() -> None:
    harness = Harness()
    for ask, spectators in [(("GET", None), True), (("PUT", False), False), (("GET", None), False), (("PUT", True), True)]:
        method, wish = ask
        reply = harness.ask(method, SETTINGS, body=None if wish is None else {"spectators": wish})
        assert (reply.status, reply.json) == (200, {"success": True, "data": {"spectators": spectators}})
        assert reply.headers["cache-control"] == "private, no-store"
    assert harness.ask("GET", SETTINGS, token=harness.token("user-2")).json["data"] == {"spectators": True}


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
    harness = Harness()
    reply = harness.ask("PUT", SETTINGS, body=body)
    assert (reply.status, reply.json["code"], reply.json["field"]) == (400, 4000, field)
    assert [hit.limit.name for hit in harness.rate_limiter.asked[0][0]] == ["address", "everyone", "settings"]
    assert result_of(harness.player_store.revision()) == 0


@pytest.mark.parametrize("raw", [b"", b"spectators=false", b'{"spectators": true, "spectators": false}', b'{"spectators": NaN}'])
def test_a_body_that_is_no_json_changes_nothing(raw: bytes) -> None:
    harness = Harness()
    assert harness.ask("PUT", SETTINGS, raw=raw).status == 400
    assert result_of(harness.player_store.revision()) == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "-"])
def test_settings_must_have_the_content_type_of_json(kind: str) -> None:
    reply = Harness().ask("PUT", SETTINGS, body={"spectators": False}, headers={"Content-Type": kind})
    assert (reply.status, reply.json["code"]) == (415, 4150)


def test_a_spectator_cannot_change_settings() -> None:
    harness = Harness()
    assert harness.ask("PUT", SETTINGS, body={"spectators": False}, token=harness.token(role="spectator")).status == 403
    assert harness.ask("GET", SETTINGS, token=harness.token(role="spectator")).status == 200


def test_too_many_changes_are_429_with_their_own_message() -> None:
    harness = Harness()
    harness.rate_limiter.verdict = RateVerdict(refused="settings", retry_after_ms=30_000)
    reply = harness.ask("PUT", SETTINGS, body={"spectators": False})
    assert (reply.status, reply.json["retryAfter"]) == (429, 30)
    assert reply.json["message"] == "Too many changes of settings. Please try again later."
    assert reply.headers["ratelimit-policy"] == '"settings";q=10;w=60'
    assert result_of(harness.player_store.revision()) == 0


def test_ten_changes_a_minute_are_admitted_and_reads_do_not_use_them_up() -> None:
    harness = Harness(counting=True)
    for _ in range(20):
        assert harness.ask("GET", SETTINGS).status == 200
    assert [harness.ask("PUT", SETTINGS, body={"spectators": False}).status for _ in range(11)] == [200] * 10 + [429]


@pytest.mark.parametrize(("method", "path"), [("GET", ACHIEVEMENTS), ("GET", SETTINGS), ("PUT", SETTINGS)])
def test_a_player_store_that_is_away_is_503(method: str, path: str) -> None:
    harness = Harness()
    harness.player_store.broken = StoreUnavailable("postgresql://user:password@host")
    reply = harness.ask(method, path, body={"spectators": False} if method == "PUT" else None)
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, 5030, "1")
    assert b"password" not in reply.body
