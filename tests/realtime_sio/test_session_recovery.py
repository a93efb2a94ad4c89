"""Recovery of Socket.IO sessions: which are saved, who recovers them, and which events follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from scoreboard.domain.close_reasons import RESTARTING, STALLED
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, RankAchieved, ScoreChanged
from scoreboard.domain.saved_session import SavedSession
from scoreboard.storage.memory.sessions import MemorySessionStore
from tests.awaiting import result_of, started
from tests.realtime.fake_transport import frame
from tests.realtime.harness import page
from tests.realtime_sio.harness import Harness, SioClient

MOVED = ScoreChanged(
    cursor=Cursor(epoch=3, seq=19), user_id="user-99", username="late", points=1, rank=99, previous_rank=None, at_ms=0
)
ROSE = RankAchieved(cursor=Cursor(epoch=3, seq=19), user_id="amy", milestone=50, rank=44, previous_rank=None, at_ms=0)
TOP = BoardChanged(page=page(19))


class SlowSessionStore(MemorySessionStore):
    """Session store whose answers the test delays."""

    held: Deferred[None] | None = None

    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        saved_session = await super().restore(pid, user_id)
        if self.held is not None:
            await self.held
        return saved_session


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture
def slow(harness: Harness) -> SlowSessionStore:
    slow = harness.clients.session_store = SlowSessionStore(harness.clock.seconds)
    slow.held = Deferred()
    return slow


def ids(connected: str | bytes) -> dict[str, str]:
    text = connected if isinstance(connected, str) else connected.decode()
    assert text.startswith("40"), text
    found: dict[str, str] = json.loads(text[2:])
    return found


def event(text: str) -> list[Any]:
    assert text.startswith("42"), text
    answered: list[Any] = json.loads(text[2:])
    return answered


def arrive(
    harness: Harness, *, join: str | None = '42["join:leaderboard"]', token: str = "amy", **auth: Any
) -> tuple[SioClient, Any]:
    """Connect a WebSocket client, let it join the room if asked, and return it and its ids."""
    client = harness.open_websocket()
    client.text("40" + json.dumps({"token": token, **auth}))
    (connected,) = client.texts()
    if join is not None:
        client.text(join)
        client.texts()
    return client, ids(connected)


def reconnect(
    harness: Harness, pid: Any, offset: Any = "3.17", *, token: str = "amy", **auth: Any
) -> tuple[SioClient, dict[str, str], list[Any]]:
    """Connect with the ids of an earlier session. Returns the client, its ids, and the events that follow at once."""
    client = harness.open_websocket()
    auth_object = {"pid": pid, "token": token, **auth}
    client.text("40" + json.dumps(auth_object if offset is None else {**auth_object, "offset": offset}))
    connected, *answered = client.texts()
    return client, ids(connected), [event(text) for text in answered]


# Recovered sessions


def test_a_lost_client_recovers_its_session_and_room_and_gets_what_it_missed(harness: Harness) -> None:
    client, was = arrive(harness)
    client.break_connection()
    assert not harness.announcer.known
    harness.announcer.page, harness.announcer.missed = page(19), (MOVED, TOP, ROSE)
    client, now, answered = reconnect(harness, was["pid"])
    assert now == was
    assert [(name, *rest) for name, _, *rest in answered] == [
        ("score:update",),
        ("leaderboard:update",),
        ("rank:achieved", "3.19"),
    ]
    assert "reset" not in answered[1][1]["data"]
    harness.announcer.announce(BoardChanged(page=page(20)))
    assert event(client.texts()[0])[2] == "3.20"


def test_a_recovered_client_that_missed_nothing_gets_nothing(harness: Harness) -> None:
    client, was = arrive(harness)
    harness.announcer.missed = ()
    for _ in range(2):
        client.break_connection()
        client, now, answered = reconnect(harness, was["pid"], "3.18")
        assert (now, answered) == (was, [])
        assert harness.announcer.room


@pytest.mark.parametrize("offset", ["3.17", "3.2"])
def test_a_snapshot_that_may_have_been_lost_is_sent_again(harness: Harness, offset: str) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed = ()
    for _ in range(2):
        client, now, answered = reconnect(harness, was["pid"], offset)
        assert now == was
        assert [(name, data["data"].get("reset"), *rest) for name, data, *rest in answered] == [
            ("leaderboard:update", None, "3.17")
        ]
        client.break_connection()


def test_a_client_in_rows_mode_recovers_in_rows_mode(harness: Harness) -> None:
    client, was = arrive(harness, join='42["join:leaderboard",{"mode":"rows"}]')
    client.break_connection()
    harness.announcer.missed = ()
    client, now, _ = reconnect(harness, was["pid"], "3.18")
    assert now == was
    harness.announcer.announce(BoardChanged(page=page(19, 1), before=page(18, 2).rows))
    name, _, offset = event(client.texts()[0])
    assert (name, offset) == ("leaderboard:rows", "3.19")


def test_a_client_in_no_room_recovers_in_none_and_gets_its_own_events(harness: Harness) -> None:
    client, was = arrive(harness, join=None)
    client.break_connection()
    harness.announcer.missed = (ROSE,)
    _, now, answered = reconnect(harness, was["pid"])
    assert now == was
    assert [(name, *rest) for name, _, *rest in answered] == [("rank:achieved", "3.19")]
    assert harness.announcer.known
    assert not harness.announcer.room


def test_a_client_that_left_the_room_recovers_in_none(harness: Harness) -> None:
    client, was = arrive(harness)
    client.text('42["leave:leaderboard"]')
    client.break_connection()
    harness.announcer.missed = ()
    _, now, answered = reconnect(harness, was["pid"])
    assert (now, answered) == (was, [])
    assert not harness.announcer.room


def test_a_client_that_resumed_by_a_join_can_be_lost_and_recover_again(harness: Harness) -> None:
    harness.announcer.missed = ()
    client, was = arrive(harness, join='42["join:leaderboard",{"since":"3.15"}]')
    client.break_connection()
    _, now, answered = reconnect(harness, was["pid"], "3.16")
    assert (now, answered) == (was, [])


def test_a_polling_client_recovers_as_a_websocket_client_does(harness: Harness) -> None:
    sid = harness.open()
    harness.post(sid, b'40{"token":"amy"}')
    was = ids(harness.packets(sid)[0])
    harness.post(sid, b'42["join:leaderboard"]')
    assert harness.packets(sid)[0].endswith(b',"3.17"]')
    harness.get(sid).disconnect()
    harness.announcer.page, harness.announcer.missed = page(19), (MOVED, TOP)
    sid = harness.open()
    harness.post(sid, json.dumps({"pid": was["pid"], "offset": "3.17", "token": "amy"}).join(["40", ""]).encode())
    connected, moved, top = harness.packets(sid)
    assert ids(connected) == was
    assert moved.endswith(b"}]")
    assert top.endswith(b',"3.19"]')
    harness.announcer.announce(BoardChanged(page=page(20)))
    assert harness.packets(sid)[0].endswith(b',"3.20"]')


def test_a_client_can_be_lost_and_recover_many_times(harness: Harness) -> None:
    client, was = arrive(harness)
    harness.announcer.missed = (TOP,)
    for _ in range(5):
        client.break_connection()
        harness.pass_time(119)
        client, now, _ = reconnect(harness, was["pid"])
        assert now == was


def test_a_client_can_recover_at_a_restarted_or_another_server(harness: Harness) -> None:
    client, was = arrive(harness, join='42["join:leaderboard",{"mode":"rows"}]')
    _restart(harness, client)
    assert client.close_code() == 1012
    other = Harness()
    other.clients.session_store = harness.session_store
    other.announcer.missed = (TOP,)
    client, now, answered = reconnect(other, was["pid"])
    assert now == was
    assert answered[0][2] == "3.19"
    other.announcer.announce(BoardChanged(page=page(20, 1), before=page(19, 2).rows))
    assert event(client.texts()[0])[0] == "leaderboard:rows"


# New sessions


def test_a_client_whose_history_is_lost_gets_a_new_session_in_the_same_room(harness: Harness) -> None:
    client, was = arrive(harness, join='42["join:leaderboard",{"mode":"rows"}]')
    client.break_connection()
    client, now, answered = reconnect(harness, was["pid"], "2.5")
    assert {*now.values()}.isdisjoint(was.values())
    ((name, data, offset),) = answered
    assert (name, data["data"]["reset"], offset) == ("leaderboard:update", True, "3.17")
    harness.announcer.announce(BoardChanged(page=page(19, 1), before=page(17, 2).rows))
    assert event(client.texts()[0])[0] == "leaderboard:rows"
    client.break_connection()
    harness.announcer.missed = (TOP,)
    assert reconnect(harness, was["pid"])[1]["sid"] != was["sid"], "the old session is gone"
    assert reconnect(harness, now["pid"])[1] == now


@pytest.mark.parametrize("offset", [None, "", "x", "3", "3.17.1", "-1.2", "9" * 100, 3.17, 317, True, [], {"a": [{}]}])
def test_an_invalid_offset_counts_as_a_lost_history(harness: Harness, offset: Any) -> None:
    client, was = arrive(harness)
    client.break_connection()
    client, now, answered = reconnect(harness, was["pid"], offset)
    assert now["pid"] != was["pid"]
    assert [(name, data["data"]["reset"]) for name, data, _ in answered] == [("leaderboard:update", True)]


def test_a_client_in_no_room_whose_history_is_lost_gets_a_new_session(harness: Harness) -> None:
    client, was = arrive(harness, join=None)
    client.break_connection()
    client, now, answered = reconnect(harness, was["pid"], "2.5")
    assert now["pid"] != was["pid"]
    assert answered == []


@pytest.mark.parametrize("pid", ["unknown", "", "x" * 65, "x" * 9_000, 7, None, True, [], {"pid": 1}, "é", "a:b", "\x00"])
def test_an_unknown_pid_counts_as_a_first_connection(harness: Harness, pid: Any) -> None:
    client, now, answered = reconnect(harness, pid)
    assert set(now) == {"sid", "pid"}
    assert answered == []
    assert not harness.announcer.room
    client.text('421["join:leaderboard"]')
    assert client.texts()[0] == '431[{"epoch":3,"seq":17}]'


def test_a_pid_is_useless_to_another_user_and_stays_valid_for_its_own(harness: Harness) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed = (TOP,)
    _, thief, answered = reconnect(harness, was["pid"], token="bob")
    assert thief["pid"] != was["pid"]
    assert answered == []
    assert reconnect(harness, was["pid"])[1] == was


def test_a_pid_is_valid_once(harness: Harness) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed = (TOP,)
    assert reconnect(harness, was["pid"])[1] == was
    _, now, answered = reconnect(harness, was["pid"])
    assert now["pid"] != was["pid"]
    assert answered == []


def test_a_pid_is_unknown_after_two_minutes(harness: Harness) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.pass_time(120)
    assert reconnect(harness, was["pid"])[1]["pid"] != was["pid"]
    assert not harness.announcer.room


def test_a_bad_token_is_refused_and_the_session_stays_saved(harness: Harness) -> None:
    client, was = arrive(harness)
    client.break_connection()
    client = harness.open_websocket()
    client.text(json.dumps({"token": "bad", "pid": was["pid"], "offset": "3.17"}).join(["40", ""]))
    assert client.texts() == ['44{"message":"Authentication failed","data":{"code":4011}}']
    harness.announcer.missed = (TOP,)
    client.text(json.dumps({"token": "amy", "pid": was["pid"], "offset": "3.17"}).join(["40", ""]))
    assert ids(client.texts()[0]) == was


def test_while_the_session_store_fails_a_client_gets_a_new_session(harness: Harness) -> None:
    client, was = arrive(harness)
    harness.session_store.broken = True
    client.break_connection()
    client, now, _ = reconnect(harness, was["pid"])
    assert now["pid"] != was["pid"]
    client.text('42["join:leaderboard"]')
    assert event(client.texts()[0])[0] == "leaderboard:update"


@pytest.mark.parametrize("join", [None, '42["join:leaderboard"]'])
def test_without_a_board_a_client_gets_a_new_session_in_no_room(harness: Harness, join: str | None) -> None:
    client, was = arrive(harness, join=join)
    client.break_connection()
    harness.announcer.broken = StoreUnavailable("away")
    client, now, answered = reconnect(harness, was["pid"])
    assert now["pid"] != was["pid"]
    assert answered == []
    client.break_connection()
    harness.announcer.broken, harness.announcer.missed = None, ()
    assert reconnect(harness, now["pid"])[1] == now
    assert not harness.announcer.room


# Saved sessions


def _break_connection(harness: Harness, client: SioClient) -> None:
    client.break_connection()


def _close_the_engine(harness: Harness, client: SioClient) -> None:
    client.text("1")


def _close_the_socket(harness: Harness, client: SioClient) -> None:
    client.send(frame(8, b"\x03\xe8"))


def _stop_answering_pings(harness: Harness, client: SioClient) -> None:
    harness.pass_time(45)
    client.frames()


def _restart(harness: Harness, client: SioClient) -> None:
    started(harness.registry.drain(RESTARTING, 0.1))
    harness.pass_time(4, 0.05)


def _read_slowly(harness: Harness, client: SioClient) -> None:
    (client_session,) = harness.announcer.room
    client_session.close(STALLED)


LOSSES = [_break_connection, _close_the_engine, _close_the_socket, _stop_answering_pings, _read_slowly, _restart]


@pytest.mark.parametrize("lose", LOSSES)
def test_the_session_of_a_lost_client_is_saved(harness: Harness, lose: Callable[[Harness, SioClient], None]) -> None:
    client, was = arrive(harness)
    lose(harness, client)
    assert not harness.announcer.known
    kept = result_of(harness.session_store.restore(was["pid"], "amy"))
    assert kept is not None
    assert kept.sid == was["sid"]


@pytest.mark.parametrize("lose", ["hang up", "close", "silence", "restart"])
def test_the_session_of_a_lost_polling_client_is_saved(harness: Harness, lose: str) -> None:
    sid = harness.open()
    harness.post(sid, b'40{"token":"amy"}')
    was = ids(harness.packets(sid)[0])
    if lose == "hang up":
        harness.get(sid).disconnect()
    elif lose == "close":
        harness.post(sid, b"1")
    elif lose == "silence":
        harness.pass_time(45)
    else:
        _restart(harness, harness.connect())
    assert not harness.engine.connections
    assert result_of(harness.session_store.restore(was["pid"], "amy")) is not None


@pytest.mark.parametrize(
    "ending",
    [
        lambda harness, client: client.text("41"),
        lambda harness, client: client.text("42"),
        lambda harness, client: client.text("7"),
        lambda harness, client: client.text("40"),
        lambda harness, client: client.text("x" * 20_000),
        lambda harness, client: client.send(frame(1, b"\xff")),
        lambda harness, client: client.send(frame(1, b"2", masked=False)),
        lambda harness, client: client.send(frame(9) * 300),
        lambda harness, client: [client.text('42["leave:leaderboard"]') for _ in range(30)],
        lambda harness, client: harness.pass_time(30),  # the token ends
    ],
    ids=["left", "malformed", "unknown", "twice", "too big", "not text", "unmasked", "frames", "events", "token"],
)
def test_the_session_of_a_client_that_left_or_was_disconnected_is_not_saved(
    harness: Harness, ending: Callable[[Harness, SioClient], object]
) -> None:
    client, was = arrive(harness, token="amy@30")
    ending(harness, client)
    client.break_connection()
    harness.announcer.missed = ()
    _, now, answered = reconnect(harness, was["pid"])
    assert now["pid"] != was["pid"]
    assert answered == []
    assert not harness.announcer.room


@pytest.mark.parametrize("body", [b"42", b"4" * 20, b"\x1e".join([b"3"] * 101), b"\xff"])
def test_the_session_of_a_client_that_posts_a_malformed_packet_is_not_saved(harness: Harness, body: bytes) -> None:
    sid = harness.open()
    harness.post(sid, b'40{"token":"amy"}')
    was = ids(harness.packets(sid)[0])
    harness.post(sid, body)
    assert not harness.engine.connections
    assert result_of(harness.session_store.restore(was["pid"], "amy")) is None


# Clients without recovery


def test_a_client_without_recovery_gets_no_pid_and_no_offsets_and_is_not_saved(harness: Harness) -> None:
    client, was = arrive(harness, recovery=False, join=None)
    assert set(was) == {"sid"}
    client.text('42["join:leaderboard"]')
    harness.announcer.announce(TOP)
    assert [len(event(text)) for text in client.texts()] == [2, 2]
    client.break_connection()
    other, was = arrive(harness)
    other.break_connection()
    client, now, answered = reconnect(harness, was["pid"], recovery=False)
    assert (set(now), answered) == ({"sid"}, [])
    assert not harness.announcer.room


@pytest.mark.parametrize("recovery", [True, None, 0, "false", [False], {}])
def test_only_false_turns_recovery_off(harness: Harness, recovery: Any) -> None:
    assert set(arrive(harness, recovery=recovery)[1]) == {"sid", "pid"}


def test_an_acknowledgement_has_no_offset(harness: Harness) -> None:
    client, _ = arrive(harness)
    client.text('42["nonsense"]')
    client.text('427["leave:leaderboard"]')
    error, ack = client.texts()
    assert (len(event(error)), ack) == (2, "437[{}]")


def test_the_last_event_of_a_join_has_the_offset(harness: Harness) -> None:
    client, _ = arrive(harness, join=None)
    harness.announcer.page, harness.announcer.missed = page(19), (MOVED, TOP)
    client.text('421["join:leaderboard",{"since":"3.17"}]')
    ack, *answered = client.texts()
    assert ack == '431[{"epoch":3,"seq":19,"recovered":true}]'
    assert [event(text)[2:] for text in answered] == [[], ["3.19"]]


# While the session store has not answered


def request_recovery(harness: Harness, pid: str, offset: str = "3.17") -> SioClient:
    client = harness.open_websocket()
    client.text("40" + json.dumps({"pid": pid, "offset": offset, "token": "amy"}))
    assert client.texts() == []
    return client


def answer(deferred: Deferred[None] | None) -> None:
    assert deferred is not None
    deferred.callback(None)


def test_nothing_is_sent_before_the_session_store_answers(harness: Harness, slow: SlowSessionStore) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed, harness.announcer.held = (MOVED, TOP), Deferred()
    client = request_recovery(harness, was["pid"])
    (client_session,) = harness.announcer.known
    assert not client_session.drained
    answer(slow.held)
    assert client.texts() == []
    assert not client_session.drained
    client.text("40/other,")
    assert client.texts() == ['44/other,{"message":"Invalid namespace"}']
    answer(harness.announcer.held)
    assert [text[:4] for text in client.texts()] == ['40{"', '42["', '42["']
    assert client_session.drained


@pytest.mark.parametrize("stage", ["store", "announcer"])
def test_a_client_lost_again_before_the_answer_has_its_session_saved_once_more(
    harness: Harness, slow: SlowSessionStore, stage: str
) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed, harness.announcer.held = (MOVED, TOP), Deferred()
    client = request_recovery(harness, was["pid"])
    if stage == "announcer":
        answer(slow.held)
    client.break_connection()
    if stage == "store":
        answer(slow.held)
    answer(harness.announcer.held)
    assert not harness.announcer.known
    assert not harness.announcer.room
    slow.held = harness.announcer.held = None
    _, now, answered = reconnect(harness, was["pid"])
    assert (now, len(answered)) == (was, 2)
    assert reconnect(harness, was["pid"])[1] != was


@pytest.mark.parametrize("stage", ["store", "announcer"])
@pytest.mark.parametrize("packet", ['42["join:leaderboard"]', "41", "40", "7"])
def test_a_client_that_sends_before_the_answer_is_disconnected(
    harness: Harness, slow: SlowSessionStore, stage: str, packet: str
) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed, harness.announcer.held = (MOVED, TOP), Deferred()
    client = request_recovery(harness, was["pid"])
    if stage == "announcer":
        answer(slow.held)
    client.text(packet)
    assert client.close_code() == 1008
    if stage == "store":
        answer(slow.held)
    answer(harness.announcer.held)
    slow.held = harness.announcer.held = None
    assert not harness.announcer.known
    assert reconnect(harness, was["pid"])[1]["pid"] != was["pid"]


def test_only_one_of_two_clients_with_the_same_pid_recovers(harness: Harness, slow: SlowSessionStore) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed = (TOP,)
    one, two = request_recovery(harness, was["pid"]), request_recovery(harness, was["pid"])
    answer(slow.held)
    found = [ids(client.texts()[0]) for client in (one, two)]
    assert [now == was for now in found] == [True, False]


def test_an_upgrade_before_the_answer_gets_the_answer_on_the_websocket(harness: Harness, slow: SlowSessionStore) -> None:
    client, was = arrive(harness)
    client.break_connection()
    harness.announcer.missed = (TOP,)
    sid = harness.open()
    harness.post(sid, ("40" + json.dumps({"pid": was["pid"], "offset": "3.17", "token": "amy"})).encode())
    socket = harness.open_websocket(sid)
    socket.text("2probe")
    socket.text("5")
    assert socket.texts() == ["3probe"]
    (client_session,) = harness.announcer.known
    assert not client_session.drained
    answer(slow.held)
    connected, answered = socket.texts()
    assert ids(connected) == was
    assert event(answered)[2] == "3.19"
    harness.announcer.announce(BoardChanged(page=page(20)))
    assert event(socket.texts()[0])[2] == "3.20"


def test_a_token_that_ends_before_the_answer_closes_the_connection(harness: Harness, slow: SlowSessionStore) -> None:
    client = harness.open_websocket()
    client.text('40{"pid":"x","token":"amy@5"}')
    harness.pass_time(6)
    assert client.close_code() == 4401
    answer(slow.held)
    assert not harness.announcer.known


def test_clients_that_recovered_and_left_leave_nothing_behind(harness: Harness) -> None:
    client, was = arrive(harness)
    harness.announcer.missed = (TOP,)
    for _ in range(3):
        client.break_connection()
        client, _, _ = reconnect(harness, was["pid"])
    client.text("41")
    client.break_connection()
    assert harness.is_empty
