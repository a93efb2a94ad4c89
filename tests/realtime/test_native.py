"""Native protocol: what a client sends and what it gets, as docs/protocol-live.md specifies."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged
from tests.realtime.fake_transport import frame
from tests.realtime.harness import HOUR_S, NOW_S, Harness, page


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_token_in_the_handshake_authenticates_the_client(harness: Harness) -> None:
    harness.open_websocket("amy")
    assert [listener.player.user_id for listener in harness.announcer.known] == ["amy"]


def test_a_token_in_the_first_message_authenticates_and_the_ack_has_its_end(harness: Harness) -> None:
    client = harness.open_websocket(token=None)
    assert not harness.announcer.known
    client.send_event("auth", {"token": "amy@60"}, 1)
    assert client.events() == [{"event": "ack", "id": 1, "data": {"userId": "amy", "expiresAt": (NOW_S + 60) * 1000}}]
    assert len(harness.announcer.known) == 1


def test_an_invalid_first_token_gets_an_error_and_closes_the_socket(harness: Harness) -> None:
    client = harness.open_websocket(token=None)
    client.send_event("auth", {"token": "bad"}, 1)
    (_, error), (opcode, close_reason) = client.frames()
    assert json.loads(error) == {
        "event": "error",
        "data": {"code": 4011, "error": "INVALID_TOKEN", "message": "The token is not valid"},
        "id": 1,
    }
    assert (opcode, close_reason) == (8, (4401).to_bytes(2, "big") + b"the token is not valid")


def test_a_suspended_player_gets_the_reason_and_is_closed(harness: Harness) -> None:
    client = harness.open_websocket(token=None)
    client.send_event("auth", {"token": "suspended"}, 1)
    (_, error), (opcode, close_reason) = client.frames()
    assert json.loads(error)["data"]["code"] == 4030
    assert (opcode, close_reason) == (8, (4403).to_bytes(2, "big") + b"the account is suspended")


def test_a_client_without_a_token_is_closed_after_ten_seconds(harness: Harness) -> None:
    client = harness.open_websocket(token=None)
    harness.pass_time(9)
    assert client.events() == []
    harness.pass_time(2)
    assert client.closed() == (4401, "no token came in time")


def test_a_join_is_answered_by_the_cursor_and_then_the_board(harness: Harness) -> None:
    client = harness.open_websocket()
    client.send_event("join:leaderboard", number=7)
    ack, update = client.events()
    assert ack == {"event": "ack", "id": 7, "data": {"epoch": 3, "seq": 17}}
    assert update == {
        "event": "leaderboard:update",
        "data": {
            "type": "LEADERBOARD_REFRESH",
            "data": {
                "leaderboard": [
                    {
                        "rank": rank,
                        "userId": f"user-{rank}",
                        "username": f"player {rank}",
                        "score": 100 - rank,
                        "lastUpdated": f"2025-10-22T10:30:15.00{rank}Z",
                        "avatar": None,
                    }
                    for rank in (1, 2)
                ],
                "total": 2,
                "timestamp": "2025-10-22T10:30:15.000Z",
                "epoch": 3,
                "seq": 17,
            },
        },
    }


@pytest.mark.parametrize(
    ("sent", "view"), [('{"around":2.0}', {"around": 2}), ('{"offset":1e1,"limit":5.0}', {"offset": 10, "limit": 5})]
)
def test_a_whole_number_may_be_written_with_a_point_or_an_exponent(harness: Harness, sent: str, view: dict[str, int]) -> None:
    client = harness.open_websocket()
    client.send(frame(1, f'{{"event":"join:leaderboard","data":{{"view":{sent}}},"id":7.0}}'.encode()))
    ack = client.events()[0]
    assert (ack["event"], ack["id"], ack["data"]["view"]) == ("ack", 7, view)


@pytest.mark.parametrize("sent", ['{"around":2.5}', '{"offset":1e-1}', '{"around":true}', '{"around":"2.0"}', '{"around":-1.0}'])
def test_a_number_that_is_not_whole_is_refused(harness: Harness, sent: str) -> None:
    client = harness.open_websocket()
    client.send(frame(1, f'{{"event":"join:leaderboard","data":{{"view":{sent}}},"id":7}}'.encode()))
    assert client.events()[0]["data"]["code"] == 4000


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"auth","data":{"token":"x","token":"amy@60"},"id":1}',
        '{"event":"auth","event":"auth","data":{"token":"amy@60"},"id":1}',
        '{"event":"auth","data":{"token":"x","token":"amy@60"},"id":1.0}',
        '{"event":"join:leaderboard","data":{"view":{"offset":0,"offset":1}},"id":1}',
    ],
)
def test_a_member_that_is_there_twice_is_refused_as_in_bodies(harness: Harness, message: str) -> None:
    client = harness.open_websocket(token=None if "auth" in message else "amy")
    client.send(frame(1, message.encode()))
    assert "an object has two members of one name" in client.events()[0]["data"]["message"]


def test_a_join_without_an_id_is_answered_by_the_board_alone(harness: Harness) -> None:
    client = harness.open_websocket()
    client.send_event("join:leaderboard")
    assert [event["event"] for event in client.events()] == ["leaderboard:update"]


def test_a_client_gets_events_until_it_leaves_the_room(harness: Harness) -> None:
    client, other = harness.viewer(), harness.viewer("zed")
    client.send_event("leave:leaderboard", number=2)
    harness.announcer.announce(BoardChanged(page=page(18)))
    assert client.events() == [{"event": "ack", "id": 2, "data": {}}]
    assert [event["data"]["data"]["seq"] for event in other.events()] == [18]
    assert len(harness.announcer.known) == 2


@pytest.mark.parametrize("event", ["join:leaderboard", "leave:leaderboard"])
def test_a_client_without_a_player_is_asked_to_authenticate_first(harness: Harness, event: str) -> None:
    client = harness.open_websocket(token=None)
    client.send_event(event, number=0)
    (error,) = client.events()
    assert (error["data"]["code"], error["id"]) == (4010, 0)


def test_a_join_fails_while_the_board_cannot_be_read_and_works_afterwards(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.announcer.broken = StoreUnavailable("redis")
    client.send_event("join:leaderboard", number=1)
    (error,) = client.events()
    assert (error["data"]["code"], error["data"]["retryAfter"], error["id"]) == (5030, 1, 1)
    harness.announcer.broken = None
    client.send_event("join:leaderboard", number=2)
    assert len(client.events()) == 2


def test_a_join_or_leave_is_refused_while_another_join_is_under_way(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.announcer.held = Deferred()
    for number, event in enumerate(("join:leaderboard", "join:leaderboard", "leave:leaderboard")):
        client.send_event(event, number=number)
    assert [(event["data"]["code"], event["id"]) for event in client.events()] == [(4290, 1), (4290, 2)]
    harness.announcer.held.callback(None)
    assert [event.get("id") for event in client.events()] == [0, None]


def test_the_answer_to_a_join_is_dropped_if_the_client_has_disconnected(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.announcer.held = Deferred()
    client.send_event("join:leaderboard", number=1)
    client.break_connection()
    harness.announcer.held.callback(None)
    assert not harness.announcer.room
    assert client.frames() == []


def test_a_fault_of_the_server_is_logged_and_closes_with_1011(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.announcer.broken = ZeroDivisionError("secret detail")
    with capturedLogs() as logged:
        client.send_event("join:leaderboard", number=1)
    assert [entry["log_failure"].type for entry in logged] == [ZeroDivisionError]
    assert client.closed() == (1011, "the server has a fault")
    assert b"secret" not in client.transport.sent
    assert harness.meter.counts[FAILURES_METRIC] == 1


def test_a_socket_is_closed_when_its_token_ends(harness: Harness) -> None:
    client = harness.open_websocket("amy@15")
    harness.pass_time(14)
    assert [event["event"] for event in client.events()] == ["auth:expiring"]
    harness.pass_time(1)
    assert client.closed() == (4401, "the token ended")
    assert not harness.announcer.known


def test_the_client_is_warned_once_of_the_end_of_each_token(harness: Harness) -> None:
    client = harness.open_websocket("amy@35")
    harness.pass_time(4)
    assert client.events() == []
    harness.pass_time(3)
    assert client.events() == [{"event": "auth:expiring", "data": {"expiresAt": (NOW_S + 35) * 1000}}]
    client.send_event("auth:refresh", {"token": "amy@42"})
    harness.pass_time(4)
    assert client.events() == []
    harness.pass_time(3)
    assert client.events() == [{"event": "auth:expiring", "data": {"expiresAt": (NOW_S + 42) * 1000}}]


def test_a_new_token_of_the_same_player_moves_the_end(harness: Harness) -> None:
    client = harness.open_websocket("amy@60")
    harness.pass_time(15)
    client.send_event("auth:refresh", {"token": "amy@120"}, 1)
    assert client.events()[0]["data"]["expiresAt"] == (NOW_S + 120) * 1000
    for _ in range(10):
        harness.pass_time(10)
        client.send(frame(10))
    assert client.transport.lost is None
    harness.pass_time(10)
    assert client.closed() == (4401, "the token ended")


@pytest.mark.parametrize("text", ['42["join:leaderboard"]', '420["join:leaderboard",{}]', '40{"token":"amy"}'])
def test_a_packet_of_socket_io_is_refused_with_the_place_where_it_belongs(harness: Harness, text: str) -> None:
    client = harness.open_websocket()
    client.send(frame(1, text.encode()))
    (error,) = client.events()
    assert (error["data"]["code"], error["data"]["message"]) == (
        4000,
        "message: is a packet of Socket.IO; its clients connect to /socket.io/",
    )


@pytest.mark.parametrize("event", ["auth", "auth:refresh"])
@pytest.mark.parametrize(
    "token", ["bad", "Bearer amy", " amy", "amy\n", "a b", "ämy", "", "x" * 4_097, 7, None, True, ["amy"], {"token": "amy"}]
)
def test_what_is_no_token_is_refused_as_a_token_that_is_not_valid(harness: Harness, event: str, token: object) -> None:
    """HTTP and Socket.IO answer the same: a client that gets 4011 fetches another token."""
    client = harness.open_websocket(None)
    client.send_event(event, {"token": token}, 1)
    (_, text), (opcode, close_reason) = client.frames()
    error = json.loads(text)
    assert (error["event"], error["id"], error["data"]["code"], error["data"]["error"]) == ("error", 1, 4011, "INVALID_TOKEN")
    assert (opcode, close_reason) == (8, (4401).to_bytes(2, "big") + b"the token is not valid")


@pytest.mark.parametrize(("token", "code"), [("zed", 4030), ("bad", 4011)])
def test_an_auth_with_a_bad_or_foreign_token_is_refused_and_the_old_token_stays(harness: Harness, token: str, code: int) -> None:
    client = harness.open_websocket("amy")
    client.send_event("auth", {"token": token})
    assert [event["data"]["code"] for event in client.events()] == [code]
    assert [listener.player.user_id for listener in harness.announcer.known] == ["amy"]
    client.send_event("join:leaderboard", number=1)
    assert len(client.events()) == 2


def test_when_the_clock_is_set_back_no_token_ends(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.wall_ahead_s = -HOUR_S
    harness.pass_time(5)
    assert client.events() == []


def test_when_the_clock_is_set_forward_an_expired_token_ends_within_a_second(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.wall_ahead_s = -HOUR_S
    harness.pass_time(5)
    harness.wall_ahead_s = 2 * HOUR_S
    harness.pass_time(1)
    assert client.closed() == (4401, "the token ended")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        '"join:leaderboard"',
        "{",
        "{}",
        '{"event":7}',
        '{"event":null}',
        '{"event":"nothing of ours"}',
        '{"event":"__proto__"}',
        '{"event":"' + "x" * 65 + '"}',
        '{"event":"join:leaderboard","data":{"mode":"columns"}}',
        '{"event":"join:leaderboard","data":[]}',
        '{"event":"join:leaderboard","id":-1}',
        '{"event":"join:leaderboard","id":1.5}',
        '{"event":"join:leaderboard","id":true}',
        '{"event":"join:leaderboard","id":"1"}',
        '{"event":"join:leaderboard","id":9007199254740993}',
        '{"event":"join:leaderboard","id":' + "9" * 5_000 + "}",
        '{"event":"join:leaderboard","extra":1}',
        '{"event":"auth"}',
        '{"event":"auth","data":{}}',
        '{"event":"auth","data":{"token":"\\ud800"}}',
        '{"event":"join:leaderboard","data":NaN}',
        '{"event":"join:leaderboard","data":' + "[" * 60_000,
        '{"event":"x","data":' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"event":"join:leaderboard"} ,',
    ],
)
def test_an_invalid_message_gets_an_error_and_the_socket_stays_open(harness: Harness, text: str) -> None:
    client = harness.open_websocket()
    client.send(frame(1, text.encode()))
    (error,) = client.events()
    assert error["event"] == "error"
    assert (error["data"]["code"], error["data"]["error"]) == (4000, "MALFORMED_REQUEST")
    assert len(error["data"]["message"]) < 300
    client.send_event("join:leaderboard", number=1)
    assert client.events()[0]["event"] == "ack"


def test_too_many_events_a_second_get_one_error_and_close_the_socket(harness: Harness) -> None:
    client = harness.open_websocket()
    for number in range(25):
        client.send_event("leave:leaderboard", number=number)
    *answers, (_, error), (opcode, close_reason) = client.frames()
    assert len(answers) == 20
    assert json.loads(error)["data"] == {
        "code": 4290,
        "error": "RATE_LIMIT_EXCEEDED",
        "message": "Too many events a second",
        "retryAfter": 1,
    }
    assert (opcode, close_reason[:2]) == (8, (1008).to_bytes(2, "big"))


def test_a_client_that_sends_as_many_events_as_allowed_is_never_closed(harness: Harness) -> None:
    client = harness.open_websocket()
    for number in range(200):
        client.send_event("leave:leaderboard", number=number)
        harness.clock.advance(0.05)
    assert len(client.events()) == 200


def test_a_byte_order_mark_before_a_message_is_ignored(harness: Harness) -> None:
    client = harness.open_websocket()
    client.send(frame(1, b'\xef\xbb\xbf{"event": "join:leaderboard", "id": 1}'))
    assert client.events()[0]["event"] == "ack"
