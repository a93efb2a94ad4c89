"""How many connections there may be, and who makes room for whom when there are too many."""

from __future__ import annotations

from twisted.logger import capturedLogs

from scoreboard.net.http.connections import LEAVING_MAX
from scoreboard.net.http.site import HttpLimits
from tests.web.house import EngineConnection, House, request

GET = request("GET", "/healthz")


def strangers(house: House, count: int) -> list[EngineConnection]:
    return [house.line(f"192.0.2.{n}") for n in range(count)]


def refused(lines: list[EngineConnection]) -> list[bool]:
    return [[reply.status for reply in line.replies()] == [503] for line in lines]


def test_strangers_leave_an_eighth_to_loopback_and_our_proxies() -> None:
    house = House(http_limits=HttpLimits(connections_max=16), trusted=("10.0.0.0/8",))
    assert refused(strangers(house, 16)) == [False] * 14 + [True] * 2
    assert house.line("127.0.0.1").ask(GET).status == 200
    assert house.line("10.1.2.3").ask(GET).status == 200


def test_an_operator_is_let_in_though_the_reserve_is_used_up_and_the_longest_idle_makes_room() -> None:
    house = House(http_limits=HttpLimits(connections_max=8))
    local = [house.line("127.0.0.1") for _ in range(8)]
    local[0].send(request("POST", "/api/v1/scores/submit", raw=b"{").replace(b"Content-Length: 1", b"Content-Length: 9"))
    newcomer = house.line("127.0.0.1")
    assert newcomer.ask(GET).status == 200
    assert [line.cable.disconnecting for line in local] == [False, True] + [False] * 6, "the first is asking something"
    assert refused(strangers(house, 1)) == [True], "and nobody else is closed for a stranger"


def test_an_operator_is_let_in_though_loopback_holds_too_many() -> None:
    house = House(http_limits=HttpLimits(connections_per_address_max=3))
    local = [house.line("127.0.0.1") for _ in range(3)]
    assert house.line("127.0.0.1").ask(GET).status == 200
    assert [line.cable.disconnecting for line in local] == [True, False, False]
    assert house.line("127.0.0.2").ask(GET).status == 200


def test_when_everyone_on_loopback_is_asking_something_even_it_is_refused() -> None:
    house = House(http_limits=HttpLimits(connections_max=2))
    for _ in range(2):
        house.line("127.0.0.1").send(request("POST", "/", raw=b"{").replace(b"Content-Length: 1", b"Content-Length: 9"))
    assert refused([house.line("127.0.0.1")]) == [True]


def test_those_who_are_being_refused_are_bounded_too_and_then_nothing_is_said() -> None:
    house = House(http_limits=HttpLimits(connections_max=0))
    lines = strangers(house, LEAVING_MAX)
    assert refused(lines) == [True] * LEAVING_MAX
    one_more = house.line("192.0.2.99")
    assert (one_more.replies(), one_more.cable.disconnecting) == ([], True)
    lines[0].hang_up()
    assert refused([house.line("192.0.2.99")]) == [True]


def test_refused_connections_are_one_line_a_second_and_are_counted() -> None:
    house = House(http_limits=HttpLimits(connections_max=0))
    with capturedLogs() as logged:
        strangers(house, 20)
        house.pass_time(3)
        strangers(house, 5)
        house.pass_time(3)
    assert [event["refused"] for event in logged] == [20, 5]
    assert house.meter.counts["http_connections_refused_total",] == 25
    assert house.site.connections == 0
