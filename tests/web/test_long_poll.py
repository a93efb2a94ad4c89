"""Long polls, tickets and the opening of streams, as docs/protocol-http.md specifies."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.web.resource import Resource

from scoreboard.domain.board_pages import Row
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.web import long_poll as changes
from tests.web.harness import NOW_S, Harness, HttpConnection, request

PATH = "/api/v1/scores/changes"
STREAM = "/api/v1/scores/stream"
MOVED = ScoreChanged(
    cursor=Cursor(epoch=1, seq=5), user_id="user-9", username="nine", points=90, rank=9, previous_rank=None, at_ms=NOW_S * 1000
)


class Opened(Resource):
    isLeaf = True  # noqa: N815 -- twisted.web's name

    def render_GET(self, request: object) -> bytes:
        return b""


@pytest.fixture
def harness() -> Harness:
    harness = Harness(socket=Opened())
    harness.ranking.rows = (Row(rank=1, user_id="amy", username="Amy", avatar=None, points=100, updated_at_ms=NOW_S * 1000),)
    harness.ranking.missed = ()
    return harness


def waiting(harness: Harness, query: str = "?since=1.5") -> HttpConnection:
    connection = harness.connection()
    connection.send(request("GET", PATH + query, headers={"Authorization": f"Bearer {harness.token()}"}))
    return connection


def data(connection: HttpConnection) -> dict[str, Any]:
    (reply,) = connection.replies()
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.json["data"]
    return found


def test_newer_changes_are_answered_at_once_with_the_top(harness: Harness) -> None:
    harness.ranking.missed = (MOVED,)
    reply = harness.ask("GET", PATH + "?since=1.4")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json["data"] == {
        "cursor": "1.5",
        "reset": False,
        "changes": [
            {
                "userId": "user-9",
                "username": "nine",
                "newScore": 90,
                "newRank": 9,
                "previousRank": None,
                "timestamp": "2025-10-22T10:30:00Z",
            }
        ],
        "leaderboard": [
            {"rank": 1, "userId": "amy", "username": "Amy", "score": 100, "lastUpdated": "2025-10-22T10:30:00Z", "avatar": None}
        ],
        "total": 1,
        "timestamp": "2025-10-22T10:30:15Z",
    }


@pytest.mark.parametrize("query", ["", "?since=0.3", "?since=1.4&wait=30"])
def test_without_the_missing_changes_the_response_is_the_top_with_reset(harness: Harness, query: str) -> None:
    harness.ranking.missed = None
    found = harness.ask("GET", PATH + query).json["data"]
    assert (found["reset"], found["changes"], [row["userId"] for row in found["leaderboard"]]) == (True, [], ["amy"])


def test_a_wait_ends_as_soon_as_something_changes(harness: Harness) -> None:
    connection = waiting(harness)
    harness.pass_time(3)
    assert connection.replies() == []
    harness.ranking.missed, harness.ranking.cursor = (MOVED,), Cursor(epoch=1, seq=6)
    harness.announcer.publish([MOVED])
    found = data(connection)
    assert (found["cursor"], len(found["changes"])) == ("1.6", 1)
    assert harness.announcer.room == []


def test_a_change_between_the_read_and_the_wait_ends_the_wait(harness: Harness) -> None:
    harness.announcer.held = Deferred()
    connection = waiting(harness)
    harness.ranking.missed = (MOVED,)
    harness.announcer.held.callback(None)
    assert len(data(connection)["changes"]) == 1


@pytest.mark.parametrize(("query", "seconds"), [("", 25), ("&wait=2", 2)])
def test_a_wait_without_a_change_ends_with_an_empty_list_and_the_cursor(harness: Harness, query: str, seconds: int) -> None:
    connection = waiting(harness, "?since=1.5" + query)
    harness.pass_time(seconds - 1)
    assert connection.replies() == []
    harness.pass_time(1)
    found = data(connection)
    assert (found["cursor"], found["reset"], found["changes"], "leaderboard" in found) == ("1.5", False, [], False)


def test_a_request_with_wait_0_is_answered_at_once(harness: Harness) -> None:
    assert data(waiting(harness, "?since=1.5&wait=0"))["changes"] == []


def test_a_client_that_disconnects_ends_its_wait(harness: Harness) -> None:
    connection = waiting(harness)
    assert len(harness.announcer.room) == 1
    before = len(harness.clock.getDelayedCalls())
    connection.hang_up()
    assert harness.announcer.room == []
    assert len(harness.clock.getDelayedCalls()) == before - 1, "nor is there an alarm left"


def test_a_client_that_disconnects_during_the_read_never_waits(harness: Harness) -> None:
    harness.ranking.held = Deferred()
    connection = waiting(harness)
    connection.hang_up()
    harness.ranking.held.callback(None)
    assert harness.announcer.room == []


def test_a_client_that_disconnects_while_its_ticket_is_redeemed_causes_no_fault(harness: Harness) -> None:
    harness.ask("POST", "/api/v1/auth/ticket")
    harness.tickets.held_back = Deferred()
    connection = harness.connection()
    connection.send(request("GET", STREAM + "?ticket=ticket-0"))
    connection.hang_up()
    with capturedLogs() as logs:
        harness.tickets.held_back.callback(None)
    assert logs == []


def test_the_number_of_waiting_requests_is_bounded(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WAITING_MAX", 2)
    connections = [waiting(harness) for _ in range(3)]
    assert [[reply.status for reply in connection.replies()] for connection in connections] == [[], [], [503]]
    connections[0].hang_up()
    assert waiting(harness).replies() == []


def test_waiting_requests_are_answered_when_the_server_stops(harness: Harness) -> None:
    connection = waiting(harness)
    drained: list[object] = []
    harness.drain().addCallback(drained.append)
    assert data(connection)["changes"] == []
    connection.hang_up()
    assert drained


def test_a_degraded_history_is_503(harness: Harness) -> None:
    harness.ranking.degraded, harness.ranking.missed = True, None
    reply = harness.ask("GET", PATH + "?since=1.5")
    assert (reply.status, reply.json["error"], reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=", "since"),
        ("since=1", "since"),
        ("since=01.1", "since"),
        ("since=1.%31", "since"),
        ("since=-1.1", "since"),
        ("since=1.1&since=1.1", "since"),
        ("since=1.1&wait=31", "wait"),
        ("since=1.1&wait=-1", "wait"),
        ("since=1.1&wait=1.5", "wait"),
        ("since=1.1&wait=05", "wait"),
        ("since=1.1&wait=", "wait"),
        ("since=1.1&ticket=a&ticket=b", "ticket"),
        ("since=\xb2.1", "since"),
    ],
)
def test_a_query_is_read_strictly(harness: Harness, query: str, field: str) -> None:
    reply = harness.ask("GET", f"{PATH}?{query}")
    assert (reply.status, reply.json["error"]) == (400, "MALFORMED_REQUEST")
    if "\xb2" not in query:
        assert reply.json["field"] == field


@pytest.mark.parametrize("path", [PATH, STREAM])
def test_a_request_without_a_token_is_refused(harness: Harness, path: str) -> None:
    assert harness.ask("GET", path, token=None).status == 401
    assert harness.ask("GET", path, token="bad").status == 401
    assert harness.streams == []


def test_a_stream_is_opened_for_the_player_from_the_cursor_on(harness: Harness) -> None:
    harness.ask("GET", STREAM + "?since=3.17")
    harness.ask("GET", STREAM + "?since=3.17", headers={"Last-Event-ID": "3.20"})
    harness.ask("GET", STREAM)
    harness.ask("GET", STREAM + "?since=3.17&lastEventId=3.21")
    harness.ask("GET", STREAM + "?lastEventId=3.21", headers={"Last-Event-ID": "3.22"})
    harness.ask("GET", STREAM + "?since=3.17&lastEventId=")
    cursors = [None if since is None else since.text for _, _, since, _ in harness.streams]
    assert cursors == ["3.17", "3.20", None, "3.21", "3.22", "3.17"]
    player, address, _, header_lines = harness.streams[0]
    assert (player.user_id, address) == ("user-123", "203.0.113.9")
    assert b"Access-Control-Allow-Origin: *\r\n" in header_lines


def test_an_invalid_last_event_id_is_refused(harness: Harness) -> None:
    for wrong in ("yesterday", "3.1\r\nLast-Event-ID: 3.2"):
        reply = harness.ask("GET", STREAM, headers={"Last-Event-ID": wrong})
        assert (reply.status, reply.json["field"]) == (400, "Last-Event-ID")
    for query in ("lastEventId=yesterday", "lastEventId=3.1&lastEventId=3.1"):
        reply = harness.ask("GET", f"{STREAM}?{query}")
        assert (reply.status, reply.json["field"]) == (400, "lastEventId")


def test_head_of_a_stream_is_answered_and_ends(harness: Harness) -> None:
    reply = harness.ask("HEAD", STREAM)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    assert harness.streams == []


def test_a_ticket_proves_its_player_once(harness: Harness) -> None:
    issued = harness.ask("POST", "/api/v1/auth/ticket").json["data"]
    assert issued == {"ticket": "ticket-0", "expiresAt": (NOW_S + 30) * 1000}
    harness.ask("GET", f"{STREAM}?ticket={issued['ticket']}", token=None)
    assert harness.streams[0][0].user_id == "user-123"
    again = harness.ask("GET", f"{STREAM}?ticket={issued['ticket']}", token=None)
    assert "POST /api/v1/auth/ticket gives another one" in again.json["message"]
    without = harness.ask("GET", STREAM, token=None)
    assert (without.status, without.json["code"]) == (401, 4010)
    assert "?ticket= and a ticket that POST /api/v1/auth/ticket gives" in without.json["message"]
    assert (again.status, again.json["error"]) == (401, "INVALID_TOKEN")
    assert len(harness.streams) == 1


def test_a_ticket_does_not_outlive_its_token(harness: Harness) -> None:
    harness.ask("POST", "/api/v1/auth/ticket", token=harness.token(life_s=10))
    harness.pass_time(11)
    assert harness.ask("GET", PATH + "?ticket=ticket-0", token=None).status == 401


@pytest.mark.parametrize("path", [PATH, STREAM])
def test_a_ticket_of_a_player_suspended_since_is_refused(harness: Harness, path: str) -> None:
    harness.ask("POST", "/api/v1/auth/ticket")
    harness.suspended.add("user-123")
    reply = harness.ask("GET", path + "?ticket=ticket-0", token=None)
    assert (reply.status, reply.json["code"], reply.json["message"]) == (403, 4030, "This account is suspended")
    harness.suspended.clear()
    assert harness.ask("GET", path + "?ticket=ticket-0", token=None).status == 401, "and it was used up"
    assert harness.streams == []


def test_without_redis_there_are_no_tickets(harness: Harness) -> None:
    harness.tickets.broken = True
    assert harness.ask("POST", "/api/v1/auth/ticket").status == 503
    assert harness.ask("GET", PATH + "?ticket=ticket-0", token=None).status == 503


def test_a_ticket_is_issued_only_for_a_token(harness: Harness) -> None:
    assert harness.ask("POST", "/api/v1/auth/ticket", token=None).status == 401
    assert harness.tickets.held == {}
