"""Engine.IO session without I/O: its input, its output, and when it closes."""

from __future__ import annotations

import json

import pytest

from scoreboard.domain import close_reasons
from scoreboard.net.websocket.frames import binary_frame, text_frame
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.packets import Malformed, payload_of
from scoreboard.realtime.engineio.session import NEVER, Misplaced, Session, Transport

SETTINGS = EngineSettings(ping_interval_ms=300, ping_timeout_ms=200, connect_timeout_ms=None, queued_bytes_max=1_000)
BORN_MS = 10_000


def polling(settings: EngineSettings = SETTINGS) -> Session:
    session = Session("s", Transport.POLLING, settings, BORN_MS)
    session.poll(BORN_MS)
    assert session.take_payload() is not None
    return session


def websocket(settings: EngineSettings = SETTINGS) -> Session:
    session = Session("s", Transport.WEBSOCKET, settings, BORN_MS)
    session.take_frames()
    return session


def said(session: Session) -> bytes:
    """Return the packets for the WebSocket since the last call."""
    return payload_of(session.take_frames())


@pytest.mark.parametrize(("transport", "upgrades"), [(Transport.POLLING, ["websocket"]), (Transport.WEBSOCKET, [])])
def test_the_first_packet_holds_exactly_what_a_client_must_know(transport: Transport, upgrades: list[str]) -> None:
    session = Session("abc", transport, SETTINGS, 0)
    if transport is Transport.POLLING:
        session.poll(0)
        payload = session.take_payload()
    else:
        payload = payload_of(session.take_frames())
    assert payload is not None
    assert payload[:1] == b"0"
    hello = {"sid": "abc", "upgrades": upgrades, "pingInterval": 300, "pingTimeout": 200, "maxPayload": 16_384}
    assert json.loads(payload[1:]) == hello


# Polling


def test_a_get_waits_until_there_is_a_packet() -> None:
    session = polling()
    session.poll(BORN_MS)
    assert session.take_payload() is None
    session.send(text_frame(b"4a") + binary_frame(b"\x01\x02\x03\x04"))
    session.send(text_frame(b"4" + b"x" * 200))
    assert session.take_payload() == b"4a\x1ebAQIDBA==\x1e4" + b"x" * 200
    assert session.take_payload() is None, "no GET waits"


def test_the_messages_of_a_post_come_in_order() -> None:
    assert polling().post(b"4test1\x1ebAQIDBA==\x1e4\x1e4test3", BORN_MS) == ["test1", b"\1\2\3\4", "", "test3"]


@pytest.mark.parametrize(
    "body", [b"", b"abc", b"7", b"4a\x1e", b"\x1e4a", b"bAQ", b"b!!!!", b"4\xff", b"2", b"2probe", b"4\x1e" * 100 + b"4"]
)
def test_a_malformed_post_closes_the_session(body: bytes) -> None:
    session = polling()
    with pytest.raises(Malformed):
        session.post(body, BORN_MS)
    assert session.close_reason == close_reasons.BAD_PACKET
    with pytest.raises(Misplaced):
        session.poll(BORN_MS)


def test_two_gets_at_once_close_the_session() -> None:
    session = polling()
    session.poll(BORN_MS)
    with pytest.raises(Misplaced):
        session.poll(BORN_MS)
    assert session.take_payload() == b"1"
    with pytest.raises(Misplaced):
        session.post(b"4a", BORN_MS)


def test_a_get_that_is_abandoned_closes_the_session() -> None:
    session = polling()
    session.poll(BORN_MS)
    session.abandon()
    assert session.close_reason == close_reasons.ABANDONED
    assert session.take_payload() is None


def test_the_waiting_get_of_a_client_that_closes_is_answered() -> None:
    session = polling()
    session.poll(BORN_MS)
    assert session.post(b"4last\x1e1\x1e4too late", BORN_MS) == ["last"]
    assert session.take_payload() == b"6"
    assert session.close_reason == close_reasons.CLIENT_CLOSED


def test_empty_frames_do_not_answer_a_get() -> None:
    session = polling()
    session.poll(BORN_MS)
    session.send(b"")
    assert session.take_payload() is None
    session.send(text_frame(b"4a"))
    assert session.take_payload() == b"4a"


def test_a_client_that_fetches_nothing_is_closed_when_too_many_bytes_wait() -> None:
    session = polling()
    for _ in range(100):
        session.send(text_frame(b"4" + b"x" * 98))
    assert session.close_reason == close_reasons.NOT_POLLED
    assert session.queued_bytes <= SETTINGS.queued_bytes_max + 100


# Heartbeat


def test_a_pong_starts_the_next_ping_interval() -> None:
    session = websocket()
    now_ms = BORN_MS
    for _ in range(3):
        now_ms += 299
        session.pass_time(now_ms)
        assert said(session) == b""
        now_ms += 1
        session.pass_time(now_ms)
        assert said(session) == b"2"
        now_ms += 199
        assert session.receive("3", now_ms) is None
        assert session.close_reason is None


@pytest.mark.parametrize("transport", list(Transport))
def test_a_session_without_a_pong_closes_exactly_after_interval_and_timeout(transport: Transport) -> None:
    session = polling() if transport is Transport.POLLING else websocket()
    session.pass_time(BORN_MS + 499)
    assert session.close_reason is None
    session.pass_time(BORN_MS + 500)
    assert session.close_reason == close_reasons.NO_PONG


def test_a_session_without_a_pong_closes_even_if_no_timer_fires() -> None:
    session = polling()
    with pytest.raises(Misplaced):
        session.post(b"3", BORN_MS + 500)


def test_a_pong_without_a_ping_changes_nothing() -> None:
    session = websocket()
    for now_ms in range(BORN_MS, BORN_MS + 300, 10):
        session.receive("3", now_ms)
        assert session.deadline_ms == BORN_MS + 300
    session.pass_time(BORN_MS + 300)
    assert said(session) == b"2"


def test_an_open_session_always_has_a_deadline_and_a_closed_one_has_none() -> None:
    session = websocket()
    assert session.deadline_ms == BORN_MS + 300
    session.pass_time(BORN_MS + 300)
    assert session.deadline_ms == BORN_MS + 500
    session.close(close_reasons.CLIENT_CLOSED)
    assert session.deadline_ms == NEVER


def test_a_client_that_is_not_accepted_in_time_is_closed() -> None:
    settings = EngineSettings(connect_timeout_ms=100)
    welcome, unknown_client = polling(settings), polling(settings)
    welcome.stop_connect_timer()
    for session in (welcome, unknown_client):
        session.pass_time(BORN_MS + 100)
    assert (welcome.close_reason, unknown_client.close_reason) == (None, close_reasons.NO_CONNECT)


# WebSocket


def test_a_websocket_carries_text_and_binary() -> None:
    session = websocket()
    assert session.receive("4hello", BORN_MS) == "hello"
    assert session.receive(b"\1\2", BORN_MS) == b"\1\2"
    assert session.receive("bAQI=", BORN_MS) == b"\1\2", "a client that cannot send binary, or that has forceBase64"


@pytest.mark.parametrize("packet", ["0", "0{}", "3x", "5", "5x", "6", "6x"])
def test_a_packet_that_changes_nothing_is_ignored_as_the_reference_server_does(packet: str) -> None:
    session = websocket()
    assert session.receive(packet, BORN_MS) is None
    assert session.receive("4hello", BORN_MS) == "hello"
    session = polling()
    assert session.post(f"{packet}\x1e4hello".encode(), BORN_MS) == ["hello"]


@pytest.mark.parametrize("message", ["", "abc", "7", "2", "2probe", "bAQI", "b!!!="])
def test_a_malformed_message_closes_a_websocket(message: str) -> None:
    session = websocket()
    assert session.receive(message, BORN_MS) is None
    assert session.close_reason == close_reasons.BAD_PACKET
    assert session.receive("4a", BORN_MS) is None
    session.send(text_frame(b"4late"))
    assert session.take_frames() == b""


# Upgrade


def upgraded() -> Session:
    session = polling()
    session.attach(BORN_MS)
    assert session.probe("2probe", BORN_MS) == text_frame(b"3probe")
    assert session.probe("5", BORN_MS) == b""
    assert session.transport is Transport.WEBSOCKET
    return session


def test_the_probe_ends_the_waiting_get() -> None:
    session = polling()
    session.poll(BORN_MS)
    session.attach(BORN_MS)
    assert session.take_payload() is None
    session.probe("2probe", BORN_MS)
    assert session.take_payload() == b"6"
    session.poll(BORN_MS)
    assert session.take_payload() == b"6", "and so is one that comes while the client makes up its mind"


def test_packets_that_wait_at_the_upgrade_are_sent_over_the_websocket() -> None:
    session = polling()
    session.send(text_frame(b"4early"))
    session.attach(BORN_MS)
    session.probe("2probe", BORN_MS)
    assert session.take_frames() == b""
    session.probe("5", BORN_MS)
    assert said(session) == b"4early"


def test_after_the_upgrade_neither_a_poll_nor_another_upgrade_is_accepted() -> None:
    session = upgraded()
    with pytest.raises(Misplaced):
        session.poll(BORN_MS)
    with pytest.raises(Misplaced):
        session.post(b"4a", BORN_MS)
    with pytest.raises(Misplaced):
        session.attach(BORN_MS)
    assert session.receive("4hello", BORN_MS) == "hello"


@pytest.mark.parametrize("message", ["5", "4hello", "2", "", b"2probe", "2probex"])
def test_a_session_goes_on_polling_after_a_failed_upgrade(message: str | bytes) -> None:
    session = polling()
    session.attach(BORN_MS)
    with pytest.raises(Misplaced):
        session.probe(message, BORN_MS)
    assert not session.attached
    assert session.post(b"4still here", BORN_MS) == ["still here"]
    session.poll(BORN_MS)
    assert session.take_payload() is None, "GETs wait again"


def test_an_upgrade_has_a_time_limit_and_one_candidate() -> None:
    session = polling(EngineSettings(upgrade_timeout_ms=50))
    session.attach(BORN_MS)
    with pytest.raises(Misplaced):
        session.attach(BORN_MS)
    assert session.attached
    session.pass_time(session.deadline_ms)
    assert not session.attached
    assert session.close_reason is None
