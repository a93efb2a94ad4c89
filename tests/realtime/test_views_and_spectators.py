"""Views, spectators and notices: how clients ask for them, and the form in which they are sent."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Around, RankRange, View
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import AchievementUnlocked, Event, PlayerActed, PlayerSuspended, SpectatingEnded, ViewChanged
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_VIEWS
from tests.realtime.fake_transport import Client
from tests.realtime.harness import NOW_S, Harness, page

AT = Cursor(epoch=3, seq=18)
AWARD = AwardSummary(action_type="COMPLETE_QUEST", points=100, total=1250, at_ms=NOW_S * 1000)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def asked(client: Client, event: str, data: object) -> Any:
    client.send_event(event, data, 7)
    (answer,) = client.events()
    assert answer["id"] == 7
    return answer["data"]


def answered(harness: Harness, client: Client, event: Event) -> Any:
    (listener,) = harness.announcer.known
    listener.offer(listener.encoder.encode((event,)))
    (received,) = client.events()
    return received


@pytest.mark.parametrize(
    ("wanted", "view", "spelt"),
    [
        ({"around": 5}, Around(user_id="amy", rows=5), {"around": 5}),
        ({"offset": 100, "limit": 50}, RankRange(offset=100, limit=50), {"offset": 100, "limit": 50}),
        ({"offset": 100}, RankRange(offset=100, limit=10), {"offset": 100, "limit": 10}),
        ({"limit": 3}, RankRange(offset=0, limit=3), {"offset": 0, "limit": 3}),
    ],
)
def test_a_client_follows_a_view_and_leaves_it(harness: Harness, wanted: object, view: View, spelt: object) -> None:
    client = harness.open_websocket("amy")
    assert asked(client, "join:leaderboard", {"view": wanted}) == {"epoch": 3, "seq": 17, "view": spelt}
    assert harness.announcer.followed == [view]
    assert not harness.announcer.room, "to follow a view is not to join the room"
    assert asked(client, "leave:leaderboard", {"view": wanted}) == {}
    assert harness.announcer.followed == []


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"around": 0},
        {"around": 51},
        {"around": "5"},
        {"around": 5, "limit": 10},
        {"offset": -1},
        {"offset": 10_001},
        {"limit": 0},
        {"limit": 101},
        {"limit": 1.5},
        {"top": 10},
        [],
        "around",
    ],
)
@pytest.mark.parametrize("event", ["join:leaderboard", "leave:leaderboard"])
def test_an_invalid_view_is_refused(harness: Harness, view: object, event: str) -> None:
    assert asked(harness.open_websocket("amy"), event, {"view": view})["code"] == 4000
    assert harness.announcer.followed == []


def test_a_view_with_a_cursor_is_refused(harness: Harness) -> None:
    refusal = asked(harness.open_websocket("amy"), "join:leaderboard", {"view": {"around": 5}, "since": "3.1"})
    assert refusal["message"].startswith("data.since: ")


def test_too_many_views_are_refused(harness: Harness) -> None:
    harness.announcer.refusal = TOO_MANY_VIEWS
    assert asked(harness.open_websocket("amy"), "join:leaderboard", {"view": {"around": 5}})["code"] == 4290


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("join:leaderboard", {"view": {"limit": 5}}),
        ("leave:leaderboard", {"view": {"limit": 5}}),
        ("spectate:user", "bob"),
        ("unspectate:user", "bob"),
    ],
)
def test_a_client_without_a_player_can_follow_nothing(harness: Harness, event: str, data: object) -> None:
    assert asked(harness.open_websocket(token=None), event, data)["code"] == 4010


def test_a_view_is_sent_whole_first_and_then_as_operations_from_its_offset(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    board = page(18, 6)
    view, rows = Around(user_id="user-4", rows=1), board.rows[2:5]
    shown = answered(harness, client, ViewChanged(view=view, page=replace(board, rows=rows)))
    assert shown["event"] == "leaderboard:update"
    data = shown["data"]["data"]
    assert (data["view"], data["offset"], [row["rank"] for row in data["leaderboard"]]) == ({"around": 1}, 2, [3, 4, 5])
    changed = answered(harness, client, ViewChanged(view=view, page=replace(board, rows=board.rows[3:6]), before=rows))
    assert changed["event"] == "leaderboard:rows"
    assert changed["data"] == {
        "type": "LEADERBOARD_ROWS",
        "data": {
            "ops": [
                {"op": "leave", "userId": "user-3"},
                {
                    "op": "enter",
                    "rank": 6,
                    "userId": "user-6",
                    "username": "player 6",
                    "score": 94,
                    "lastUpdated": "2025-10-22T10:30:15.006Z",
                    "avatar": None,
                },
            ],
            "total": 6,
            "timestamp": "2025-10-22T10:30:15.000Z",
            "epoch": 3,
            "seq": 18,
            "view": {"around": 1},
            "offset": 3,
        },
    }


@pytest.mark.parametrize("data", ["bob", {"userId": "bob"}])
def test_a_player_is_spectated_by_id(harness: Harness, data: object) -> None:
    client = harness.open_websocket("amy")
    assert asked(client, "spectate:user", data) == {"userId": "bob"}
    assert harness.announcer.spectated == ["bob"]
    assert asked(client, "unspectate:user", data) == {"userId": "bob"}
    assert harness.announcer.spectated == []


@pytest.mark.parametrize("data", [None, 5, "", "two words", "leader/board", "x" * 65, "bob\n", ["bob"], {"user": "bob"}, {}])
def test_an_invalid_user_id_is_refused(harness: Harness, data: object) -> None:
    assert asked(harness.open_websocket("amy"), "spectate:user", data)["code"] == 4000
    assert harness.announcer.spectated == []


def test_a_refused_spectator_gets_the_reason(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    harness.announcer.refusal = NO_SPECTATORS
    assert asked(client, "spectate:user", "bob")["code"] == 4030
    harness.announcer.fault = StoreUnavailable("sql")
    assert asked(client, "spectate:user", "bob")["code"] == 5030


def test_an_award_is_sent_to_spectators_without_address_metadata_or_signature(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    event = PlayerActed(cursor=AT, user_id="bob", username="Bob", award=AWARD, rank=5, previous_rank=7)
    assert answered(harness, client, event) == {
        "event": "player:action",
        "data": {
            "type": "PLAYER_ACTION",
            "data": {
                "userId": "bob",
                "username": "Bob",
                "actionType": "COMPLETE_QUEST",
                "scoreAwarded": 100,
                "newTotalScore": 1250,
                "newRank": 5,
                "previousRank": 7,
                "timestamp": "2025-10-22T10:30:15.000Z",
                "epoch": 3,
                "seq": 18,
            },
        },
    }


def test_an_achievement_has_the_form_of_the_specification(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    event = AchievementUnlocked(cursor=AT, user_id="amy", milestone=500, points=520, at_ms=NOW_S * 1000)
    received = answered(harness, client, event)
    assert received["event"] == "achievement:unlocked"
    assert (received["data"]["type"], received["data"]["milestone"]) == ("SCORE_MILESTONE", 500)
    assert received["data"]["data"] == {
        "userId": "amy",
        "milestone": 500,
        "score": 520,
        "timestamp": "2025-10-22T10:30:15.000Z",
        "epoch": 3,
        "seq": 18,
    }


def test_a_notice_says_what_happened(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    assert answered(harness, client, SpectatingEnded(user_id="bob")) == {"event": "spectate:ended", "data": {"userId": "bob"}}
    assert answered(harness, client, PlayerSuspended(user_id="amy")) == {"event": "account:suspended", "data": {"userId": "amy"}}
    (listener,) = harness.announcer.known
    listener.close(ACCOUNT_SUSPENDED)
    assert client.closed() == (4403, "the account is suspended")
