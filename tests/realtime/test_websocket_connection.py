"""WebSocket connections: violations of RFC 6455, limits, deadlines, backpressure, and nothing left behind."""

from __future__ import annotations

import gc
import json
import struct
from itertools import pairwise
from types import SimpleNamespace
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.events import BoardChanged
from scoreboard.net import connections as registry
from tests.awaiting import started
from tests.realtime.fake_transport import FakeTransport, frame
from tests.realtime.harness import Harness, page

RESTART = CloseReason(code=1012, reason="the server is stopping")


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"{}", masked=False), 1002),
        (frame(1, b"{}", rsv=4), 1002),
        (frame(1, b"{}", rsv=1), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(0, b"out of nowhere"), 1002),
        (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
        (frame(9, fin=False), 1002),
        (frame(9, b"x" * 126), 1002),
        (b"\x89\xff" + struct.pack("!Q", 2**62), 1002),
        (b"\x81\xfe" + struct.pack("!H", 5) + b"\0\0\0\0", 1002),
        (b"\x81\xff" + struct.pack("!Q", 5) + b"\0\0\0\0", 1002),
        (b"\x81\xff" + struct.pack("!Q", 2**63) + b"\0\0\0\0", 1002),
        (frame(8, b"\x03"), 1002),
        (frame(8, struct.pack("!H", 999)), 1002),
        (frame(8, struct.pack("!H", 1005)), 1002),
        (frame(8, struct.pack("!H", 5000)), 1002),
        (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(2, b"\0"), 1003),
        (frame(2, b"\0", fin=False), 1003),
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xc3", fin=False) + frame(0, b"("), 1007),
        (frame(1, b'"\xed\xa0\x80"'), 1007),
        (frame(1, b"x" * 65_537), 1009),
        (frame(1, b"x" * 65_537)[:14], 1009),
        (b"\x81\xff" + struct.pack("!Q", 2**62) + b"\0\0\0\0", 1009),
        (frame(1, b"x" * 40_000, fin=False) + frame(0, b"x" * 40_000), 1009),
        (frame(1, fin=False) + frame(0, fin=False) * 300, 1008),
        (frame(9, b"?") * 300, 1008),
    ],
)
def test_a_violation_of_the_protocol_is_answered_by_the_right_close_code(harness: Harness, data: bytes, code: int) -> None:
    client = harness.open_websocket()
    client.send(data)
    assert client.closed()[0] == code
    assert client.transport.finished
    assert not harness.announcer.known


def test_the_largest_message_is_accepted_in_any_number_of_fragments(harness: Harness) -> None:
    client = harness.open_websocket()
    text = b'{"event":"leave:leaderboard","id":1' + b" " * (65_536 - 36) + b"}"
    data = frame(1, text[:30_000], fin=False) + frame(9, b"between") + frame(0, text[30_000:])
    for at in range(0, len(data), 999):
        client.send(data[at : at + 999])
    assert client.frames() == [(10, b"between"), (1, b'{"event":"ack","id":1,"data":{}}')]


@pytest.mark.parametrize(
    "data",
    [
        frame(1, b'"\xce\xba\xf4', fin=False) + frame(0, b"\x90", fin=False),
        frame(1, b'"\xce\xba\xf4\x90 and much more')[:11],
        frame(1, b"\xff" + b"x" * 60_000)[:9],
    ],
)
def test_text_that_cannot_become_utf_8_is_refused_before_it_is_complete(harness: Harness, data: bytes) -> None:
    client = harness.open_websocket()
    for at in range(len(data)):
        client.send(data[at : at + 1])
    assert client.closed() == (1007, "the text is not UTF-8")


@given(st.text(max_size=50), st.lists(st.integers(0, 200), max_size=5))
def test_fragments_may_be_cut_within_a_character(text: str, cuts: list[int]) -> None:
    harness = Harness()
    client = harness.open_websocket()
    said = json.dumps({"event": text}, ensure_ascii=False).encode("utf-8", "replace")
    http_limits = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = [said[start:end] for start, end in pairwise(http_limits)]
    for number, piece in enumerate(pieces):
        client.send(frame(0 if number else 1, piece, fin=number == len(pieces) - 1))
    assert [event["data"]["error"] for event in client.events()] == ["MALFORMED_REQUEST"]


def test_empty_fragments_count_as_frames_and_two_hundred_close_the_socket(harness: Harness) -> None:
    client = harness.open_websocket()
    client.send(frame(1, fin=False))
    for _ in range(20):
        client.send(frame(0, fin=False) * 50_000)
    assert client.closed() == (1008, "too many frames a second")


def test_the_clients_close_frame_is_answered_and_ends_the_connection(harness: Harness) -> None:
    client = harness.viewer()
    client.send(frame(8, struct.pack("!H", 1001) + "adiós".encode()))
    assert client.closed()[0] == 1000
    assert harness.announcer.room == set()
    client.disconnect()
    assert harness.connected == 0


@pytest.mark.parametrize(
    ("codes", "answer"),
    [
        ((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999), 1000),
        ((0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535), 1002),
    ],
)
def test_only_the_close_codes_of_rfc_6455_are_echoed(harness: Harness, codes: tuple[int, ...], answer: int) -> None:
    for code in codes:
        client = harness.open_websocket()
        client.send(frame(8, struct.pack("!H", code) + b"r" * 123))
        assert client.closed()[0] == answer, code


def test_bytes_after_the_clients_close_frame_are_ignored(harness: Harness) -> None:
    client = harness.viewer()
    client.transport.room = 0
    client.send(frame(8) + frame(9, b"late"))
    client.send(frame(9, b"later") + frame(1, b"{}"))
    client.transport.room = 2**20
    client.transport.step()
    assert client.frames() == [(8, (1000).to_bytes(2, "big"))]
    assert client.transport.finished
    assert client.transport.lost is None, "a reset could have overtaken our answer"
    harness.pass_time(3)
    assert client.transport.lost == "aborted"


def test_after_our_close_frame_nothing_is_sent_and_few_bytes_are_accepted(harness: Harness) -> None:
    client = harness.viewer()
    client.send(frame(2, b"\0"))
    client.frames()
    harness.announcer.announce(BoardChanged(page=page(18)))
    client.send(frame(9, b"?") + frame(1, b'{"event":"join:leaderboard"}'))
    assert client.frames() == []
    assert client.transport.lost is None
    for _ in range(5):
        client.send(b"x" * 65_536)
    assert not client.transport.reading
    assert client.transport.lost is None, "a reset might overtake the close frame"
    harness.pass_time(3)
    assert client.transport.lost == "aborted"
    assert harness.connected == 0


def test_a_client_that_does_not_close_is_aborted_two_seconds_after_our_close_frame(harness: Harness) -> None:
    client = harness.viewer()
    client.send(frame(2, b"\0"))
    harness.pass_time(1)
    assert client.transport.lost is None
    harness.pass_time(2)
    assert client.transport.lost == "aborted"


def test_a_silent_client_is_pinged_and_then_aborted(harness: Harness) -> None:
    client = harness.open_websocket()
    harness.pass_time(21)
    assert client.frames() == [(9, b"")]
    harness.pass_time(18)
    assert client.transport.lost is None
    harness.pass_time(3)
    assert client.transport.lost == "aborted"
    assert not harness.announcer.known


@pytest.mark.parametrize("sign_of_life", [frame(10), frame(9), frame(1, b"x")[:3]])
def test_any_bytes_of_the_client_answer_a_ping(harness: Harness, sign_of_life: bytes) -> None:
    client = harness.open_websocket()
    for _ in range(3):
        harness.pass_time(30)
        client.send(sign_of_life[:1] or sign_of_life)
        sign_of_life = sign_of_life[1:] or sign_of_life
    assert client.transport.lost is None


def test_a_client_that_is_silent_after_half_a_frame_is_aborted_like_any_other(harness: Harness) -> None:
    client = harness.open_websocket()
    client.send(frame(1, b'{"event":"join:leaderboard"}')[:20])
    harness.pass_time(41)
    assert client.transport.lost == "aborted"


def test_a_handshake_is_aborted_after_ten_seconds_even_if_bytes_still_come(harness: Harness) -> None:
    client = harness.connect()
    for byte in b"GET /ws HT":
        client.send(bytes((byte,)))
        harness.pass_time(1)
    harness.pass_time(1)
    assert client.transport.lost == "aborted"


def test_a_connection_beyond_the_limit_of_handshakes_is_aborted_without_an_answer(harness: Harness) -> None:
    for _ in range(harness.settings.handshaking_max):
        harness.connect()
    transport = FakeTransport()
    transport.protocol = harness.factory.buildProtocol(transport.getPeer())
    transport.protocol.makeConnection(transport)
    transport.protocol.dataReceived(  # as the HTTP site does it, in the same reactor turn
        b"GET /ws HTTP/1.1\r\nHost: board.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: Bearer amy\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    transport.step()
    assert (transport.sent, transport.lost) == (b"", "aborted")
    assert (harness.connected, harness.announcer.known) == (harness.settings.handshaking_max, set())


def test_a_client_that_never_reads_is_not_read_from_and_buffers_at_most_one_answer(harness: Harness) -> None:
    client = harness.open_websocket()
    client.transport.room = 100
    for number in range(1_000):
        client.send_event("join:leaderboard", number=number)
    assert not client.transport.reading
    assert client.transport.waiting_bytes < 1_000


def test_a_client_that_reads_again_is_read_from_again(harness: Harness) -> None:
    client = harness.open_websocket()
    client.transport.room = 100
    client.send_event("join:leaderboard", number=1)
    client.send_event("join:leaderboard", number=2)
    client.transport.room = 2**20
    client.transport.step()
    client.send_event("leave:leaderboard", number=3)
    assert [event.get("id") for event in client.events()] == [1, None, 3]
    harness.pass_time(19)
    assert client.frames() == []


def test_a_client_that_closes_while_answers_wait_gets_them_and_the_close_frame(harness: Harness) -> None:
    client = harness.open_websocket()
    client.transport.room = 100
    client.send(frame(1, b'{"event":"join:leaderboard"}') + frame(8))
    client.transport.room = 2**20
    client.transport.step()
    assert [opcode for opcode, _ in client.frames()] == [1, 8]
    assert client.transport.finished


def test_answers_that_are_not_read_for_ten_seconds_close_the_socket(harness: Harness) -> None:
    client = harness.open_websocket()
    client.transport.room = 0
    client.send_event("join:leaderboard", number=1)
    harness.pass_time(9)
    assert harness.announcer.known
    harness.pass_time(2)
    assert not harness.announcer.known
    harness.pass_time(3)
    assert client.transport.lost == "aborted"


def test_a_stalled_client_is_not_drained_until_all_bytes_have_left(harness: Harness) -> None:
    client = harness.viewer()
    (listener,) = harness.announcer.room
    client.transport.room = 10
    harness.announcer.announce(BoardChanged(page=page(18)))
    assert not listener.drained
    harness.announcer.announce(BoardChanged(page=page(19)))
    client.transport.room = 2**20
    client.transport.step()
    assert listener.drained
    assert [event["data"]["data"]["seq"] for event in client.events()] == [18]


def test_the_close_frame_of_a_stalled_client_follows_its_data(harness: Harness) -> None:
    client = harness.viewer()
    (listener,) = harness.announcer.room
    client.transport.room = 10
    harness.announcer.announce(BoardChanged(page=page(18)))
    listener.close(CloseReason(code=4008, reason="too slow"))
    assert not harness.announcer.room
    client.transport.room = 2**20
    client.transport.step()
    assert client.closed() == (4008, "too slow")
    assert client.transport.finished


def test_the_sweep_aborts_a_client_that_did_not_read_for_ten_seconds(harness: Harness) -> None:
    client = harness.viewer()
    (listener,) = harness.announcer.room
    client.transport.room = 10
    harness.announcer.announce(BoardChanged(page=page(18)))
    listener.close(CloseReason(code=4008, reason="too slow"))
    harness.pass_time(1)
    assert client.transport.lost == "aborted"
    assert harness.connected == 0


def test_two_hundred_clients_that_come_and_go_leave_nothing_behind(harness: Harness) -> None:
    for number in range(200):
        client = harness.viewer() if number % 2 else harness.open_websocket(token=None)
        match number % 5:
            case 0:
                client.send(frame(8))
                client.disconnect()
            case 1:
                client.break_connection()
            case 2:
                client.send(frame(2))
                client.break_connection()
            case 3:
                client.transport.abortConnection()
                client.transport.step()
            case 4:
                client.send(b"\x81")
                client.break_connection()
    assert harness.connected == 0
    assert harness.meter.values == {"websocket_connections_active": 0}
    assert (harness.announcer.known, harness.announcer.room) == (set(), set())
    assert len(harness.clock.getDelayedCalls()) == 1, "only the sweep"


def test_a_closed_connection_is_freed_without_the_garbage_collector(harness: Harness) -> None:
    gc.disable()
    try:
        client = harness.viewer()
        socket = ref(client.transport.protocol)
        client.break_connection()
        client.transport.protocol = None  # Twisted drops its reference, too
        assert socket() is None
    finally:
        gc.enable()


@given(st.lists(st.binary(max_size=200), max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_handled_without_an_error_and_the_close_frame_is_last(chunks: list[bytes]) -> None:
    with capturedLogs() as logged:
        client = Harness().open_websocket()
        for chunk in chunks:
            client.send(chunk)
    frames = client.frames()
    assert [opcode for opcode, _ in frames[:-1] if opcode == 8] == []
    assert not logged


FRAMES = st.builds(
    lambda opcode, payload, fin, rsv, masked, cut: frame(opcode, payload, fin=fin, rsv=rsv, masked=masked)[: cut or None],
    st.sampled_from([0, 1, 1, 1, 2, 8, 9, 10, 3, 15]),
    st.one_of(
        st.binary(max_size=130),
        st.sampled_from(
            [b'{"event":"join:leaderboard","id":1}', b'{"event":"leave:leaderboard"}', b'{"event":"auth","data":{"token":"amy"}}']
        ),
    ),
    st.sampled_from([True, True, False]),
    st.sampled_from([0, 0, 0, 0, 4]),
    st.sampled_from([True, True, True, True, False]),
    st.sampled_from([0, 0, 0, 0, 0, 3]),
)


@given(st.lists(FRAMES, max_size=40), st.integers(1, 500), st.integers(0, 2_000))
@settings(max_examples=300, deadline=None)
def test_no_sequence_of_frames_raises_or_logs_however_much_the_client_reads(frames: list[bytes], cut: int, room: int) -> None:
    harness = Harness()
    data = b"".join(frames)
    with capturedLogs() as logged:
        client = harness.open_websocket(token=None)
        client.transport.room = room
        for at in range(0, len(data), cut):
            client.send(data[at : at + cut])
        harness.pass_time(45)
        client.transport.step()
    assert not logged
    assert client.transport.lost is not None
    assert harness.connected == 0


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_bytes_in_place_of_a_handshake_raise_or_log(data: bytes) -> None:
    with capturedLogs() as logged:
        client = Harness().connect()
        client.send(data + b"\r\n\r\n")
    assert not logged
    assert (
        client.transport.sent == b""
        or client.head().startswith("HTTP/1.1 4")
        or client.transport.sent.startswith(b"HTTP/1.1 505")
    )


def test_a_stop_closes_clients_evenly_and_admits_no_new_one(harness: Harness) -> None:
    clients = [harness.viewer() for _ in range(100)]
    emptied = started(harness.registry.drain(RESTART, 2.0))
    harness.pass_time(1.0, step_s=0.05)
    parted = sum(client.transport.finished for client in clients)
    assert 45 <= parted <= 70
    assert harness.connect().handshake().startswith("HTTP/1.1 503 ")
    harness.pass_time(6, step_s=0.05)
    assert emptied.called
    assert {client.closed() for client in clients} == {(1012, "the server is stopping")}
    assert harness.connected == 0
    assert not harness.clock.getDelayedCalls()


def test_a_stop_without_clients_takes_no_time(harness: Harness) -> None:
    assert started(harness.registry.drain(RESTART, 5.0)).called


def test_a_fault_of_one_connection_in_the_sweep_does_not_affect_the_others(harness: Harness) -> None:
    broken, idle = harness.open_websocket(), harness.open_websocket(token=None)
    broken.transport.protocol.writer = None
    with capturedLogs() as logged:
        harness.pass_time(21)
    assert [entry["log_failure"].type for entry in logged] == [AttributeError] * 21, "one each second"
    assert idle.closed() == (4401, "no token came in time")


def test_a_client_whose_kernel_accepts_bytes_that_it_does_not_read_is_closed(harness: Harness) -> None:
    client, other = harness.open_websocket(), harness.open_websocket()
    client.transport.protocol.writer._peer = SimpleNamespace(measure=lambda now_s: harness.settings.read_timeout_s)
    harness.pass_time(1)
    assert client.closed() == (4008, "too slow: nothing is read")
    assert other.transport.protocol.close_reason is None
    assert harness.meter.counts["sockets_closed_slow_total"] == 1


def test_the_sweep_checks_many_connections_in_several_reactor_turns(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CONNECTIONS_PER_TURN", 2)
    clients = [harness.open_websocket(token=None) for _ in range(5)]
    harness.pass_time(10)
    assert [client.closed() for client in clients] == [(4401, "no token came in time")] * 5
    harness.pass_time(3)
    assert harness.connected == 0


def test_connections_beyond_the_limit_of_handshakes_are_aborted(harness: Harness) -> None:
    clients = [harness.connect() for _ in range(1_001)]
    assert [client.transport.lost for client in clients[-2:]] == [None, "aborted"]
    assert harness.connected == 1_000


def test_a_tls_connection_is_never_written_to_directly() -> None:
    class Secret(FakeTransport):
        TLS = True

        def writeSomeData(self, data: bytes) -> int:
            assert self.fake_reactor.writers == set() or self.turning
            return super().writeSomeData(data)

        turning = False

        def step(self) -> None:
            self.turning = True
            super().step()
            self.turning = False

    harness = Harness()
    client = harness.connect(Secret())
    assert client.handshake(token="amy").startswith("HTTP/1.1 101 ")
    client.send_event("join:leaderboard", number=1)
    assert len(client.events()) == 2
