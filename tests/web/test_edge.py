"""The edge: what a connection may send, how slowly, and how it ends."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from scoreboard.net.http.site import HttpLimits
from tests.awaiting import result_of
from tests.web.house import EngineConnection, House, request

GET = request("GET", "/healthz")
SUBMIT = "/api/v1/scores/submit"


def is_bad(line: EngineConnection, status: int = 400) -> bool:
    """Whether the line was answered so, once, in the shape of every refusal, and closed."""
    [reply] = line.replies()
    assert reply.json["success"] is False
    assert reply.headers["connection"] == "close"
    return reply.status == status and line.cable.closed


def test_requests_follow_each_other_on_one_connection() -> None:
    line = House().line()
    for _ in range(3):
        assert line.ask(GET).status == 200
    assert not line.cable.closed


def test_requests_sent_at_once_are_answered_in_order() -> None:
    line = House().line()
    line.send(GET + request("GET", "/nothing") + GET)
    assert [reply.status for reply in line.replies()] == [200, 404, 200]


def test_a_thousand_requests_at_once_need_no_thousand_frames() -> None:
    line = House().line()
    line.send(GET * 1000)
    assert len(line.replies()) == 1000


def test_a_request_waits_for_the_one_before_it() -> None:
    house = House()
    house.desk.waits = Deferred()
    submission = house.initialized()
    line = house.line()
    line.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {house.token()}"}) + GET)
    assert line.replies() == []
    house.desk.waits.callback(None)
    assert [reply.json["success"] for reply in line.replies()] == [True, True]
    assert not line.cable.closed


def test_a_request_may_come_byte_by_byte() -> None:
    house = House()
    data = request("POST", SUBMIT, body=house.initialized(), headers={"Authorization": f"Bearer {house.token()}"})
    line = house.line()
    for at in range(len(data)):
        line.send(data[at : at + 1])
    assert [reply.status for reply in line.replies()] == [200]


def test_an_empty_line_before_a_request_is_forgiven() -> None:
    assert House().line().ask(b"\r\n" + GET).status == 200


def test_a_client_may_ask_to_close() -> None:
    line = House().line()
    reply = line.ask(request("GET", "/healthz", headers={"Connection": "close"}))
    assert reply.headers["connection"] == "close"
    assert line.cable.disconnecting


def test_http_1_0_is_answered_and_closed() -> None:
    line = House().line()
    assert line.ask(b"GET /healthz HTTP/1.0\r\n\r\n").status == 200
    assert line.cable.disconnecting


def test_nothing_says_which_server_this_is() -> None:
    headers = House().line().ask(GET).headers
    assert "server" not in headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["date"] == "Wed, 22 Oct 2025 10:30:00 GMT"


def test_head_is_get_without_the_body() -> None:
    house = House()
    get = house.ask("GET", "/healthz")
    head = house.ask("HEAD", "/healthz")
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
    ],
)
def test_what_is_no_request_is_answered_400_and_closed(raw: bytes) -> None:
    line = House().line()
    line.send(raw)
    assert is_bad(line)
    line.send(GET)
    assert line.replies() == []


def test_what_follows_a_bad_request_is_not_read() -> None:
    line = House().line()
    line.send(b"BAD\r\n\r\n" + GET)
    assert is_bad(line)


def test_a_large_body_is_refused_before_it_is_sent() -> None:
    line = House().line()
    line.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")
    assert is_bad(line, 413)


def test_a_large_body_is_dropped_as_it_comes_until_the_client_closes_or_its_time_is_up() -> None:
    house = House()
    line = house.line()
    line.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
    assert is_bad(line, 413)
    for _ in range(100):
        line.send(b"x" * 65_536)
    assert line.cable.half_closed
    assert not line.cable.disconnected
    house.pass_time(4)
    assert line.cable.disconnected


def test_chunks_are_counted() -> None:
    line = House().line()
    line.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(17):
        line.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert is_bad(line, 413)


def test_a_body_may_be_as_large_as_the_bound_and_no_larger() -> None:
    house = House(http_limits=HttpLimits(body_bytes_max=100))
    assert house.ask("POST", SUBMIT, raw=b"x" * 100).json["field"] == "body"
    assert house.ask("POST", SUBMIT, raw=b"x" * 101).status == 413


def test_a_chunked_body_is_read_like_any_other() -> None:
    house = House()
    body = request("POST", "/", body=house.initialized()).partition(b"\r\n\r\n")[2]
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {house.token()}\r\nContent-Type: application/json\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    line = house.line()
    assert line.ask(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n").status == 200
    assert line.ask(GET).status == 200


def test_who_asks_first_is_told_to_go_on() -> None:
    house = House()
    line = house.line()
    head, _, body = request("POST", SUBMIT, body={}, headers={"Expect": "100-continue"}).partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    assert [reply.status for reply in line.replies()] == [100]
    line.send(body)
    assert [reply.status for reply in line.replies()] == [401]


def test_a_head_that_trickles_is_cut_off_by_the_absolute_deadline() -> None:
    house = House()
    line, busy = house.line(), house.line()
    line.send(b"GET / HTTP/1.1\r\n")
    for second in range(12):
        line.send(b"X-%d: a\r\n" % second)
        house.pass_time(1)
        assert busy.ask(GET).status == 200
    assert line.cable.disconnecting
    assert not busy.cable.disconnecting


def test_a_connection_that_says_nothing_is_closed() -> None:
    house = House()
    line = house.line()
    house.pass_time(12)
    assert line.cable.disconnecting


def test_a_body_that_trickles_is_cut_off_by_the_absolute_deadline() -> None:
    house = House()
    line = house.line()
    line.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10240\r\n\r\n")
    for _ in range(29):
        line.send(b"x")
        house.pass_time(1)
    assert not line.cable.disconnecting
    house.pass_time(3)
    assert line.cable.disconnecting


def test_an_idle_connection_is_closed_later_than_a_slow_one() -> None:
    house = House()
    idle, slow = house.line(), house.line()
    idle.ask(GET)
    slow.send(GET + b"GET")
    house.pass_time(12)
    assert (idle.cable.disconnecting, slow.cable.disconnecting) == (False, True)
    house.pass_time(50)
    assert idle.cable.disconnecting


def test_a_handler_may_take_its_time() -> None:
    house = House()
    house.desk.waits = Deferred()
    line = house.line()
    submission = house.initialized()
    line.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {house.token()}"}))
    house.pass_time(300)
    assert not line.cable.disconnecting
    house.desk.waits.callback(None)
    assert [reply.status for reply in line.replies()] == [200]


def test_a_client_that_does_not_read_is_given_no_more() -> None:
    house = House()
    line = house.line()
    line.channel.pauseProducing()  # the transport's buffer is full
    line.send(GET * 10)
    assert line.replies() == []
    line.channel.resumeProducing()
    assert len(line.replies()) == 10


def test_a_client_that_never_reads_is_cut_off() -> None:
    house = House()
    line = house.line()
    line.ask(GET)
    line.channel.pauseProducing()
    house.pass_time(64)
    assert line.cable.disconnected


def test_a_client_that_hangs_up_stops_no_write() -> None:
    house = House()
    house.desk.waits = Deferred()
    submission = house.initialized()
    line = house.line()
    line.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {house.token()}"}))
    line.hang_up()
    house.desk.waits.callback(None)
    assert len(house.desk.kept) == 1
    assert line.replies() == []


def test_an_address_holds_so_many_connections_and_no_more() -> None:
    house = House(http_limits=HttpLimits(connections_per_address_max=2), trusted=("10.0.0.0/8",))
    first, _ = house.line(), house.line()
    third = house.line()
    [reply] = third.replies()
    assert (reply.status, reply.json["error"], reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
    assert third.cable.disconnecting
    third.hang_up()
    assert house.line("198.51.100.7").ask(GET).status == 200
    first.hang_up()
    assert house.line().ask(GET).status == 200
    for _ in range(4):
        assert house.line("10.0.0.1").ask(GET).status == 200, "a proxy of ours speaks for many"


def test_connections_are_counted_in_and_out() -> None:
    house = House()
    idle, gone = house.line(), house.line()
    for line in (idle, gone):
        line.ask(GET)
    gone.hang_up()
    assert house.site.connections == 1


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    house = House(http_limits=HttpLimits(connections_per_address_max=1))
    assert house.line("2001:db8::1").ask(GET).status == 200
    assert house.line("2001:db8::ffff").replies()[0].status == 503
    assert house.line("2001:db8:0:1::1").ask(GET).status == 200


def test_the_server_holds_so_many_connections_and_no_more() -> None:
    house = House(http_limits=HttpLimits(connections_max=3))
    lines = [house.line(f"192.0.2.{n}") for n in range(4)]
    assert [len(line.replies()) for line in lines] == [0, 0, 0, 1]


def test_draining_closes_the_idle_at_once_and_the_busy_with_their_answer() -> None:
    house = House()
    house.desk.waits = Deferred()
    idle, busy = house.line(), house.line()
    submission = house.initialized()
    busy.send(request("POST", SUBMIT, body=submission, headers={"Authorization": f"Bearer {house.token()}"}))
    drained: list[object] = []
    house.site.drain().addCallback(drained.append)
    assert (idle.cable.disconnecting, busy.cable.disconnecting) == (True, False)
    house.desk.waits.callback(None)
    [reply] = busy.replies()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert busy.cable.disconnecting
    assert not drained
    idle.hang_up()
    busy.hang_up()
    assert drained == [None]


def test_draining_an_empty_house_takes_no_time() -> None:
    async def drain() -> None:
        await House().site.drain()

    result_of(drain())


def test_nothing_ticks_when_nobody_listens() -> None:
    house = House()
    line = house.line()
    house.site.doStop()
    assert house.clock.getDelayedCalls(), "the connected keep their deadlines"
    line.hang_up()
    house.pass_time(2)
    assert not house.clock.getDelayedCalls()


def test_answers_are_tallied_by_route_and_status() -> None:
    house = House()
    house.ask("GET", "/healthz")
    house.ask("GET", "/healthz")
    house.ask("GET", "/nothing")
    house.ask("GET", "/api/v1/scores/me", token=None)
    house.pass_time(1)
    assert house.meter.counts == {
        ("http_requests_total", "healthz", "200"): 2,
        ("http_requests_total", "none", "404"): 1,
        ("http_requests_total", "me", "401"): 1,
    }
