"""Long polling as a client sees it: statuses, and what is left of a session afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.logger import capturedLogs

from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.limits import Limit
from scoreboard.domain.refusals import Refused, too_many_requests
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX
from scoreboard.net.websocket.frames import binary_frame, text_frame
from scoreboard.realtime.engineio.connection import EngineConnection
from tests.awaiting import started
from tests.realtime.harness import FakeRateLimiter
from tests.realtime_sio.harness import Harness

EIO = {"EIO": "4", "transport": "polling"}


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_session_opens(harness: Harness) -> None:
    request = harness.get()
    assert request.answer is not None
    assert request.answer[0] == 200
    assert request.headers["Content-Type"].startswith("text/plain")
    hello = json.loads(request.answered[1:])
    assert set(hello) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}


@pytest.mark.parametrize(("method", "query"), [("GET", {**EIO, "token": "amy"})])
def test_a_request_that_engine_io_does_not_allow_is_a_bad_request(harness: Harness, method: str, query: dict[str, str]) -> None:
    answer = harness.request(method, query).answer
    assert answer is not None
    assert answer[0] == 400
    assert json.loads(answer[1])["success"] is False
    assert harness.is_empty


def test_a_query_with_too_many_fields_is_a_bad_request(harness: Harness) -> None:
    assert harness.request("GET", {**EIO, **{f"a{n}": "1" for n in range(100)}}).status == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_a_session_accepts_only_get_and_post(harness: Harness, method: str) -> None:
    sid = harness.open()
    assert harness.request(method, {**EIO, "sid": sid}).status == 400
    assert harness.open_connected(), "other sessions still work"


def test_events_are_sent_with_the_waiting_get(harness: Harness) -> None:
    sid = harness.open_connected()
    assert harness.post(sid, b'42["join:leaderboard"]').answer == (200, b"ok")
    (snapshot,) = harness.packets(sid)
    assert snapshot.startswith(b'42["leaderboard:update",{')
    waiting = harness.get(sid)
    assert waiting.answer is None
    harness.announcer.publish([])
    assert waiting.answer is not None
    assert json.loads(waiting.answered[2:])[1]["data"]["leaderboard"][0]["userId"] == "user-1"


def test_a_client_that_fetches_nothing_is_not_drained_and_nothing_is_queued_for_it(harness: Harness) -> None:
    sid = harness.open_connected()
    harness.post(sid, b'42["join:leaderboard"]')
    (listener,) = harness.announcer.room
    assert not listener.drained
    for _ in range(1_000):
        harness.announcer.publish([])
    assert len(harness.packets(sid)) == 1
    assert listener.drained


def test_two_gets_at_once_end_the_session(harness: Harness) -> None:
    sid = harness.open_connected()
    first, second = harness.get(sid), harness.get(sid)
    assert first.answer == (200, b"1")
    assert second.status == 400
    assert harness.get(sid).status == 400
    assert harness.is_empty


def test_a_get_that_is_abandoned_ends_the_session(harness: Harness) -> None:
    sid = harness.open_connected()
    harness.get(sid).disconnect()
    assert harness.post(sid, b"4hello").status == 400
    assert harness.is_empty


def test_a_connection_that_breaks_after_its_get_was_answered_changes_nothing(harness: Harness) -> None:
    sid = harness.open()
    assert harness.post(sid, b"3").status == 200


def test_a_close_answers_the_waiting_get(harness: Harness) -> None:
    sid = harness.open_connected()
    waiting = harness.get(sid)
    assert harness.post(sid, b"1").answer == (200, b"ok")
    assert waiting.answer == (200, b"6")
    assert harness.get(sid).status == 400
    assert harness.is_empty


@pytest.mark.parametrize(
    "body", [b"abc", b"", b"4\x1e" * 500_000, b"4\xff", b"b64", b"4abc", b"2", b'42["connect"]', b"451000000-[]", b"bAQID"]
)
def test_a_malformed_payload_ends_the_session(harness: Harness, body: bytes) -> None:
    sid = harness.open_connected()
    assert harness.post(sid, body[:16_000]).status == 400
    assert harness.get(sid).status == 400
    assert harness.is_empty


def test_a_payload_over_the_limit_is_refused_and_none_of_its_packets_count(harness: Harness) -> None:
    sid = harness.open_connected()
    assert harness.post(sid, b"4" + b"x" * 16_384).answer == (413, b"")
    assert harness.post(sid, b"3").status == 200


@pytest.mark.parametrize(
    ("header", "status"), [({"Content_Type": "application/octet-stream"}, 400), ({"Content_Encoding": "gzip"}, 415)]
)
def test_a_payload_that_is_not_text_is_refused_and_ends_the_session(
    harness: Harness, header: dict[str, str], status: int
) -> None:
    sid = harness.open_connected()
    waiting = harness.get(sid)
    assert harness.post(sid, b"3", **header).status == status
    assert waiting.answer == (200, b"1"), "it is not left open (engine.io fc11285e)"
    assert harness.is_empty


def test_too_many_requests_end_the_session(harness: Harness) -> None:
    sid = harness.open_connected()
    statuses = [harness.post(sid, b"3").status for _ in range(250)]
    assert statuses[:150] == [200] * 150
    assert statuses[-1] == 400
    assert harness.is_empty


def test_each_packet_of_a_post_is_counted(harness: Harness) -> None:
    sid = harness.open_connected()
    for _ in range(5):
        harness.post(sid, b"\x1e".join([b"42[]"] * 100))
    assert harness.is_empty


def test_a_polling_client_without_a_pong_is_closed_in_time(harness: Harness) -> None:
    sid = harness.open_connected()
    waiting = harness.get(sid)
    harness.pass_time(25)
    assert waiting.answer == (200, b"2")
    waiting = harness.get(sid)
    harness.pass_time(19.5, 0.5)
    assert waiting.answer is None
    harness.pass_time(0.5, 0.5)
    assert waiting.status == 503, "after a last packet python-socketio would never connect again"
    assert harness.is_empty


def test_a_polling_client_that_sends_pongs_stays_connected(harness: Harness) -> None:
    sid = harness.open_connected()
    for _ in range(5):
        waiting = harness.get(sid)
        harness.pass_time(25)
        assert waiting.answer == (200, b"2")
        assert harness.post(sid, b"3").answer == (200, b"ok")
    assert len(harness.clock.getDelayedCalls()) == 2, "one timer for each session, and the sweep's"


def test_a_client_that_never_connects_is_closed_after_ten_seconds(harness: Harness) -> None:
    sid = harness.open()
    harness.pass_time(10)
    assert harness.get(sid).status == 400
    assert harness.is_empty


# Admission


def test_a_page_of_another_origin_is_refused(harness: Harness) -> None:
    sid = harness.open_connected()
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert harness.get(None, **headers).status == 403
        with capturedLogs() as events:
            assert harness.get(sid, **headers).status == 403
        assert [(event["log_level"].name, event["said"]) for event in events] == [("info", "This origin is not allowed")]
    assert harness.post(sid, b"3").answer == (200, b"ok")


@pytest.mark.parametrize("origin", ["https://game.example", "https://board.example"])
def test_a_page_of_a_listed_origin_may_read_the_answer(harness: Harness, origin: str) -> None:
    request = harness.get(None, Origin=origin)
    assert request.headers["Access-Control-Allow-Origin"] == origin
    assert request.headers["Vary"] == "Origin"
    preflight = harness.request("OPTIONS", EIO, headers={"Origin": origin})
    assert preflight.answer == (204, b"")
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, POST"
    listed = origin == "https://game.example"  # the other is our own page behind a proxy with TLS
    for headers in (request.headers, preflight.headers):
        assert headers.get("Access-Control-Allow-Credentials") == ("true" if listed else None)


def test_the_rate_limit_is_checked_before_a_session_opens() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    first = harness.get()
    assert first.answer is None
    rate_limiter.answer.callback(too_many_requests(1_500, Limit(name="ip", quota=9, window_ms=60_000)))
    assert first.status is None, "a refusal by a limit of the address comes after a moment"
    harness.clock.advance(SLOW_DOWN_S_MAX)
    assert first.status == 429
    assert first.headers["Retry-After"] == "2"
    assert (first.headers["RateLimit-Policy"], first.headers["RateLimit"]) == ('"ip";q=9;w=60', '"ip";r=0;t=2')
    assert harness.is_empty


def test_a_client_that_disconnects_while_the_rate_limit_is_checked_leaves_nothing_behind() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    harness.get().disconnect()
    rate_limiter.answer.callback(None)
    assert harness.is_empty


@pytest.mark.parametrize(
    "query", ["EIO=4&transport=polling&sid=x", "EIO=3&transport=polling", "", "EIO=4&transport=polling&token=x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_refused_requests_and_requests_for_options_are_counted(method: str, query: str) -> None:
    counted, limit = [], Limit(name="pages", quota=1, window_ms=1_000)

    async def count(request: Any) -> None:
        counted.append(request)
        if len(counted) > 1:
            raise Refused(too_many_requests(1_000, limit))

    harness = Harness(count_refused=count)
    sid = harness.open_connected()
    assert counted == []
    first, second = harness.request(method, query), harness.request(method, query)
    assert (first.status, second.status) == (204 if method == "OPTIONS" else 400, 429)
    assert harness.post(sid, b'42["join:leaderboard"]').status == 200, "a session goes on"


def test_sessions_of_both_transports_count_in_the_limit() -> None:
    harness = Harness(sockets_per_address_max=2)
    sid = harness.open_connected()
    harness.open_websocket()
    refused = harness.get()
    assert refused.status == 429
    assert harness.meter.values["websocket_connections_active"] == 2
    harness.post(sid, b"1")
    harness.open()


# Closing


def test_a_polling_client_is_disconnected_when_its_token_has_ended(harness: Harness) -> None:
    sid = harness.open_connected("amy@5")
    waiting = harness.get(sid)
    harness.pass_time(6)
    assert waiting.answer is not None
    assert waiting.answer[1].startswith(b'42["auth:expiring",')
    assert harness.is_empty


def test_a_waiting_get_is_answered_when_the_token_ends(harness: Harness) -> None:
    sid = harness.open_connected("amy@5")
    harness.pass_time(2)
    assert harness.get(sid).answered.startswith(b'42["auth:expiring",')
    waiting = harness.get(sid)
    harness.pass_time(4)
    assert waiting.answer is not None
    assert waiting.answer[1].startswith(b"41"), "so that it does not come back by itself"
    assert harness.is_empty


def test_a_polling_client_that_has_left_is_closed_after_10_s(harness: Harness) -> None:
    sid = harness.open_connected("amy@5")
    harness.post(sid, b"41")
    waiting = harness.get(sid)
    harness.pass_time(9)
    assert (waiting.answer, harness.is_empty) == (None, False)
    harness.pass_time(1)
    assert waiting.answer is not None
    assert harness.is_empty


def test_a_polling_client_that_guesses_tokens_is_refused_and_closed_with_a_valid_payload(harness: Harness) -> None:
    sid = harness.open()
    for _ in range(20):
        harness.post(sid, b'40{"token":"bad"}')
    assert harness.get(sid).answer == (200, b"\x1e".join([b'44{"message":"Authentication failed","data":{"code":4011}}'] * 20))
    waiting = harness.get(sid)
    harness.post(sid, b'40{"token":"bad"}')
    assert waiting.answer == (200, b"1")
    assert harness.is_empty


def test_a_server_that_stops_answers_all_clients_and_admits_none(harness: Harness) -> None:
    waiting = harness.get(harness.open_connected())
    emptied: list[object] = []
    started(harness.registry.drain(CloseReason(code=1012, reason="restarting"), 0.1)).addCallback(emptied.append)
    assert (waiting.status, waiting.headers["Retry-After"]) == (503, "1")
    assert harness.get().status == 503
    harness.clock.pump([0.05] * 10)
    assert emptied
    assert not harness.engine.connections


def test_clients_that_come_and_go_leave_nothing_behind(harness: Harness) -> None:
    for number in range(300):
        sid = harness.open_connected(f"user-{number}")
        match number % 4:
            case 0:
                harness.post(sid, b"1")
            case 1:
                harness.get(sid).disconnect()
            case 2:
                harness.get(sid)
                harness.get(sid)
            case _:
                harness.post(sid, b"nonsense")
    assert harness.is_empty


def test_messages_of_any_kind_are_echoed_in_order() -> None:
    class Echo:
        def __init__(self, connection: EngineConnection) -> None:
            self._connection = connection

        def message_received(self, message: str | bytes) -> None:
            self._connection.reply(binary_frame(message) if isinstance(message, bytes) else text_frame(b"4" + message.encode()))

        def transport_changed(self) -> None: ...

        def check_deadlines(self, wall_s: float) -> None: ...

        def disconnected(self) -> None: ...

    harness = Harness(handler_factory=Echo)
    sid = harness.open()
    harness.post(sid, b"4hello\x1ebAQIDBA==\x1e4again")
    assert harness.get(sid).answer == (200, b"4hello\x1ebAQIDBA==\x1e4again")


def test_a_fault_while_a_session_opens_is_counted_and_answered() -> None:
    rate_limiter = FakeRateLimiter()
    harness = Harness(rate_limiter=rate_limiter)
    request = harness.get()
    rate_limiter.answer.errback(ZeroDivisionError("secret detail"))
    assert (request.status, b"secret" in request.answered) == (503, False)
    assert harness.meter.counts[FAILURES_METRIC] == 1
    assert harness.is_empty
