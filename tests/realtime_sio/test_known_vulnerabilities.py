"""Known vulnerabilities of other servers of these protocols, tried on ours.

Some are tested in other files: CVE-2022-2421, CVE-2023-32695 and CVE-2026-33151 in
test_conversation (MALFORMED); CVE-2022-41940, CVE-2024-37890, CVE-2024-38355, CVE-2026-48779 and CVE-2026-48802 in
test_websocket; fc11285e in test_polling.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from twisted.logger import capturedLogs

from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.packets import Malformed, read_payload
from scoreboard.realtime.socketio.packets import read_packet
from scoreboard.service.wiring import new_sid
from tests.realtime.fake_transport import frame
from tests.realtime_sio.harness import Harness, SioClient

WS = "/socket.io/?EIO=4&transport=websocket"
MIB = 2**20
#: Of the processor's time. Far longer than linear time needs, and far shorter than quadratic time would.
SOON_S = 1.0


@pytest.fixture
def harness() -> Harness:
    return Harness()


def handshake(target: str) -> bytes:
    return (
        f"GET {target} HTTP/1.1\r\nHost: board.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("body", [b"4\x1e" * MIB, b"\x1e" * MIB, b"b" * MIB, b"b" + b"A" * MIB + b"!", b"4" + b"\xff" * MIB])
def test_a_payload_is_refused_in_linear_time(body: bytes) -> None:  # CVE-2020-36048
    began_s = time.process_time()
    with pytest.raises(Malformed):
        read_payload(body, EngineSettings().packets_per_post_max)
    assert time.process_time() - began_s < SOON_S


@pytest.mark.parametrize(
    "text",
    [
        "2" + "9" * MIB + '["a"]',  # Python itself refuses more than 4,300 digits, by another error
        "5" + "1" * MIB + '-["a"]',
        "2/" + "n" * MIB + ',["a"]',
        "2" + "/," * MIB + '["a"]',
        "2[" * MIB,
        '2["a",' + '{"a":' * MIB,
        "2" + " " * MIB,
    ],
    ids=range(7),
)
def test_a_packet_is_refused_in_linear_time(text: str) -> None:  # CVE-2020-36049
    began_s = time.process_time()
    with pytest.raises(Malformed):
        read_packet(text)
    assert time.process_time() - began_s < SOON_S


@pytest.mark.parametrize("bad", [frame(1, b"4", rsv=3), frame(3), frame(1, b"4", masked=False), frame(8, b"x")])
@pytest.mark.parametrize("session", ["new", "polling", "upgraded"])
def test_a_bad_frame_right_after_the_handshake_does_not_affect_other_clients(
    harness: Harness, session: str, bad: bytes
) -> None:  # CVE-2022-21676
    sid, other = harness.open_connected(), harness.viewer()
    target = {"new": WS, "polling": f"{WS}&sid={sid}", "upgraded": f"{WS}&sid={other.sid}"}[session]
    client = harness.connect()
    with capturedLogs() as logged:
        client.send(handshake(target) + bad)
    assert client.head().startswith("HTTP/1.1 101 ")
    assert client.closed()[0] == (1008 if session == "upgraded" else 1002)
    assert not logged
    assert harness.post(sid, b"3").answer == (200, b"ok")
    other.text('421["leave:leaderboard"]')
    assert other.texts() == ["431[{}]"]


@pytest.mark.parametrize(
    "transport", ["", "constructor", "__proto__", "handlesUpgrades", "polling\0", "Polling", "websocket,polling"]
)
def test_an_unknown_transport_name_is_refused(harness: Harness, transport: str) -> None:  # CVE-2023-31125
    assert harness.request("GET", {"EIO": "4", "transport": transport}).status == 400
    assert harness.connect().handshake(f"/socket.io/?EIO=4&transport={transport.strip(chr(0))}x").startswith("HTTP/1.1 400 ")
    harness.pass_time(3)
    assert harness.is_empty


def test_acknowledgements_that_were_sent_are_not_counted_as_pending(harness: Harness) -> None:  # socket.io 37aad114
    client = harness.viewer()
    for start, end in pairwise(range(0, 300, 15)):
        for number in range(start, end):
            client.text(f'42{number}["leave:leaderboard"]')
        assert client.texts() == [f"43{number}[{{}}]" for number in range(start, end)]
        harness.pass_time(1)


def test_a_session_id_cannot_be_guessed_and_is_sent_to_its_client_alone(harness: Harness) -> None:
    sids = {new_sid() for _ in range(1_000)}
    assert len(sids) == 1_000
    assert min(map(len, sids)) * 6 >= 128
    with capturedLogs() as logged:
        client = harness.open_websocket()
        client.text('40{"token":"amy"}')
        connected = client.texts()
        client.text("nonsense")
    assert client.sid
    assert client.sid not in str(connected)
    assert client.sid not in str(logged)


def test_a_page_of_another_origin_cannot_take_over_a_session(harness: Harness) -> None:
    sid = harness.open_connected()
    taker = harness.connect()
    assert taker.handshake(f"{WS}&sid={sid}", origin="https://evil.example").startswith("HTTP/1.1 403 ")
    assert harness.post(sid, b"3").answer == (200, b"ok")


def test_an_upgraded_session_cannot_be_taken_over_by_polling_or_another_socket(harness: Harness) -> None:
    sid = harness.open_connected()
    client: SioClient = harness.open_websocket(sid)
    client.text("2probe")
    client.text("5")
    assert client.texts() == ["3probe"]
    assert harness.get(sid).status == 400
    assert harness.post(sid, b"1").status == 400
    second = harness.open_websocket(sid)
    second.text("5")
    assert second.closed()[0] == 1008
    client.text('421["leave:leaderboard"]')
    assert client.texts() == ["431[{}]"]
