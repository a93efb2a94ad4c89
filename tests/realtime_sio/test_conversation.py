"""Packets and conversation of Socket.IO, without I/O."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.realtime.engineio.packets import Malformed, payload_of
from scoreboard.realtime.socketio.conversation import NAMESPACES_MAX, UNACKNOWLEDGED_MAX, Conversation, Emitted, Entered, Left
from scoreboard.realtime.socketio.packets import Kind, Packet, read_packet


def unknown_client() -> Conversation:
    sids = (f"c{number}" for number in itertools.count(1))
    return Conversation(lambda: next(sids))


def inside(*namespaces: str) -> Conversation:
    talk = unknown_client()
    for namespace in namespaces or ("/",):
        talk.receive("0" if namespace == "/" else f"0{namespace},")
        talk.accept(namespace)
    return talk


HOLDER = '{"_placeholder":true,"num":1}'


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Packet(Kind.CONNECT)),
        ('0{"token":"123"}', Packet(Kind.CONNECT, args=(b'{"token":"123"}',))),
        ("0/custom", Packet(Kind.CONNECT, "/custom")),
        ('0/custom,{"a":1}', Packet(Kind.CONNECT, "/custom", args=(b'{"a":1}',))),
        ("1/custom,", Packet(Kind.DISCONNECT, "/custom")),
        ('2["a"]', Packet(Kind.EVENT, name="a")),
        ('2/c,12["a", {"b":[1]} ,"x"]', Packet(Kind.EVENT, "/c", 12, "a", (b'{"b":[1]}', b'"x"'))),
        ("37[]", Packet(Kind.ACK, number=7)),
        ('39007199254740992["x"]', Packet(Kind.ACK, number=2**53, args=(b'"x"',))),
        ('3["a"]', Packet(Kind.ACK, args=(b'"a"',))),
        ("01", Packet(Kind.CONNECT, number=1)),
        ("2[1]", Packet(Kind.EVENT, name="1")),
        ('2["",1]', Packet(Kind.EVENT, name="", args=(b"1",))),
        (f'52-["a",{HOLDER}]', Packet(Kind.BINARY_EVENT, name="a", args=(HOLDER.encode(),), attachments=2)),
    ],
)
def test_a_packet_is_decoded(text: str, packet: Packet) -> None:
    assert read_packet(text) == packet


MALFORMED = [
    *("", "7", "abc", "x2[]", "2", "2{}", "2[]", '2["a"', '2["a"]x', '2abc["a"]', '2["a"],', '2-1["a"]', '2 ["a"]x'),
    *(
        "0[]",
        '0"x"',
        "1{",
        "1{}",
        '4{"message":"x"}',
        "50-[]",
        '50-["a"]',
        '21-["a"]',
        '5["a"]',
        '2[{"toString":"x"}]',
        "2[null]",
    ),
    *(f'2["{name}"]' for name in ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")),
    *(
        '2["__proto__"]',
        '2[{"toString":"x"}]',
        '511-["a"]',
        '51000000-["a"]',
        "5-1-[]",
        f'2{"9" * 17}["a"]',
        f'2{"9" * 5000}["a"]',
        '29999999999999999["a"]',
    ),
    *(
        f'51-["a",{{"_placeholder":true,"num":{number}}}]'
        for number in ('"toString"', "-1", "1", "1e9", "0.0", "true", "null", "10000000000")
    ),
    *('51-["a",{"_placeholder":true}]', '2["a",' + "[" * 100_000, '51-["a",' + "[" * 100 + "]" * 100 + "]", '2["\ud800"]'),
    *('2/a\x1eb,["x"]', "2/" + "n" * 200 + ',["x"]', '2["\\ud800"]', '2["a",nul]', '2["a",01]'),
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_packet_ends_the_conversation(text: str) -> None:
    talk = inside()
    with pytest.raises(Malformed):
        talk.receive(text)
    with pytest.raises(Malformed):
        talk.receive('2["fine"]')
    assert talk.emit("/", "late", []) == b""


def test_a_client_is_accepted_or_refused_and_can_ask_again() -> None:
    talk = unknown_client()
    assert talk.receive('0{"token":"a"}') == Entered("/", b'{"token":"a"}')
    assert payload_of(talk.refuse("/", "Authentication failed")) == b'44{"message":"Authentication failed"}'
    talk.receive("0")
    assert talk.emit("/", "early", []) == b"", "nothing goes out before the answer"
    assert payload_of(talk.accept("/")) == b'40{"sid":"c1"}'
    assert payload_of(talk.emit("/", "now", [b"1"])) == b'42["now",1]'
    talk.receive("0/again")
    assert payload_of(talk.accept("/again", "old", "secret")) == b'40/again,{"sid":"old","pid":"secret"}'
    talk.receive("0/random")
    assert payload_of(talk.refuse("/random", "Invalid namespace")) == b'44/random,{"message":"Invalid namespace"}'


@pytest.mark.parametrize("text", ["0", '2/custom,["a"]', "1/custom"])
def test_a_packet_that_the_state_does_not_allow_ends_the_conversation(text: str) -> None:
    with pytest.raises(Malformed):
        inside().receive(text)


@pytest.mark.parametrize("text", ['2["a"]', "1", "31[]"])
def test_a_packet_before_the_client_is_accepted_ends_the_conversation(text: str) -> None:
    talk = unknown_client()
    talk.receive("0")
    with pytest.raises(Malformed):
        talk.receive(text)


def test_leaving_one_namespace_does_not_leave_the_others() -> None:
    talk = inside("/", "/custom")
    assert talk.receive("1/custom") == Left("/custom")
    assert talk.receive('2["a"]') == Emitted("/", "a", (), None, ())
    assert talk.receive("0/custom,") == Entered("/custom", b"")
    assert payload_of(talk.accept("/custom")) == b'40/custom,{"sid":"c3"}'
    assert payload_of(talk.disconnect("/custom")) == b"41/custom"


def test_a_client_can_enter_a_limited_number_of_namespaces() -> None:
    talk = inside(*(f"/{number}" for number in range(NAMESPACES_MAX)))
    with pytest.raises(Malformed):
        talk.receive("0/more")


def test_an_event_is_acknowledged_once_and_only_on_request() -> None:
    talk = inside("/custom")
    received = talk.receive('2/custom,456["m",1]')
    assert isinstance(received, Emitted)
    assert payload_of(talk.acknowledge(received, [b'"2"'])) == b'43/custom,456["2"]'
    assert talk.acknowledge(received, []) == b""
    silent = talk.receive('2/custom,["m"]')
    assert isinstance(silent, Emitted)
    assert talk.acknowledge(silent, []) == b""


def test_pending_acknowledgements_are_bounded_and_forgotten_at_the_end() -> None:
    talk = inside()
    owed = [talk.receive(f'2{number}["m"]') for number in range(UNACKNOWLEDGED_MAX)]
    with pytest.raises(Malformed):
        talk.receive('2999["m"]')
    assert isinstance(owed[0], Emitted)
    assert talk.acknowledge(owed[0], []) == b""


def test_binary_packets_are_collected_with_their_attachments() -> None:
    talk = inside()
    assert talk.receive('52-789["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]') is None
    assert talk.receive(b"\1\2") is None
    received = talk.receive(b"\3")
    assert isinstance(received, Emitted)
    assert (received.number, received.attachments) == (789, (b"\1\2", b"\3"))
    answer = payload_of(talk.acknowledge(received, received.args, received.attachments))
    assert answer == b'462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]\x1ebAQI=\x1ebAw=='
    assert talk.receive('61-7[{"_placeholder":true,"num":0}]') is None
    assert talk.receive(b"x") == Emitted("/", None, (b'{"_placeholder":true,"num":0}',), 7, (b"x",))


@pytest.mark.parametrize("message", ['2["a"]', "1"])
def test_text_among_attachments_ends_the_conversation(message: str) -> None:
    talk = inside()
    talk.receive('51-["m",{"_placeholder":true,"num":0}]')
    with pytest.raises(Malformed):
        talk.receive(message)


def test_an_attachment_without_a_packet_ends_the_conversation() -> None:
    with pytest.raises(Malformed):
        inside().receive(b"x")


_leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)


@given(st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)))
def test_arguments_are_decoded_and_encoded_unchanged(value: object) -> None:
    talk = inside()
    received = talk.receive("2" + json.dumps(["message", value]))
    assert isinstance(received, Emitted)
    assert json.loads(payload_of(talk.emit("/", "message", received.args))[2:]) == ["message", value]


def test_a_byte_order_mark_before_the_json_of_a_packet_is_ignored() -> None:
    assert read_packet('2\ufeff["join:leaderboard"]') == read_packet('2["join:leaderboard"]')
