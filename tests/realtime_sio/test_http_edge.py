"""Engine.IO behind the real HTTP edge: at the API's site, and at the port for sockets."""

from __future__ import annotations

import json

import pytest
from twisted.web.pages import notFound

from scoreboard.net.http.addresses import Proxies
from scoreboard.net.http.cors import cors
from scoreboard.net.http.site import ResourceByPath, Site
from scoreboard.net.limits import HttpLimits
from tests.realtime_sio import harness as live
from tests.web.harness import Harness, HttpConnection, RecordingMeter, request

PATH = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(params=["api", "sockets"])
def site(request: pytest.FixtureRequest) -> Site:
    wing = live.Harness()
    if request.param == "api":
        return Harness(socketio=wing.resource).site
    return Site(
        ResourceByPath({b"/socket.io/": wing.resource}, notFound()),
        registry=wing.registry,
        http_limits=HttpLimits(),
        proxies=Proxies(networks=()),
        cors=cors(()),
        clock=wing.clock,
        now_ms=wing.wall_ms,
        meter=RecordingMeter(),
    )


def opened(connection: HttpConnection) -> str:
    reply = connection.ask(request("GET", PATH))
    assert reply.status == 200
    assert "transfer-encoding" not in reply.headers
    return f"{PATH}&sid={json.loads(reply.body[1:])['sid']}"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", PATH, 400),
        ("DELETE", PATH, 400),
        ("POST", PATH, 400),
        ("GET", "/socket.io/", 400),
        ("OPTIONS", PATH, 204),
        ("GET", f"{PATH}&sid=unknown", 400),
    ],
)
def test_each_method_gets_the_answer_of_engine_io(site: Site, method: str, target: str, status: int) -> None:
    assert HttpConnection(site).ask(request(method, target)).status == status


def test_a_get_waits_while_posts_come_on_another_connection(site: Site) -> None:
    waiting, other = HttpConnection(site), HttpConnection(site)
    target = opened(other)
    assert other.ask(request("POST", target, raw=b'40{"token":"amy"}')).body == b"ok"
    assert waiting.ask(request("GET", target)).body.startswith(b"40")
    waiting.send(request("GET", target))
    assert waiting.replies() == []
    assert other.ask(request("POST", target, raw=b'42["join:leaderboard"]')).body == b"ok"
    (news,) = waiting.replies()
    assert news.body.startswith(b'42["leaderboard:update",')
    assert waiting.ask(request("POST", target, raw=b"3")).body == b"ok", "the connection goes on"


def test_a_get_whose_client_disconnects_closes_the_session(site: Site) -> None:
    waiting, other = HttpConnection(site), HttpConnection(site)
    target = opened(other)
    waiting.send(request("GET", target))
    waiting.hang_up()
    assert other.ask(request("POST", target, raw=b"3")).status == 400


def test_a_payload_over_the_limit_is_refused_by_its_length(site: Site) -> None:
    connection = HttpConnection(site)
    target = opened(connection)
    connection.send(request("POST", target, headers={"Content-Length": "16385"}, raw=b"4"))
    assert [reply.status for reply in connection.replies()] == [413]
