"""Socket.IO over a WebSocket, from the handshake to the end, and the upgrade from polling."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred

from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.refusals import too_many_requests
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX
from scoreboard.realtime.engineio.limits import EngineSettings
from tests.realtime.fake_transport import FakeTransport, frame
from tests.realtime.harness import FakeRateLimiter
from tests.realtime_sio.harness import Harness, SioClient

WS = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture
def harness() -> Harness:
    return Harness()


def code(client: SioClient) -> int:
    return client.closed()[0]


def upgrade(harness: Harness, sid: str) -> SioClient:
    client = harness.open_websocket(sid)
    client.text("2probe")
    assert client.texts() == ["3probe"]
    client.text("5")
    return client


# The handshake


def test_a_session_opens_with_the_websocket(harness: Harness) -> None:
    client = harness.connect()
    assert client.handshake(WS).startswith("HTTP/1.1 101 ")
    (hello,) = client.texts()
    assert hello[0] == "0"
    answered = json.loads(hello[1:])
    assert set(answered) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert answered["upgrades"] == []


@pytest.mark.parametrize(
    "target",
    [
        "/socket.io/?transport=websocket",
        "/socket.io/?EIO=abc&transport=websocket",
        "/socket.io/?EIO=4",
        "/socket.io/?EIO=4&transport=abc",
        "/socket.io/?EIO=4&EIO=5&transport=websocket",
        "/socket.io/?EIO=4&transport=websocket&transport=abc",
        f"{WS}&access_token=x",
        "/socket.io/",
    ],
)
def test_a_request_that_engine_io_does_not_allow_is_a_bad_request(harness: Harness, target: str) -> None:
    client = harness.connect()
    assert client.handshake(target).startswith("HTTP/1.1 400 ")  # CVE-2023-31125: a missing EIO
    harness.pass_time(3)
    assert harness.is_empty


def test_a_page_of_another_origin_cannot_open_a_session(harness: Harness) -> None:
    assert harness.connect().handshake(WS, origin="https://evil.example").startswith("HTTP/1.1 403 ")
    assert harness.connect().handshake(WS, origin="https://game.example").startswith("HTTP/1.1 101 ")


def test_a_handshake_with_two_thousand_headers_is_refused(harness: Harness) -> None:  # CVE-2024-37890
    client = harness.connect()
    client.send(f"GET {WS} HTTP/1.1\r\n".encode() + b"".join(b"X-%d: 1\r\n" % number for number in range(2_000)))
    assert client.head().startswith("HTTP/1.1 431 ")


def test_a_client_that_disconnects_during_handshake_or_upgrade_does_not_affect_others(harness: Harness) -> None:  # CVE-2022-41940
    harness.connect().break_connection()
    sid = harness.open_connected()
    half = harness.connect()
    half.send(f"GET {WS}&sid={sid} HTTP/1.1\r\nUpg".encode())
    half.break_connection()
    harness.open_websocket(sid).break_connection()
    assert harness.post(sid, b"3").answer == (200, b"ok")
    assert upgrade(harness, sid).texts() == []


# Connecting to the main namespace


def test_connect_is_answered_before_any_event(harness: Harness) -> None:
    client = harness.open_websocket()
    client.text('40{"token":"amy"}')
    (connected,) = client.texts()
    ids = json.loads(connected.removeprefix("40"))
    assert set(ids) == {"sid", "pid"}
    assert len({ids["sid"], ids["pid"], client.sid}) == 3, "the Engine.IO id is secret, the sid is not"


@pytest.mark.parametrize(
    ("auth", "error_code"),
    [
        *[(auth, 4010) for auth in ("", "{}", '{"jwt":"amy"}', '{"pid":"x","offset":"1.2"}')],
        *[(f'{{"token":{token}}}', 4011) for token in ('"bad"', "7", '""', '"a b"', "null", "{}", '["amy"]', f'"{"x" * 5_000}"')],
        ('{"token":"suspended"}', 4030),
    ],
)
def test_a_refused_client_gets_the_code_of_http_and_nothing_more_and_can_try_again(
    harness: Harness, auth: str, error_code: int
) -> None:
    client = harness.open_websocket()
    client.text(f"40{auth}")
    assert client.texts() == [f'44{{"message":"Authentication failed","data":{{"code":{error_code}}}}}']
    client.text('40{"token":"amy"}')
    assert client.texts()[0].startswith("40")


def test_an_auth_with_a_name_twice_is_refused_and_a_number_in_it_that_nobody_reads_is_not(harness: Harness) -> None:
    client = harness.open_websocket()
    client.text('40{"token":"amy","token":"amy"}')
    (refused,) = client.texts()
    assert refused.startswith("44")
    assert json.loads(refused[2:])["data"]["code"] == 4000
    for number in ("1e400", "-1e400", "5" * 5_001):
        client = harness.open_websocket()
        client.text(f'40{{"token":"amy","more":{number}}}')
        assert client.texts()[0].startswith("40"), number


def test_other_namespaces_are_refused(harness: Harness) -> None:
    client = harness.open_websocket()
    client.text('40/admin,{"token":"amy"}')
    assert client.texts() == ['44/admin,{"message":"Invalid namespace"}']


def test_a_client_that_never_connects_is_closed(harness: Harness) -> None:
    client = harness.open_websocket()
    client.text("40/admin,")
    client.texts()
    harness.pass_time(10)
    assert code(client) == 4401


def test_a_client_that_guesses_tokens_is_closed_soon(harness: Harness) -> None:
    client = harness.open_websocket()
    for _ in range(30):
        client.text('40{"token":"bad"}')
    assert code(client) == 1008


def test_a_client_can_leave_the_namespace_and_connect_again(harness: Harness) -> None:
    client = harness.viewer()
    client.text("41")
    assert not harness.announcer.known
    assert client.texts() == []
    client.text('40{"token":"amy"}')
    assert client.texts()[0].startswith("40")
    assert harness.announcer.known


@pytest.mark.parametrize("tries", [[], ['40{"token":"bad"}'], ["40/other,"]], ids=["silent", "forged token", "namespace"])
def test_a_client_that_has_left_is_closed_after_10_s_unless_it_connects_again(harness: Harness, tries: list[str]) -> None:
    """Whatever its token was: a socket without a player has the time of a new one."""
    left, returned = harness.viewer(), harness.viewer()
    for client in (left, returned):
        client.text("41")
    harness.clock.advance(9)
    for packet in tries:
        left.text(packet)
    returned.text('40{"token":"amy"}')
    assert not left.transport.lost
    harness.clock.advance(1)
    assert code(left) == 4401
    assert not returned.transport.lost


# Events


def test_a_join_is_acknowledged_and_followed_by_a_snapshot(harness: Harness) -> None:
    client = harness.open_websocket()
    client.text('40{"token":"amy"}')
    client.text('4212["join:leaderboard"]')
    _, ack, snapshot = client.texts()
    assert ack == '4312[{"epoch":3,"seq":17}]'
    name, answered, offset = json.loads(snapshot.removeprefix("42"))
    assert (name, answered["type"], answered["data"]["seq"], offset) == ("leaderboard:update", "LEADERBOARD_REFRESH", 17, "3.17")


def test_an_event_without_an_ack_id_is_not_acknowledged(harness: Harness) -> None:
    client = harness.viewer()
    client.text('42["leave:leaderboard"]')
    assert client.texts() == []
    assert not harness.announcer.room


def test_events_are_sent_to_the_room(harness: Harness) -> None:
    client = harness.viewer()
    changed = ScoreChanged(
        cursor=harness.announcer.page.cursor, user_id="u", username="U", points=9, rank=11, previous_rank=None, at_ms=0
    )
    harness.announcer.announce(changed)
    name, answered, offset = json.loads(client.texts()[0].removeprefix("42"))
    assert (name, answered["type"], answered["data"]["newScore"], offset) == ("score:update", "SCORE_CHANGED", 9, "3.17")


def test_a_refusal_is_sent_as_the_acknowledgement_or_as_an_event(harness: Harness) -> None:
    client = harness.viewer()
    client.text('42["nonsense"]')  # also `error` as a name, which brought socket.io down (CVE-2024-38355)
    client.text('42["error"]')
    client.text('427["nonsense"]')
    client.text('428["join:leaderboard",{"mode":"sideways"}]')
    client.text('42["join:leaderboard",1,2]')
    client.text('451-["auth:refresh",{"_placeholder":true,"num":0}]')
    client.binary(b"token")
    answered = client.texts()
    assert [one[:9] for one in answered] == ['42["error', '42["error', '437[{"cod', '438[{"cod', '42["error', '42["error']
    assert json.loads(answered[2][3:])[0]["error"] == "MALFORMED_REQUEST"


def test_a_new_token_moves_the_end(harness: Harness) -> None:
    client = harness.viewer("amy@5")
    client.text('421["auth:refresh",{"token":"bob@100"}]')
    client.text('422["auth:refresh",{"token":"amy@100"}]')
    refused, accepted = client.texts()
    assert '"FORBIDDEN"' in refused
    assert '"userId":"amy"' in accepted
    harness.pass_time(40)
    assert harness.announcer.known


def test_a_client_is_disconnected_when_its_token_ends(harness: Harness) -> None:
    client = harness.viewer("amy@5")
    harness.pass_time(6)
    (_, expiring), *before, (opcode, payload) = client.frames()
    assert expiring.startswith(b'42["auth:expiring",')
    assert before == [(1, b"41")], "so that it does not come back by itself with the same token"
    assert (opcode, payload[:2]) == (8, (4401).to_bytes(2, "big"))
    assert not harness.announcer.known
    assert not harness.engine.connections


def test_a_client_that_sends_too_many_events_is_disconnected(harness: Harness) -> None:
    client = harness.viewer()
    for _ in range(30):
        client.text('42["leave:leaderboard"]')
    *_, last_but_one, (opcode, payload) = client.frames()
    assert last_but_one == (1, b"41")
    assert (opcode, payload[:2]) == (8, (1008).to_bytes(2, "big"))


def test_unexpected_acknowledgements_are_ignored(harness: Harness) -> None:
    client = harness.viewer()
    for number in range(15):
        client.text(f"43{number}[1]")
    assert client.texts() == []
    for number in range(15):
        client.text(f"43{number}[1]")
    assert code(client) == 1008


@pytest.mark.parametrize("broken", [StoreUnavailable("away"), ZeroDivisionError()])
def test_a_join_that_fails_is_refused_or_ends_the_session(harness: Harness, broken: Exception) -> None:
    client = harness.viewer()
    harness.announcer.broken = broken
    client.text('421["join:leaderboard"]')
    if isinstance(broken, StoreUnavailable):
        assert '"UNAVAILABLE"' in client.texts()[0]
    else:
        assert code(client) == 1011
        assert harness.meter.counts[FAILURES_METRIC] == 1


def test_an_answer_for_a_client_that_has_left_is_dropped(harness: Harness) -> None:
    client = harness.viewer()
    harness.announcer.held = Deferred()
    client.text('421["join:leaderboard"]')
    client.text("41")
    client.text('40{"token":"amy"}')
    harness.announcer.held.callback(None)
    assert [one[:2] for one in client.texts()] == ["40"], "the client that connected again did not ask"
    assert not harness.announcer.room


# Closing


@pytest.mark.parametrize(
    "message",
    [
        *(
            "abc",
            "7",
            "2",
            "4abc",
            "42{}",
            '42["connect"]',
            '42["__proto__"]',
            '42[{"toString":"x"}]',
            '42abc["x"]',
            "40",
            '42/x,["a"]',
        ),
        *(
            "451000000-[]",
            '4511-["a"]',
            '451-["a",{"_placeholder":true,"num":"toString"}]',
            '451-["a",{"_placeholder":true,"num":-1}]',
        ),
        *('451-["a",{"_placeholder":true,"num":1000000000}]', "42" + "9" * 5_000 + '["a"]', "42[" + "[" * 10_000, ""),
    ],
)
def test_a_malformed_message_closes_the_session(harness: Harness, message: str) -> None:
    client = harness.viewer()
    client.text(message)
    assert code(client) == 1008
    assert not harness.announcer.known
    assert not harness.engine.connections


def test_a_binary_message_without_a_packet_closes_the_session(harness: Harness) -> None:
    client = harness.viewer()
    client.binary(b"x")
    assert code(client) == 1008


def test_a_client_can_close_the_session(harness: Harness) -> None:
    client = harness.viewer()
    client.text("1")
    assert code(client) == 1000
    harness.pass_time(3)
    assert harness.is_empty


def test_violations_of_rfc_6455_close_the_session(harness: Harness) -> None:
    for message, expected in ((frame(1, b"4\xff"), 1007), (frame(2, b"x" * 16_385), 1009), (frame(1, b"x", masked=False), 1002)):
        client = harness.viewer()
        client.send(message)
        assert code(client) == expected


def test_a_message_that_is_too_big_is_closed_with_the_code_alone(harness: Harness) -> None:
    """As Engine.IO's reference server does."""
    client = harness.viewer()
    client.send(frame(1, b"x" * 16_385))
    assert client.frames()[-1][1] == (1009).to_bytes(2, "big")


def test_too_many_tiny_fragments_close_the_session(harness: Harness) -> None:  # CVE-2026-48779
    client = harness.viewer()
    client.send(frame(1, b"4", fin=False) + frame(0, b"", fin=False) * 10_000)
    assert code(client) == 1008


def test_the_server_pings_and_a_silent_client_is_closed_in_time(harness: Harness) -> None:
    alive, dead = harness.viewer(), harness.viewer()
    harness.pass_time(25)
    assert alive.texts() == dead.texts() == ["2"]
    alive.text("3")
    harness.pass_time(19)
    assert len(harness.engine.connections) == 2
    harness.pass_time(1)
    assert len(harness.engine.connections) == 1
    harness.pass_time(3)
    assert dead.transport.lost == "aborted"
    assert alive.transport.lost is None


def test_a_session_has_one_timer_however_many_pongs_come(harness: Harness) -> None:  # python-engineio CVE-2026-48802
    client = harness.viewer()
    for _ in range(50):
        client.text("3")
    assert len(harness.clock.getDelayedCalls()) == 2
    client.break_connection()
    assert harness.is_empty


def test_a_slow_reader_is_offered_nothing_more(harness: Harness) -> None:
    client = harness.viewer()
    client.transport.room = 10
    for _ in range(1_000):
        harness.announcer.publish([])
    assert client.transport.waiting_bytes < 2_000


def test_clients_that_come_and_go_leave_nothing_behind(harness: Harness) -> None:
    for number in range(200):
        client = harness.viewer(f"user-{number}")
        match number % 4:
            case 0:
                client.break_connection()
            case 1:
                client.text("1")
            case 2:
                client.text("nonsense")
            case _:
                client.send(frame(8, b"\x03\xe8"))
    harness.pass_time(5)
    assert harness.is_empty


# Upgrade from polling


def test_an_upgraded_client_stays_in_its_room(harness: Harness) -> None:
    sid = harness.open_connected()
    harness.post(sid, b'42["join:leaderboard"]')
    waiting = harness.get(sid)  # answered with the snapshot
    assert waiting.answer is not None
    waiting = harness.get(sid)
    client = harness.open_websocket(sid)
    client.text("2probe")
    assert client.texts() == ["3probe"]
    assert waiting.answer == (200, b"6")
    harness.announcer.publish([])
    client.text("5")
    (while_between,) = client.texts()
    assert while_between.startswith('42["leaderboard:update"')
    harness.announcer.publish([])
    assert len(client.texts()) == 1
    assert harness.get(sid).status == 400
    assert harness.meter.values["websocket_connections_active"] == 1
    harness.pass_time(1)
    client.break_connection()
    assert harness.is_empty


def test_a_second_socket_for_an_upgraded_session_is_accepted_and_closed(harness: Harness) -> None:
    sid = harness.open_connected()
    first = upgrade(harness, sid)
    second = harness.open_websocket(sid)
    assert code(second) == 1008
    first.text('421["join:leaderboard"]')
    assert len(first.texts()) == 2


def test_the_upgrades_of_one_address_do_not_take_the_room_of_all_handshakes(harness: Harness) -> None:
    sid = harness.open_connected()
    allowed = harness.settings.upgrades_per_address_max
    statuses = [
        harness.connect().handshake(f"{WS}&sid={sid}", "X-Forwarded-For: mallory").split(" ")[1] for _ in range(2 * allowed)
    ]
    assert statuses == ["101"] * (1 + allowed) + ["429"] * (allowed - 1), "one is attached, the others are closed"
    assert harness.registry.handshaking == 1 + allowed <= harness.settings.handshaking_max // 8 + 1
    assert harness.meter.counts["live_connections_refused_total"] == allowed - 1
    other = harness.open_connected("bob")
    assert harness.connect().handshake(f"{WS}&sid={other}", "X-Forwarded-For: bob").startswith("HTTP/1.1 101 ")
    harness.pass_time(4)
    assert harness.connect().handshake(f"{WS}&sid={sid}", "X-Forwarded-For: mallory").startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize("message", ["x", "5", None])
def test_an_upgrade_that_is_given_up_counts_until_it_is_closed(harness: Harness, message: str | None) -> None:
    """A session takes the next one at once, while the former waits for its close."""
    sid, allowed = harness.open_connected(), harness.settings.upgrades_per_address_max
    statuses = []
    for _ in range(3 * allowed):
        socket = harness.connect()
        statuses.append(socket.handshake(f"{WS}&sid={sid}", "X-Forwarded-For: mallory").split(" ")[1])
        if statuses[-1] == "101" and message is not None:
            socket.text(message)
    assert statuses.count("429") >= 2 * allowed - 1
    assert harness.registry.handshaking <= allowed + 1
    harness.pass_time(14)
    assert harness.registry.handshaking == 0, "nothing is left behind"


def test_upgrades_that_their_sessions_took_leave_the_room_of_all_handshakes_free(harness: Harness) -> None:
    sids = [harness.open() for _ in range(2 * harness.settings.upgrades_per_address_max)]
    sockets = [harness.open_websocket(sid) for sid in sids]
    assert harness.registry.handshaking == len(sids)
    for socket in sockets:
        socket.text("2probe")
        assert socket.texts() == ["3probe"]
    harness.pass_time(10)
    assert all(code(socket) == 1008 for socket in sockets)
    harness.pass_time(4)
    assert harness.registry.handshaking == 0


@pytest.mark.parametrize("message", ["x", "5", b"\0"])
def test_upgrades_that_all_sessions_of_an_address_give_up_at_once_leave_the_room_of_all_handshakes_free(
    harness: Harness, message: str | bytes
) -> None:
    allowed = harness.settings.upgrades_per_address_max
    sockets = [harness.open_websocket(harness.open()) for _ in range(2 * allowed)]
    for socket in sockets:
        socket.send(frame(1 if isinstance(message, str) else 2, message.encode() if isinstance(message, str) else message))
    assert harness.registry.handshaking == allowed, "the others are cut off"
    for socket in sockets:
        socket.transport.step()
    assert [socket.transport.lost for socket in sockets].count("aborted") == allowed
    harness.pass_time(14)
    assert harness.registry.handshaking == 0


def test_a_session_has_one_upgrade_and_each_further_one_counts_as_a_handshake() -> None:
    rate_limiter = FakeRateLimiter()
    rate_limiter.answer.callback(None)
    harness = Harness(rate_limiter=rate_limiter)
    sid = harness.open_connected()
    counted = len(rate_limiter.asked)
    for further in range(4):
        client = harness.open_websocket(sid)
        client.text("x")
        assert code(client) == 1008
        assert len(rate_limiter.asked) == counted + further
    rate_limiter.answer = Deferred()
    client = harness.connect()
    assert client.handshake(f"{WS}&sid={sid}") == ""
    rate_limiter.answer.callback(too_many_requests(2_100, None))
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert client.head().startswith("HTTP/1.1 429 ")
    assert harness.get(sid).answer is None, "the session goes on polling"


@pytest.mark.parametrize("sid", ["unknown", "%C3%A9", "x" * 1_000, "__proto__", "%00"])
def test_a_socket_for_no_session_is_refused_before_the_upgrade(harness: Harness, sid: str) -> None:
    head = harness.connect().handshake(f"{WS}&sid={sid}")
    assert head.startswith("HTTP/1.1 400 ")
    assert "Connection: close" in head
    assert "Date: " in head
    harness.pass_time(3)
    assert harness.is_empty


def test_a_session_goes_on_polling_after_a_failed_upgrade(harness: Harness) -> None:
    sid = harness.open_connected()
    waiting = harness.get(sid)
    for message in ("5", "4hello", "2probex"):
        client = harness.open_websocket(sid)
        client.text(message)
        assert code(client) == 1008
    assert waiting.answer is None
    slow = harness.open_websocket(sid)
    harness.pass_time(10)
    assert code(slow) == 1008
    harness.post(sid, b'42["join:leaderboard"]')
    assert waiting.answer is not None
    assert waiting.answered.startswith(b"42")


def test_an_upgraded_client_is_disconnected_when_its_token_ends(harness: Harness) -> None:
    client = upgrade(harness, harness.open_connected("amy@5"))
    harness.pass_time(6)
    assert [payload[:18] for _, payload in client.frames()][:2] == [b'42["auth:expiring"', b"41"]


def test_a_candidate_for_an_upgrade_is_not_counted_and_has_little_time() -> None:
    harness = Harness(sockets_max=1, engine=EngineSettings(upgrade_timeout_ms=500))
    sid = harness.open_connected()
    client = harness.open_websocket(sid)
    harness.pass_time(1)
    assert code(client) == 1008
    assert upgrade(harness, sid).texts() == []


def test_frames_are_complete_when_the_socket_takes_few_bytes() -> None:
    harness = Harness()
    transport = FakeTransport(room=0)
    client = SioClient(transport)
    transport.protocol = harness.factory.buildProtocol(transport.getPeer())
    transport.protocol.makeConnection(transport)
    client.handshake(WS)
    assert harness.connected == 1
    harness.pass_time(30)
    client.break_connection()
    assert harness.is_empty
