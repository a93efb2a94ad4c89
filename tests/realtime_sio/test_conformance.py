"""Requirements of the protocols' own documents, tested over TCP with clients of other projects."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.fixtures.echo_server import GREETING_S
from tests.pauses import until_true, within
from tests.realtime_sio.echo_sites import Site, body_of, closes, echo_server, receive, site_of

#: Times of a server whose sessions do not end by themselves during a test, however slow the test is.
CALM_MS = (60_000, 60_000, 60_000, 20)
#: Times that a test can wait for, and in which a pause of a second ends no session.
INTERVAL_S, TIMEOUT_S, CONNECT_S = 0.3, 2.0, 3.0
PINGING_MS = (300, 2_000, 3_000, 20)


@pytest.fixture(scope="module")
def eio() -> Iterator[Site]:
    with site_of("eio", *CALM_MS) as site:
        yield site


@pytest.fixture(scope="module")
def sio() -> Iterator[Site]:
    with site_of("sio", *CALM_MS) as site:
        yield site


@pytest.fixture(params=["eio", "sio"])
def either(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue(request.param)
    return site


@pytest.fixture(scope="module", params=["eio", "sio"])
def pinging(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site_of(request.param, *PINGING_MS) as site:
        yield site


@pytest.fixture(scope="module")
def pinging_sio() -> Iterator[Site]:
    with site_of("sio", *PINGING_MS) as site:
        yield site


@pytest.fixture(params=["eio", "sio"])
def of_the_suites(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server as the official suites use it."""
    with site_of(request.param) as site:
        yield site


# Engine.IO, the handshake


def test_a_session_opens_by_polling_and_by_websocket(of_the_suites: Site) -> None:
    status, text = of_the_suites.ask("GET", "EIO=4&transport=polling")
    with of_the_suites.socket() as opened:
        over_websocket = str(opened.recv(15))
    for hello, upgrades in ((text, ["websocket"]), (over_websocket, [])):
        answered = json.loads(hello.removeprefix("0"))
        assert len(answered.pop("sid")) >= 22
        assert answered == {"upgrades": upgrades, "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}
    assert status == 200


@pytest.mark.parametrize("query", ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"])
def test_bad_parameters_are_refused(either: Site, query: str) -> None:
    assert either.ask("GET", query)[0] == 400
    with pytest.raises(InvalidStatus, match="400"):
        either.socket(query.replace("polling", "websocket"))


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_first_request_is_a_get(either: Site, method: str) -> None:
    assert either.ask(method, "EIO=4&transport=polling")[0] == 400


# Engine.IO, the messages


@pytest.mark.parametrize("payload", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA==", "4h\u00e9\u4e16\U0001f600"])
def test_payloads_are_echoed(eio: Site, payload: str) -> None:
    sid = eio.open()
    assert eio.push(sid, payload.encode()) == (200, "ok")
    assert eio.poll(sid) == (200, payload)


def test_an_invalid_packet_ends_the_session(either: Site) -> None:
    sid = either.open()
    assert either.push(sid, "abc")[0] == 400
    assert either.poll(sid)[0] == 400


def test_a_payload_over_the_limit_is_refused(either: Site) -> None:
    assert either.push(either.open(), "4" + "x" * 1_000_000)[0] == 413


def test_two_gets_at_once_end_the_session(either: Site) -> None:
    sid = either.open()
    first = either.hang(sid)
    assert either.poll(sid)[0] == 400
    assert body_of(first) == b"1"
    assert either.poll(sid)[0] == 400


def test_a_cancelled_get_ends_the_session(either: Site) -> None:
    sid = either.open()
    either.hang(sid).close()
    until_true(lambda: either.push(sid, "3")[0] == 400, within_s=10)


@pytest.mark.parametrize("message", ["4hello", b"\1\2\3\4", "4" + "x" * 900_000])
def test_messages_are_echoed(eio: Site, message: str | bytes) -> None:
    with eio.engine() as opened:
        opened.send(message)
        assert receive(opened) == message


def test_an_invalid_message_closes(either: Site) -> None:
    opened = either.engine()
    opened.send("abc")
    assert closes(opened)


# Engine.IO, the heartbeat


def test_a_polling_client_that_answers_pings_stays_connected(pinging: Site) -> None:
    sid = pinging.open()
    if pinging.path == "/socket.io/":
        pinging.push(sid, "40")
        if pinging.poll(sid)[1].endswith("\x1e2"):  # on a slow machine the first ping is in the same answer
            assert pinging.push(sid, "3") == (200, "ok")
    for _ in range(round((INTERVAL_S + TIMEOUT_S) / INTERVAL_S) + 1):
        assert pinging.poll(sid) == (200, "2")
        assert pinging.push(sid, "3") == (200, "ok")


def test_a_polling_client_that_answers_no_ping_is_closed(pinging: Site) -> None:
    sid = pinging.open()
    time.sleep(INTERVAL_S + TIMEOUT_S)
    until_true(lambda: pinging.poll(sid)[0] == 400, within_s=0.7)


def test_a_websocket_that_answers_no_ping_is_closed_in_time(pinging: Site) -> None:
    began_s = time.monotonic()
    opened = pinging.engine()
    with within(INTERVAL_S + TIMEOUT_S + 0.7):
        assert closes(opened)
    assert time.monotonic() - began_s > INTERVAL_S + TIMEOUT_S - 0.05


# Engine.IO, the close and upgrade


def test_a_client_can_close_its_session(either: Site) -> None:
    sid = either.open()
    waiting = either.hang(sid)
    assert either.push(sid, "1") == (200, "ok")
    assert body_of(waiting) == b"6"
    assert either.poll(sid)[0] == 400
    opened = either.engine()
    opened.send("1")
    assert closes(opened)


def test_a_session_upgrades_to_a_websocket(eio: Site) -> None:
    sid = eio.open()
    waiting = eio.hang(sid)
    with eio.socket(f"EIO=4&transport=websocket&sid={sid}") as opened:
        opened.send("2probe")
        assert opened.recv(15) == "3probe"
        assert body_of(waiting) == b"6"
        assert eio.poll(sid) == (200, "6")
        opened.send("5")
        opened.send("4hello")
        assert receive(opened) == "4hello"
        assert eio.poll(sid)[0] == 400
        assert closes(eio.socket(f"EIO=4&transport=websocket&sid={sid}"))
        opened.send("4still here")
        assert receive(opened) == "4still here"


# Events


@pytest.mark.parametrize("namespace", ["", "/custom,"])
@pytest.mark.parametrize("auth", ["", '{"token":"123"}'])
def test_a_client_connects_to_a_namespace(sio: Site, namespace: str, auth: str) -> None:
    with sio.engine() as opened:
        opened.send(f"40{namespace}{auth}")
        answered = str(receive(opened)).removeprefix(f"40{namespace}")
        assert set(json.loads(answered)) == {"sid"}
        assert receive(opened) == f'42{namespace}["auth",{auth or "{}"}]'


def test_the_greeting_comes_later_than_the_answer_to_connect() -> None:
    """The official suite's client takes one message in each turn of its loop, and would miss the greeting otherwise."""
    assert 0.005 < GREETING_S < 0.2
    with site_of("sio", *CALM_MS[:3], 3_000) as site, site.engine() as opened:
        opened.send("40")
        receive(opened)
        answered_s = time.monotonic()
        with within(4):
            receive(opened)
        assert time.monotonic() - answered_s > 1


def test_an_unknown_namespace_is_refused(sio: Site) -> None:
    with sio.engine() as opened:
        opened.send("40/random")
        assert receive(opened) == '44/random,{"message":"Invalid namespace"}'


def test_a_client_that_never_connects_is_closed(pinging_sio: Site) -> None:
    began_s = time.monotonic()
    opened = pinging_sio.engine()
    with within(CONNECT_S + 0.7), pytest.raises(ConnectionClosed):
        receive(opened)
    assert time.monotonic() - began_s > CONNECT_S - 0.05


def test_after_leaving_the_main_namespace_the_session_stays_open(pinging_sio: Site) -> None:
    with pinging_sio.connected() as opened:
        opened.send("41")
        for _ in range(round(CONNECT_S / INTERVAL_S) + 1):
            assert opened.recv(15) == "2"
            opened.send("3")


def test_after_leaving_another_namespace_the_client_is_still_in_the_main_one(sio: Site) -> None:
    with sio.connected() as opened:
        opened.send("40/custom")
        assert str(receive(opened)).startswith("40/custom,")
        assert receive(opened) == '42/custom,["auth",{}]'
        opened.send("41/custom")
        opened.send('42["message","to the main one"]')
        assert receive(opened) == '42["message-back","to the main one"]'


HOLDERS = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (['42["message",1,"2",{"3":[true]}]'], ['42["message-back",1,"2",{"3":[true]}]']),
        (['42456["message-with-ack",1,"2",{"3":[false]}]'], ['43456[1,"2",{"3":[false]}]']),
        ([f'452-["message",{HOLDERS}]', b"\1\2\3", b"\4\5\6"], [f'452-["message-back",{HOLDERS}]', b"\1\2\3", b"\4\5\6"]),
        ([f'452-789["message-with-ack",{HOLDERS}]', b"\1", b"\4"], [f"462-789[{HOLDERS}]", b"\1", b"\4"]),
    ],
)
def test_events_are_echoed(sio: Site, sent: list[str | bytes], expected: list[str | bytes]) -> None:
    with sio.connected() as opened:
        for message in sent:
            opened.send(message)
        assert [receive(opened) for _ in expected] == expected


@pytest.mark.parametrize("message", ["4abc", "42{}", '42abc["message-with-ack",1]', '42["connect"]', "451-[]", "4511-[]"])
def test_a_malformed_packet_closes_the_session(sio: Site, message: str) -> None:
    opened = sio.connected()
    opened.send(message)
    assert closes(opened)


# WebSocket without Engine.IO


def test_big_messages_are_echoed_on_both_loopbacks() -> None:
    with echo_server("ws") as port:
        for host in ("127.0.0.1", "[::1]"):
            with connect(f"ws://{host}:{port}/", compression=None, max_size=None) as opened:
                for message in ("", "text", b"", b"\0\xff", "x" * 2**24, b"y" * 2**24):
                    opened.send(message)
                    echoed: Any = opened.recv(30)
                    assert echoed == message
                opened.send(["x" * 64] * 2**14)
                assert opened.recv(30) == "x" * 2**20
