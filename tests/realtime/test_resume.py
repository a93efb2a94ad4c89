"""Joins with options: row operations in place of whole tops, and events since a cursor."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import BoardChanged, ScoreChanged
from tests.realtime.harness import NOW_S, Harness, page


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_in_rows_mode_the_top_is_sent_as_operations_and_all_else_as_before(harness: Harness) -> None:
    rows, whole = harness.open_websocket("amy"), harness.open_websocket("bob")
    rows.send_event("join:leaderboard", {"mode": "rows"}, 1)
    whole.send_event("join:leaderboard", {"mode": "top"}, 1)
    for client in (rows, whole):
        assert [event["event"] for event in client.events()] == ["ack", "leaderboard:update"]
    before, after = page(17, 3).rows, page(18, 2)
    harness.announcer.announce(BoardChanged(page=after, before=before))
    assert rows.events() == [
        {
            "event": "leaderboard:rows",
            "data": {
                "type": "LEADERBOARD_ROWS",
                "data": {
                    "ops": [{"op": "leave", "userId": "user-3"}],
                    "total": 2,
                    "timestamp": "2025-10-22T10:30:15.000Z",
                    "epoch": 3,
                    "seq": 18,
                },
            },
        }
    ]
    (update,) = whole.events()
    assert update["event"] == "leaderboard:update"
    harness.announcer.announce(BoardChanged(page=after, reset=True))
    (snapshot,) = rows.events()
    assert (snapshot["event"], snapshot["data"]["data"]["reset"]) == ("leaderboard:update", True)


def test_each_operation_has_the_form_of_the_docs(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    client.send_event("join:leaderboard", {"mode": "rows"})
    client.events()
    one, two, three = page(17, 3).rows
    board = page(18, 4)
    after = (replace(board.rows[3], rank=1), replace(three, rank=2), replace(one, rank=3, points=5))
    harness.announcer.announce(BoardChanged(page=replace(board, rows=after), before=(one, two, three)))
    (answered,) = client.events()
    assert answered["data"]["data"]["ops"] == [
        {"op": "leave", "userId": "user-2"},
        {"op": "move", "userId": "user-3", "rank": 1},
        {
            "op": "enter",
            "rank": 1,
            "userId": "user-4",
            "username": "player 4",
            "score": 96,
            "lastUpdated": "2025-10-22T10:30:15.004Z",
            "avatar": None,
        },
        {"op": "score", "userId": "user-1", "score": 5, "lastUpdated": "2025-10-22T10:30:15.001Z"},
    ]


def test_a_client_that_resumes_in_time_gets_what_it_missed_and_no_snapshot(harness: Harness) -> None:
    moved = ScoreChanged(
        cursor=Cursor(epoch=3, seq=17),
        user_id="user-99",
        username="late",
        points=1,
        rank=99,
        previous_rank=None,
        at_ms=NOW_S * 1000,
    )
    harness.announcer.missed = (moved,)
    client = harness.open_websocket("amy")
    client.send_event("join:leaderboard", {"since": "3.12"}, 1)
    ack, missed = client.events()
    assert ack == {"event": "ack", "id": 1, "data": {"epoch": 3, "seq": 17, "recovered": True}}
    assert (missed["event"], missed["data"]["data"]["userId"]) == ("score:update", "user-99")


def test_a_client_that_resumes_too_late_gets_a_snapshot_with_reset(harness: Harness) -> None:
    client = harness.open_websocket("amy")
    client.send_event("join:leaderboard", {"since": "2.12", "mode": "rows"}, 1)
    ack, snapshot = client.events()
    assert ack["data"] == {"epoch": 3, "seq": 17, "reset": True}
    assert (snapshot["event"], snapshot["data"]["data"]["reset"]) == ("leaderboard:update", True)


@pytest.mark.parametrize("since", ["", "3", "3.", "-1.0", "03.1", "1.2.3", "1e3.0", "٣.١", "9" * 20 + ".1", 3.12])
def test_an_invalid_cursor_is_refused(harness: Harness, since: object) -> None:
    client = harness.open_websocket("amy")
    client.send_event("join:leaderboard", {"since": since}, 1)
    (error,) = client.events()
    assert (error["event"], error["data"]["code"]) == ("error", 4000)


def test_another_mode_takes_effect_with_the_next_join(harness: Harness) -> None:
    client = harness.viewer("amy")
    client.send_event("join:leaderboard", {"mode": "rows"})
    client.events()
    harness.announcer.announce(BoardChanged(page=page(18), before=page(17).rows))
    client.send_event("join:leaderboard")
    harness.announcer.announce(BoardChanged(page=page(19), before=page(18).rows))
    assert [event["event"] for event in client.events()] == ["leaderboard:rows", "leaderboard:update", "leaderboard:update"]
    assert len(harness.announcer.room) == 1
