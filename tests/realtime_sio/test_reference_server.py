"""Odd requests and packets get the answers of the reference server: engine.io 6.6.13 and socket.io 4.8.4 under Node 20.

The values here were read from that server, which had the same limits. Where ours answers otherwise, `DIFFERENT` and the tests at
the end say so, and why (docs/protocol-socketio.md).
"""

from __future__ import annotations

import json

import pytest

from tests.realtime_sio.harness import Harness, SioClient
from tests.realtime_sio.test_websocket import WS, code

POLLING = "EIO=4&transport=polling"
UNKNOWN_TRANSPORT = (0, "Transport unknown")
UNKNOWN_SID = (1, "Session ID unknown")
BAD_METHOD = (2, "Bad handshake method")
BAD_REQUEST = (3, "Bad request")
WRONG_VERSION = (5, "Unsupported protocol version")


@pytest.fixture
def harness() -> Harness:
    return Harness()


# Requests. ``SID`` is the id of a session that polls.

REFUSED = [
    ("GET", "", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4&transport=", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4&transport=abc", UNKNOWN_TRANSPORT),
    ("GET", "EIO=3&transport=abc", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4&transport=webtransport", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4&transport=polling&transport=abc", UNKNOWN_TRANSPORT),
    ("GET", "EIO=4&sid=SID", UNKNOWN_TRANSPORT),
    ("GET", f"{POLLING}&sid=abc", UNKNOWN_SID),
    ("GET", f"{POLLING}&sid=__proto__", UNKNOWN_SID),
    ("GET", f"{POLLING}&sid=SID&sid=abc", UNKNOWN_SID),
    ("POST", f"{POLLING}&sid=abc", UNKNOWN_SID),
    ("PUT", f"{POLLING}&sid=abc", UNKNOWN_SID),
    ("GET", "EIO=3&transport=polling&sid=abc", UNKNOWN_SID),
    ("GET", "EIO=4&transport=websocket&sid=abc", UNKNOWN_SID),
    ("POST", POLLING, BAD_METHOD),
    ("PUT", POLLING, BAD_METHOD),
    ("DELETE", POLLING, BAD_METHOD),
    ("HEAD", POLLING, BAD_METHOD),
    ("POST", "EIO=3&transport=polling", BAD_METHOD),
    ("POST", "EIO=4&transport=websocket", BAD_METHOD),
    ("GET", "EIO=4&transport=websocket", BAD_REQUEST),
    ("GET", "EIO=3&transport=websocket", BAD_REQUEST),
    ("GET", "EIO=4&transport=websocket&sid=SID", BAD_REQUEST),
    ("GET", "EIO=3&transport=polling&sid=SID", BAD_REQUEST),
    ("GET", "transport=polling&sid=SID", BAD_REQUEST),
    ("GET", "transport=polling", WRONG_VERSION),
    ("GET", "EIO=3&transport=polling", WRONG_VERSION),
    ("GET", "EIO=5&transport=polling", WRONG_VERSION),
    ("GET", "EIO=abc&transport=polling", WRONG_VERSION),
    ("GET", "EIO=&transport=polling", WRONG_VERSION),
    ("GET", "EIO=4&EIO=3&transport=polling", WRONG_VERSION),
]


@pytest.mark.parametrize(("method", "query", "answer"), REFUSED)
def test_a_refused_request_has_the_status_number_and_message_of_the_reference_server(
    harness: Harness, method: str, query: str, answer: tuple[int, str]
) -> None:
    sid = harness.open()
    request = harness.request(method, query.replace("SID", sid))
    assert request.status == 400
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.answered) == {"code": answer[0], "message": answer[1]}
    assert harness.post(sid, b"3").answer == (200, b"ok"), "the session goes on"


@pytest.mark.parametrize(
    "query",
    [
        POLLING,
        f"{POLLING}&t=abc",
        f"{POLLING}&b64=1",
        f"{POLLING}&sid=",
        "EIO=3&EIO=4&transport=polling",
        "EIO=4&transport=abc&transport=polling",
        f"{POLLING}&x=%ff&foo=bar+baz&y=%zz",
        POLLING + "".join(f"&name{number}=1" for number in range(90)),
    ],
)
def test_a_request_with_more_in_its_query_opens_a_session(harness: Harness, query: str) -> None:
    assert (harness.request("GET", query).answer or (0, b""))[1].startswith(b'0{"sid":')


#: The reference server opens a WebSocket of a wrong version, and then writes an HTTP answer into it.
UPGRADES = [
    ("EIO=4", UNKNOWN_TRANSPORT),
    ("EIO=4&transport=abc", UNKNOWN_TRANSPORT),
    ("EIO=4&transport=webtransport", UNKNOWN_TRANSPORT),
    ("EIO=4&transport=polling&sid=abc", UNKNOWN_SID),
    ("EIO=4&transport=websocket&sid=abc", UNKNOWN_SID),
    ("EIO=3&transport=websocket&sid=abc", UNKNOWN_SID),
    ("EIO=3&transport=websocket&sid=SID", BAD_REQUEST),
    ("EIO=3&transport=websocket", WRONG_VERSION),
    ("EIO=abc&transport=websocket", WRONG_VERSION),
    ("transport=websocket", WRONG_VERSION),
]


@pytest.mark.parametrize(("query", "answer"), UPGRADES)
def test_a_websocket_is_refused_before_the_upgrade(harness: Harness, query: str, answer: tuple[int, str]) -> None:
    client = harness.connect()
    head = client.handshake("/socket.io/?" + query.replace("SID", harness.open()))
    assert head.startswith("HTTP/1.1 400 ")
    assert client.body() == {"code": answer[0], "message": answer[1]}


# Packets of Engine.IO, after CONNECT. ``ignored``: the session goes on. ``closed``: it ends.

ENGINE_PACKETS = {"ignored": ["0", "3", "3x", "5", "6", "6x"], "closed": ["", "abc", "7", "2", "2probe", "4", "4abc"]}


@pytest.mark.parametrize(("end", "packet"), [(end, packet) for end, packets in ENGINE_PACKETS.items() for packet in packets])
def test_a_packet_of_engine_io_has_the_same_effect(harness: Harness, end: str, packet: str) -> None:
    client = connected(harness)
    client.text(packet)
    _check_end(client, end, harness)
    sid = harness.open_connected()
    status = harness.post(sid, packet.encode()).status
    assert (status, sid in harness.engine.connections) == ((200, True) if end == "ignored" else (400, False))


# Packets of Socket.IO, after CONNECT

ANSWERED = "answered"
SOCKETIO_PACKETS = {
    "ignored": ['43["x"]', '4399["x"]', "41"],
    "closed": [
        *("42{}", "42null", "42[]", '42["foo"]x', '42["foo"', "47", '44{"message":"x"}', '40{"token":"amy"}', '42/other,["x"]'),
        *('42["connect"]', '42["disconnect"]', '42["disconnecting"]', '42["newListener"]', '41{"a":1}'),
        *('450-["x"]', '4511-["x"]', '45["x"]', '451-["x",{"_placeholder":true,"num":0}'),
    ],
    ANSWERED: ['42["foo"]', '42 ["foo"]', '42["foo",1,2]', '42["",1]', "42[5,1]", '42/,["foo"]', '42["error"]'],
}


@pytest.mark.parametrize(("end", "packet"), [(end, packet) for end, packets in SOCKETIO_PACKETS.items() for packet in packets])
def test_a_packet_of_socket_io_has_the_same_effect(harness: Harness, end: str, packet: str) -> None:
    client = connected(harness)
    client.text(packet)
    if end == ANSWERED:  # the reference server gives it to the application; ours says that there is no such event
        (answer,) = client.texts()
        assert answer.startswith('42["error",{"code":4000,')
    _check_end(client, "ignored" if end == ANSWERED else end, harness, left=packet == "41")


CONNECTS = {
    "closed": ['40"x"', '40["x"]', "40null", "40{", "40[]", '42["join:leaderboard"]', "41", '43["x"]', "40other,{}", "451-[]"],
    '44{"message":"Authentication failed","data":{"code":4010}}': ["40", "40{}", "40/", "40/,", "405", '40{"a":1}'],
    '44/?a=b,{"message":"Invalid namespace"}': ["40/?a=b,"],
    '44/other,{"message":"Invalid namespace"}': ["40/other", "40/other,", '40/other,{"token":"amy"}'],
}


@pytest.mark.parametrize(("answer", "packet"), [(answer, packet) for answer, packets in CONNECTS.items() for packet in packets])
def test_a_first_packet_has_the_same_answer(harness: Harness, answer: str, packet: str) -> None:
    client = harness.open_websocket()
    client.text(packet)
    if answer == "closed":
        assert code(client) == 1008
    else:
        assert client.texts() == [answer]
        client.text('40{"token":"amy"}')
        assert client.texts()[0].startswith('40{"sid"'), "it may ask again"


def connected(harness: Harness) -> SioClient:
    client = harness.open_websocket()
    client.text('40{"token":"amy"}')
    client.texts()
    return client


def _check_end(client: SioClient, end: str, harness: Harness, *, left: bool = False) -> None:
    if end == "closed":
        assert code(client) == 1008
    elif left:
        assert client.sid in harness.engine.connections
    else:
        client.text('421["leave:leaderboard"]')
        assert client.texts() == ["431[{}]"]


# Where the reference server answers otherwise

DIFFERENT = {
    "42": "it calls the application with an event that has no name",
    f'42{"9" * 20}["foo"]': "it rounds the ack id, and so it acknowledges another event",
    '42["__proto__"]': "it calls the application with a name that is special in JavaScript",
    '451-["x",{"_placeholder":true}]': "it waits for an attachment, and then ends the session",
}


@pytest.mark.parametrize("packet", DIFFERENT)
def test_this_server_closes_where_the_reference_server_goes_on(harness: Harness, packet: str) -> None:
    client = connected(harness)
    client.text(packet)
    assert code(client) == 1008


def test_a_jsonp_request_gets_no_script(harness: Harness) -> None:
    """A script runs in a page of any origin, and the request for it has no Origin. Only clients before version 3 ask for one."""
    request = harness.request("GET", f"{POLLING}&j=0")
    assert request.answered.startswith(b'0{"sid":')
    assert request.headers["Content-Type"].startswith("text/plain")


def test_a_method_that_is_not_of_the_protocol_is_the_clients_fault(harness: Harness) -> None:
    """The reference server answers 500."""
    sid = harness.open()
    for method in ("PUT", "DELETE", "PATCH"):
        request = harness.request(method, f"{POLLING}&sid={sid}")
        assert (request.status, json.loads(request.answered)) == (400, {"code": 3, "message": "Bad request"})
    assert harness.post(sid, b"3").answer == (200, b"ok")


def test_a_post_that_is_not_valid_is_refused(harness: Harness) -> None:
    """The reference server says ok to it, then ends the session."""
    sid = harness.open()
    request = harness.post(sid, b"abc")
    assert (request.status, json.loads(request.answered)) == (400, {"code": 3, "message": "Bad request"})
    assert json.loads(harness.get(sid).answered) == {"code": 1, "message": "Session ID unknown"}


def test_a_page_of_another_origin_gets_no_session(harness: Harness) -> None:
    """The reference server opens one that the page cannot read, and a WebSocket that the page can read."""
    assert harness.request("GET", POLLING, headers={"Origin": "https://evil.example"}).status == 403
    assert harness.connect().handshake(WS, origin="https://evil.example").startswith("HTTP/1.1 403 ")
