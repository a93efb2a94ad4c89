"""Server-sent events: the live events as an HTTP response that does not end."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, ScoreChanged
from scoreboard.domain.players import Player
from scoreboard.realtime.sse import HEARTBEAT_S, SseEncoder, Stream
from tests.realtime.fake_transport import FakeTransport
from tests.realtime.harness import HOUR_S, NOW_S, Harness, page

HEADERS = (
    b"HTTP/1.1 200 OK\r\nX-More: lines\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\nConnection: close\r\n"
)
HEAD = HEADERS + b"\r\nretry: 2000\n\n"


def moved(seq: int, user_id: str = "user-99") -> ScoreChanged:
    at = Cursor(epoch=3, seq=seq)
    return ScoreChanged(cursor=at, user_id=user_id, username="late", points=1, rank=99, previous_rank=None, at_ms=NOW_S * 1000)


class StreamClient:
    """Client of one stream. With HTTP/1.0 it gets no chunks."""

    def __init__(
        self,
        harness: Harness,
        *,
        since: Cursor | None = None,
        life_s: int = HOUR_S,
        address: str = "192.0.2.7",
        version: bytes = b"HTTP/1.0",
    ) -> None:
        player = Player(user_id="amy", username="amy", role="user", expires_at_s=NOW_S + life_s)
        self.stream = Stream(harness.services, player, address, since, b"X-More: lines\r\n", version)
        self.transport = FakeTransport()
        self.transport.protocol = self.stream
        harness.transports.append(self.transport)
        self.stream.makeConnection(self.transport)
        self.transport.step()
        self._read = 0

    def received(self) -> bytes:
        """Return the bytes since the last call."""
        self.transport.step()
        data = self.transport.sent[self._read :]
        self._read += len(data)
        return data

    def events(self) -> list[tuple[str | None, str, Any]]:
        """Return (id, event, data) of each event since the last call. Nothing else may have come."""
        return parsed(self.received())


def parsed(data: bytes) -> list[tuple[str | None, str, Any]]:
    assert data == b"" or data.endswith(b"\n\n")
    events = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(unix_pair.split(": ", 1) for unix_pair in block.split("\n"))
        events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return events


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_stream_begins_with_its_header_and_a_snapshot_with_reset(harness: Harness) -> None:
    client = StreamClient(harness)
    answered = client.received()
    assert answered.startswith(HEAD)
    ((cursor, event, data),) = parsed(answered.removeprefix(HEAD))
    assert (cursor, event, data["type"], data["data"]["reset"]) == ("3.17", "leaderboard:update", "LEADERBOARD_REFRESH", True)


def test_a_client_that_resumes_in_time_gets_only_what_it_missed(harness: Harness) -> None:
    harness.announcer.missed = (moved(17),)
    answered = StreamClient(harness, since=Cursor(epoch=3, seq=12)).received()
    ((cursor, event, data),) = parsed(answered.removeprefix(HEAD))
    assert (cursor, event, data["data"]["userId"]) == ("3.17", "score:update", "user-99")


def test_a_client_whose_kernel_accepts_bytes_that_it_does_not_read_is_closed(harness: Harness) -> None:
    client = StreamClient(harness)
    client.received()
    client.stream._writer._peer = SimpleNamespace(measure=lambda now_s: harness.settings.read_timeout_s)  # type: ignore[assignment]
    harness.pass_time(1)
    assert client.events() == [(None, "goodbye", {"code": 4008, "reason": "too slow: nothing is read"})]
    assert harness.meter.counts["sockets_closed_slow_total"] == 1


def test_a_client_that_missed_nothing_gets_nothing(harness: Harness) -> None:
    harness.announcer.missed = ()
    assert StreamClient(harness, since=Cursor(epoch=3, seq=17)).received() == HEAD


def test_a_client_whose_history_is_lost_gets_a_snapshot_with_reset(harness: Harness) -> None:
    answered = StreamClient(harness, since=Cursor(epoch=2, seq=17)).received()
    assert parsed(answered.removeprefix(HEAD))[0][2]["data"]["reset"] is True


def test_live_events_are_those_of_the_websocket_with_an_id(harness: Harness) -> None:
    client = StreamClient(harness)
    client.received()
    harness.announcer.announce(BoardChanged(page=page(18)))
    harness.announcer.announce(moved(19))
    first, second = client.events()
    assert first[:2] == ("3.18", "leaderboard:update")
    assert second[:2] == ("3.19", "score:update")
    assert (second[2]["type"], second[2]["data"]["seq"]) == ("SCORE_CHANGED", 19)


def test_only_the_last_event_of_a_tick_has_the_id() -> None:
    encoder = SseEncoder(chunked=False)
    tick = (moved(18, "a"), moved(18, "b"), BoardChanged(page=page(18)))
    assert [parsed(encoder.encode((event,)))[0][0] for event in tick] == ["3.18"] * 3
    assert [event[0] for event in parsed(encoder.encode(tick))] == [None, None, "3.18"]
    assert [event[0] for event in parsed(encoder.encode(tick, more=True))] == [None] * 3


def test_events_before_the_join_are_not_sent_twice(harness: Harness) -> None:
    harness.announcer.held = Deferred()
    client = StreamClient(harness)
    assert not client.stream.drained
    assert client.received() == HEAD
    harness.announcer.held.callback(None)
    assert client.stream.drained
    assert len(client.events()) == 1


def chunks(data: bytes) -> list[bytes]:
    """The chunks in the bytes, which end with a whole one."""
    found = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        found.append(data[:length])
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
    return found


def test_each_event_is_a_chunk_of_its_own_on_http_1_1(harness: Harness) -> None:
    plain, client = StreamClient(harness), StreamClient(harness, version=b"HTTP/1.1")
    head, _, body = client.received().partition(b"\r\n\r\n")
    assert head + b"\r\n" == HEADERS + b"Transfer-Encoding: chunked\r\n"
    retry, snapshot = chunks(body)
    assert HEADERS + b"\r\n" + retry + snapshot == plain.received()
    for news in (moved(19), BoardChanged(page=page(20))):
        harness.announcer.announce(news)
        assert chunks(client.received()) == [plain.received()]
    harness.pass_time(HEARTBEAT_S + 1)
    assert chunks(client.received()) == [b":\n\n"]
    client.stream.close(CloseReason(code=1012, reason="stopping"))
    assert chunks(client.received()) == [b'event: goodbye\ndata: {"code":1012,"reason":"stopping"}\n\n', b""]


def test_no_event_is_no_chunk() -> None:
    assert SseEncoder(chunked=True).encode(()) == b"", "an empty chunk would end the response"


def test_a_heartbeat_comes_every_fifteen_seconds(harness: Harness) -> None:
    client = StreamClient(harness)
    client.received()
    harness.pass_time(HEARTBEAT_S - 1)
    assert client.received() == b""
    harness.pass_time(2)
    assert client.received() == b":\n\n"


def test_a_stream_is_closed_when_its_token_ends(harness: Harness) -> None:
    client = StreamClient(harness, life_s=5)
    client.received()
    harness.pass_time(4)
    assert client.events() == [(None, "auth:expiring", {"expiresAt": (NOW_S + 5) * 1000})]
    harness.pass_time(2)
    assert client.events() == [(None, "goodbye", {"code": 4401, "reason": "the token ended"})]
    assert client.transport.finished
    assert not harness.announcer.known


def test_a_client_that_does_not_read_is_offered_nothing_and_aborted(harness: Harness) -> None:
    client = StreamClient(harness)
    client.transport.room = 10
    harness.announcer.announce(BoardChanged(page=page(18)))
    assert not client.stream.drained
    harness.pass_time(20)
    assert client.transport.lost == "aborted"
    assert harness.connected == 0


def test_a_client_that_disconnects_leaves_nothing_behind(harness: Harness) -> None:
    client = StreamClient(harness)
    client.transport.lose(ConnectionResetError(), "broken")
    assert (harness.connected, harness.announcer.room, harness.announcer.known) == (0, set(), set())


def test_a_client_that_disconnects_during_its_join_gets_nothing(harness: Harness) -> None:
    harness.announcer.held = Deferred()
    client = StreamClient(harness)
    client.transport.lose(ConnectionResetError(), "broken")
    harness.announcer.held.callback(None)
    assert client.received() == HEAD


def test_streams_count_in_the_limits_like_sockets() -> None:
    harness = Harness(sockets_per_address_max=1)
    StreamClient(harness)
    refused = StreamClient(harness).received()
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 60\r\n" in refused
    assert b"X-More: lines\r\n" in refused, "a page of another origin can read it"
    assert StreamClient(harness, address="192.0.2.8").received().startswith(b"HTTP/1.1 200 ")


def test_a_stream_is_closed_with_1013_while_the_board_cannot_be_read(harness: Harness) -> None:
    harness.announcer.broken = StoreUnavailable("no board")
    answered = StreamClient(harness).received()
    assert parsed(answered.removeprefix(HEAD))[0][2]["code"] == 1013


def test_a_fault_while_a_stream_begins_is_counted_and_closes_it(harness: Harness) -> None:
    harness.announcer.broken = ZeroDivisionError("secret detail")
    answered = StreamClient(harness).received()
    assert parsed(answered.removeprefix(HEAD))[0][2] == {"code": 1011, "reason": "the server has a fault"}
    assert harness.meter.counts[FAILURES_METRIC] == 1


def test_a_server_that_stops_sends_the_reason(harness: Harness) -> None:
    client = StreamClient(harness)
    client.received()
    harness.registry.drain(CloseReason(code=1012, reason="stopping"), 0.1).send(None)
    assert client.events()[0][1:] == ("goodbye", {"code": 1012, "reason": "stopping"})


def test_a_client_that_sends_too_many_bytes_is_aborted(harness: Harness) -> None:
    client = StreamClient(harness)
    client.stream.dataReceived(b"x" * harness.settings.ignored_bytes_max)
    assert client.transport.lost is None
    client.stream.dataReceived(b"x")
    client.transport.step()
    assert client.transport.lost == "aborted"
