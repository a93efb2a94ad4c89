"""HTTP channel: what a connection may send, how slowly, and how it ends."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from scoreboard.net.limits import HttpLimits
from tests.awaiting import result_of
from tests.web.harness import Harness, HttpConnection, request

GET = request("GET", "/healthz")
SUBMIT = "/api/v1/scores/submit"


def is_bad(connection: HttpConnection, status: int = 400) -> bool:
    """Whether the only response has this status and the form of a refusal, and the connection is closed."""
    [reply] = connection.replies()
    assert reply.json["success"] is False
    assert reply.headers["connection"] == "close"
    return reply.status == status and connection.transport.closed


def test_requests_follow_each_other_on_one_connection() -> None:
    connection = Harness().connection()
    for _ in range(3):
        assert connection.ask(GET).status == 200
    assert not connection.transport.closed


def test_requests_sent_at_once_are_answered_in_order() -> None:
    connection = Harness().connection()
    connection.send(GET + request("GET", "/nothing") + GET)
    assert [reply.status for reply in connection.replies()] == [200, 404, 200]


def test_a_thousand_pipelined_requests_are_answered_without_deep_recursion() -> None:
    connection = Harness().connection()
    connection.send(GET * 1000)
    assert len(connection.replies()) == 1000


def test_a_request_waits_for_the_one_before_it() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    submission = harness.initialized()
    connection = harness.connection()
    connection.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {harness.token()}"}) + GET)
    assert connection.replies() == []
    harness.scorekeeper.waits.callback(None)
    assert [reply.json["success"] for reply in connection.replies()] == [True, True]
    assert not connection.transport.closed


def test_a_request_may_come_byte_by_byte() -> None:
    harness = Harness()
    data = request("POST", SUBMIT, body=harness.initialized(), headers={"Authorization": f"Bearer {harness.token()}"})
    connection = harness.connection()
    for at in range(len(data)):
        connection.send(data[at : at + 1])
    assert [reply.status for reply in connection.replies()] == [200]


@pytest.mark.parametrize("version", [b"\x16\x03\x01", b"\x16\x03\x03"])
@pytest.mark.parametrize("before", [b"", GET])
def test_a_client_that_speaks_tls_is_told_so_at_once_and_closed(version: bytes, before: bytes) -> None:
    """Before, it waited ten seconds for nothing."""
    connection = Harness().connection()
    with capturedLogs() as logged:
        if before:
            assert connection.ask(before).status == 200
        connection.send(version + b"\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        connection.send(bytes(500))
    [reply] = connection.replies()
    assert (reply.status, reply.json["message"].startswith("head: is TLS, but this port speaks plain HTTP")) == (400, True)
    assert connection.transport.closed
    (event,) = logged
    assert (event["log_format"], event["address"]) == ("a client speaks TLS to a port of plain HTTP", "203.0.113.9")


def test_an_empty_line_before_a_request_is_forgiven() -> None:
    assert Harness().connection().ask(b"\r\n" + GET).status == 200


def test_a_connection_closes_when_the_client_asks() -> None:
    connection = Harness().connection()
    reply = connection.ask(request("GET", "/healthz", headers={"Connection": "close"}))
    assert reply.headers["connection"] == "close"
    assert connection.transport.disconnecting


def test_http_1_0_is_answered_and_closed() -> None:
    connection = Harness().connection()
    assert connection.ask(b"GET /healthz HTTP/1.0\r\n\r\n").status == 200
    assert connection.transport.disconnecting


def test_no_header_names_the_server_software() -> None:
    headers = Harness().connection().ask(GET).headers
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["date"] == "Wed, 22 Oct 2025 10:30:00 GMT"


def test_head_is_get_without_the_body() -> None:
    harness = Harness()
    get = harness.ask("GET", "/healthz")
    head = harness.ask("HEAD", "/healthz")
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(101)) + b"\r\n",
        b"GET /" + b"a" * 65_536,
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 65_536 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"x" * 70_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\0",
    ],
)
def test_bytes_that_are_no_request_are_answered_400_and_closed(raw: bytes) -> None:
    connection = Harness().connection()
    connection.send(raw)
    assert is_bad(connection)
    connection.send(GET)
    assert connection.replies() == []


def test_bytes_after_a_bad_request_are_not_read() -> None:
    connection = Harness().connection()
    connection.send(b"BAD\r\n\r\n" + GET)
    assert is_bad(connection)


def test_an_announced_large_body_is_refused_at_once() -> None:
    connection = Harness().connection()
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")
    assert is_bad(connection, 413)


def test_a_large_body_is_discarded_until_the_client_closes_or_its_time_is_up() -> None:
    harness = Harness()
    connection = harness.connection()
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
    assert is_bad(connection, 413)
    for _ in range(100):
        connection.send(b"x" * 65_536)
    assert connection.transport.half_closed
    assert not connection.transport.disconnected
    harness.pass_time(4)
    assert connection.transport.disconnected


def test_a_chunked_body_above_the_limit_is_refused() -> None:
    connection = Harness().connection()
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(17):
        connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert is_bad(connection, 413)


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    harness = Harness(http_limits=HttpLimits(body_bytes_max=100))
    assert harness.ask("POST", SUBMIT, raw=b"x" * 100).json["field"] == "body"
    assert harness.ask("POST", SUBMIT, raw=b"x" * 101).status == 413


def test_a_chunked_body_is_read_like_any_other() -> None:
    harness = Harness()
    body = request("POST", "/", body=harness.initialized()).partition(b"\r\n\r\n")[2]
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.token()}\r\nContent-Type: application/json\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    connection = harness.connection()
    assert (
        connection.ask(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n").status == 200
    )
    assert connection.ask(GET).status == 200


def test_expect_100_continue_is_answered() -> None:
    harness = Harness()
    connection = harness.connection()
    head, _, body = request("POST", SUBMIT, body={}, headers={"Expect": "100-continue"}).partition(b"\r\n\r\n")
    connection.send(head + b"\r\n\r\n")
    assert [reply.status for reply in connection.replies()] == [100]
    connection.send(body)
    assert [reply.status for reply in connection.replies()] == [401]


def test_a_connection_that_sends_its_head_too_slowly_is_closed_at_the_absolute_deadline() -> None:
    harness = Harness()
    connection, busy = harness.connection(), harness.connection()
    connection.send(b"GET / HTTP/1.1\r\n")
    for second in range(12):
        connection.send(b"X-%d: a\r\n" % second)
        harness.pass_time(1)
        assert busy.ask(GET).status == 200
    assert connection.transport.disconnecting
    assert not busy.transport.disconnecting


def test_a_connection_that_says_nothing_is_closed() -> None:
    harness = Harness()
    connection = harness.connection()
    harness.pass_time(12)
    assert connection.transport.disconnecting


def test_a_body_that_trickles_is_cut_off_by_the_absolute_deadline() -> None:
    harness = Harness()
    connection = harness.connection()
    connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10240\r\n\r\n")
    for _ in range(29):
        connection.send(b"x")
        harness.pass_time(1)
    assert not connection.transport.disconnecting
    harness.pass_time(3)
    assert connection.transport.disconnecting


def test_an_idle_connection_is_closed_later_than_a_slow_one() -> None:
    harness = Harness()
    idle, slow = harness.connection(), harness.connection()
    idle.ask(GET)
    slow.send(GET + b"GET")
    harness.pass_time(12)
    assert (idle.transport.disconnecting, slow.transport.disconnecting) == (False, True)
    harness.pass_time(60)
    assert not idle.transport.disconnecting
    harness.pass_time(5)
    assert idle.transport.disconnecting


def test_a_slow_handler_is_not_cut_off() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    connection = harness.connection()
    submission = harness.initialized()
    connection.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {harness.token()}"}))
    harness.pass_time(300)
    assert not connection.transport.disconnecting
    harness.scorekeeper.waits.callback(None)
    assert [reply.status for reply in connection.replies()] == [200]


def test_a_client_that_does_not_read_is_sent_no_more() -> None:
    harness = Harness()
    connection = harness.connection()
    connection.channel.pauseProducing()  # the transport's buffer is full
    connection.send(GET * 10)
    assert connection.replies() == []
    connection.channel.resumeProducing()
    assert len(connection.replies()) == 10


def test_a_client_that_never_reads_is_cut_off() -> None:
    harness = Harness()
    connection = harness.connection()
    connection.ask(GET)
    connection.channel.pauseProducing()
    harness.pass_time(79)
    assert connection.transport.disconnected


def test_a_client_that_disconnects_stops_no_write() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    submission = harness.initialized()
    connection = harness.connection()
    connection.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {harness.token()}"}))
    connection.hang_up()
    harness.scorekeeper.waits.callback(None)
    assert len(harness.scorekeeper.kept) == 1
    assert connection.replies() == []


def test_the_number_of_connections_of_an_address_is_limited() -> None:
    harness = Harness(http_limits=HttpLimits(connections_per_address_max=2), trusted=("10.0.0.0/8",))
    first, _ = harness.connection(), harness.connection()
    third = harness.connection()
    reply = third.ask(GET)
    assert (reply.status, reply.json["error"], reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    assert third.transport.closed
    third.hang_up()
    assert harness.connection("198.51.100.7").ask(GET).status == 200
    first.hang_up()
    assert harness.connection().ask(GET).status == 200
    for _ in range(4):
        assert harness.connection("10.0.0.1").ask(GET).status == 200, "a proxy of ours speaks for many"


def test_the_count_of_connections_is_right_after_a_disconnect() -> None:
    harness = Harness()
    idle, gone = harness.connection(), harness.connection()
    for connection in (idle, gone):
        connection.ask(GET)
    gone.hang_up()
    assert len(harness.registry.http) == 1


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    harness = Harness(http_limits=HttpLimits(connections_per_address_max=1))
    assert harness.connection("2001:db8::1").ask(GET).status == 200
    assert harness.connection("2001:db8::ffff").ask(GET).status == 503
    assert harness.connection("2001:db8:0:1::1").ask(GET).status == 200


def test_the_number_of_connections_is_limited() -> None:
    harness = Harness(http_limits=HttpLimits(connections_max=3))
    connections = [harness.connection(f"192.0.2.{n}") for n in range(4)]
    assert [connection.ask(GET).status for connection in connections] == [200, 200, 200, 503]


def test_draining_closes_idle_connections_at_once_and_others_after_their_response() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    idle, busy = harness.connection(), harness.connection()
    submission = harness.initialized()
    busy.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {harness.token()}"}))
    drained: list[object] = []
    harness.drain().addCallback(drained.append)
    assert (idle.transport.disconnecting, busy.transport.disconnecting) == (True, False)
    harness.scorekeeper.waits.callback(None)
    [reply] = busy.replies()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert busy.transport.disconnecting
    assert not drained
    idle.hang_up()
    busy.hang_up()
    assert drained == [None]


def test_draining_without_connections_takes_no_time() -> None:
    async def drain() -> None:
        await Harness().drain()

    result_of(drain())


def test_no_timer_is_left_when_the_port_and_its_connections_are_closed() -> None:
    harness = Harness()
    connection = harness.connection()
    harness.site.doStop()
    assert harness.clock.getDelayedCalls(), "the connected keep their deadlines"
    connection.hang_up()
    harness.pass_time(2)
    assert not harness.clock.getDelayedCalls()


def test_responses_are_counted_by_route_and_status() -> None:
    harness = Harness()
    harness.ask("GET", "/healthz")
    harness.ask("GET", "/healthz")
    harness.ask("GET", "/nothing")
    harness.ask("GET", "/api/v1/scores/me", token=None)
    harness.pass_time(1)
    assert harness.meter.counts == {
        ("http_requests_total", "healthz", "200"): 2,
        ("http_requests_total", "none", "404"): 1,
        ("http_requests_total", "me", "401"): 1,
        ("token_refusals_total", "no_token"): 1,
    }


@pytest.mark.parametrize("form", ["http://a.example", "HTTPS://a.example:8443", "http://[::1]:3000"])
def test_a_target_in_absolute_form_is_read(form: str) -> None:
    harness = Harness()
    assert harness.ask("GET", f"{form}/healthz").status == 200
    assert harness.ask("GET", f"{form}/api/v1/scores/leaderboard?limit=5").json["success"]
    assert harness.ask("GET", f"{form}/api/v1/scores/leaderboard?limit=x").json["field"] == "limit"
    assert harness.ask("GET", form).status == 404, "the page's files are not here, and / is their path"


@pytest.mark.parametrize("target", ["*", "http://a.example"])
def test_options_of_the_whole_server_is_answered(target: str) -> None:
    reply = Harness().ask("OPTIONS", target, token=None)
    assert (reply.status, reply.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST, PUT")


# A client that sends its requests and then closes its half, as `nc -N` does


def test_a_client_that_closes_its_half_gets_its_response() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    connection = harness.connection()
    submission = request("POST", SUBMIT, body=harness.initialized(), headers={"Authorization": f"Bearer {harness.token()}"})
    connection.send(submission)
    connection.close_half()
    assert not connection.transport.closed
    harness.scorekeeper.waits.callback(None)
    assert [reply.status for reply in connection.replies()] == [200]
    assert connection.transport.disconnecting


def test_a_client_that_closes_its_half_gets_all_responses_to_its_pipelined_requests() -> None:
    harness = Harness()
    harness.scorekeeper.waits = Deferred()
    connection = harness.connection()
    submission = request("POST", SUBMIT, body=harness.initialized(), headers={"Authorization": f"Bearer {harness.token()}"})
    connection.send(submission + GET + request("GET", "/nothing") + submission + GET + GET[:20])
    connection.close_half()
    harness.scorekeeper.waits.callback(None)
    assert [reply.status for reply in connection.replies()] == [200, 200, 404, 200, 200]
    assert connection.transport.disconnecting


@pytest.mark.parametrize("sent", [b"", GET, GET[:20], request("POST", SUBMIT, raw=b"{}")[:-1]])
def test_a_connection_without_a_whole_request_is_closed_with_its_half(sent: bytes) -> None:
    connection = Harness().connection()
    connection.send(sent)
    connection.close_half()
    assert connection.transport.disconnecting


def test_a_client_that_closes_its_half_and_reads_slowly_gets_all_responses() -> None:
    connection = Harness().connection()
    connection.channel.pauseProducing()
    connection.send(GET * 3)
    connection.close_half()
    assert not connection.transport.closed
    connection.channel.resumeProducing()
    assert [reply.status for reply in connection.replies()] == [200] * 3
    assert connection.transport.disconnecting


def test_a_long_poll_is_answered_at_once_when_the_client_closes_its_half() -> None:
    harness = Harness()
    harness.ranking.missed = ()
    poll = request("GET", "/api/v1/scores/changes?since=1.5", headers={"Authorization": f"Bearer {harness.token()}"})
    for sent in (poll, GET + poll + poll):
        connection = harness.connection()
        connection.send(sent)
        connection.close_half()
        assert {reply.status for reply in connection.replies()} == {200}
        assert connection.transport.disconnecting
