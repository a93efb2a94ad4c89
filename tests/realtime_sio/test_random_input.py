"""Random bytes and random packets in any order, to the cores of both protocols and to the server around them.

Only documented exceptions are raised, and nothing is sent after the end.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from scoreboard.domain import close_reasons
from scoreboard.net.websocket.frames import text_frame
from scoreboard.realtime.engineio.connection import EngineConnection
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.packets import Malformed, payload_of
from scoreboard.realtime.engineio.session import NEVER, Misplaced, Session, Transport
from scoreboard.realtime.socketio.conversation import Conversation, Emitted, Entered, Left, Received
from tests.realtime.fake_transport import frame
from tests.realtime_sio.harness import Harness, Request, SioClient

SETTINGS = EngineSettings(ping_interval_ms=300, ping_timeout_ms=200, connect_timeout_ms=1_000, queued_bytes_max=200)

# Input of clients: packets of Engine.IO, valid and broken, one or many in a POST, and any other bytes.

_socketio = st.one_of(
    st.sampled_from(["0", '0{"token":"amy"}', '0{"token":"bad"}', "0/x,", "1", "1/x,", '2["join:leaderboard"]', "31[]"]),
    st.sampled_from(['21["join:leaderboard"]', '22["leave:leaderboard"]', '23["nothing",1]', '2/x,4["a"]', '2["connect"]']),
    st.sampled_from(['51-["a",{"_placeholder":true,"num":0}]', '52-9["a",{"_placeholder":true,"num":1}]', "61-7[]"]),
    st.from_regex(
        r"\A[0-6]([0-9]{1,3}-)?(/[a-z]{0,3},)?[0-9]{0,18}(\[\"[a-z]\",\{\"_placeholder\":true,\"num\":[0-9]\}\]|\{\}|\[\])?\Z"
    ),
    st.text(max_size=30),
)
_text = st.one_of(
    _socketio.map("4{}".format),
    st.sampled_from(["1", "2", "3", "3", "3", "5", "6", "2probe", "2probe", "5", "7", ""]),
    st.builds("{}{}".format, st.sampled_from("0123456"), st.text(max_size=5)),
    st.text(max_size=8),
)
_packet = _text | st.binary(max_size=10)


def _posted(packets: Sequence[str | bytes]) -> bytes:
    encoders = (f"b{base64.b64encode(one).decode()}" if isinstance(one, bytes) else one for one in packets)
    return "\x1e".join(encoders).encode("utf-8", "surrogatepass")


_body = st.lists(_packet, min_size=1, max_size=5).map(_posted) | st.binary(max_size=40)


# Engine.IO's session

_session_step = st.one_of(
    st.tuples(st.just("post"), _body),
    st.tuples(st.sampled_from(["receive", "receive", "probe"]), _packet),
    st.tuples(st.just("probe"), st.sampled_from(["2probe", "5"])),
    st.tuples(st.sampled_from(["poll", "poll", "poll", "attach", "detach", "send", "send", "welcome"]), st.none()),
    st.tuples(st.sampled_from(["abandon", "close"]), st.none()),
    st.tuples(st.just("wait"), st.integers(0, 400)),
)


@given(st.sampled_from(list(Transport)), st.lists(_session_step, max_size=40))
@settings(max_examples=500, deadline=None)
def test_a_session_raises_only_refusals_and_sends_nothing_after_its_end(
    transport: Transport, steps: list[tuple[str, object]]
) -> None:
    session = Session("s", transport, SETTINGS, 0)
    now_ms = 0
    for step, value in steps:
        over, held_bytes = session.close_reason, session.queued_bytes
        received: object = None
        refused = False
        try:
            match step, value:
                case "wait", int(ms):
                    now_ms += ms
                    session.pass_time(now_ms)
                case "post", bytes(body):
                    received = session.post(body, now_ms)
                case "receive", (str() | bytes()) as message:
                    received = session.receive(message, now_ms)
                case "probe", (str() | bytes()) as message:
                    received = session.probe(message, now_ms)
                case "poll", _:
                    session.poll(now_ms)
                case "attach", _:
                    session.attach(now_ms)
                case "send", _:
                    session.send(text_frame(b"4" + b"x" * 30))
                case "close", _:
                    session.close(close_reasons.CLIENT_CLOSED)
                case "abandon", _:
                    session.abandon()
                case "detach", _:
                    session.detach()
                case _:
                    session.stop_connect_timer()
        except (Misplaced, Malformed):
            refused = True
        payload, frames = session.take_payload(), session.take_frames()
        if session.close_reason is None:
            assert now_ms < session.deadline_ms < NEVER
            continue
        assert frames == b"", "nothing over the WebSocket"
        assert session.deadline_ms == NEVER
        if over is not None:
            assert payload is None, "the last packet was sent when the session closed"
            assert session.close_reason == over
            assert session.queued_bytes == held_bytes, "nothing is queued for it"
            assert not received
            assert refused or step not in ("poll", "post", "probe", "attach")


# Socket.IO's conversation

_conversation_step = st.one_of(
    st.tuples(st.just("receive"), _socketio | st.binary(max_size=10)),
    st.tuples(st.just("receive"), st.sampled_from(["0", "0/x,", '27["a"]', '51-8["a"]', b"x"])),
    st.tuples(st.sampled_from(["accept", "accept", "refuse", "emit", "dismiss"]), st.sampled_from(["/", "/", "/x", "/y"])),
    st.tuples(st.sampled_from(["acknowledge", "acknowledge", "acknowledge", "end"]), st.just("")),
)
_SAID = {"accept": (b"40",), "refuse": (b"44",), "emit": (b"42", b"45"), "dismiss": (b"41",), "acknowledge": (b"43", b"46")}


def _say(talk: Conversation, step: str, namespace: str, asked: Emitted | None) -> bytes:
    match step:
        case "accept":
            return talk.accept(namespace)
        case "refuse":
            return talk.refuse(namespace, "no")
        case "emit":
            return talk.emit(namespace, "x", [b"1"], [b"\1"])
        case "dismiss":
            return talk.disconnect(namespace)
    return b"" if asked is None else talk.acknowledge(asked, asked.args, asked.attachments)


@given(st.lists(_conversation_step, max_size=40))
@settings(max_examples=500, deadline=None)
def test_a_conversation_raises_only_malformed_and_sends_nothing_after_its_end(steps: list[tuple[str, str | bytes]]) -> None:
    sids = (f"c{number}" for number in itertools.count(1))
    talk = Conversation(lambda: next(sids))
    over = False
    asked: Emitted | None = None
    for step, value in steps:
        if step == "receive":
            received: Received | None = None
            try:
                received = talk.receive(value)
                assert not over
            except Malformed:
                over = True
            if isinstance(received, Emitted) and received.number is not None:
                asked = received
            assert received is None or isinstance(received, Entered | Emitted | Left)
        elif step == "end":
            talk.end()
            over = True
        else:
            out = _say(talk, step, str(value), asked)
            assert not out or (not over and payload_of(out)[:2] in _SAID[step])
    if over:
        for step, namespace in itertools.product(_SAID, ("/", "/x")):
            assert _say(talk, step, namespace, asked) == b""


# The server around them: a connection with a handler that sends at any time, and the board's own client.


class RandomHandler:
    """Handler that sends and closes as the test decides, also while it handles a message and after the end."""

    def __init__(self, connection: EngineConnection, replies: list[str]) -> None:
        self.connection, self.replies = connection, replies
        self.ends = 0

    def act(self, what: str) -> None:
        match what:
            case "say":
                self.connection.reply(text_frame(b"4said"))
            case "offer":
                self.connection.offer(text_frame(b"4offered"))
            case "sink":
                if not self.ends:
                    self.connection.writer.offer(text_frame(b"4told"))
            case "welcome":
                self.connection.stop_connect_timer()
            case "part":
                self.connection.close(close_reasons.BAD_PACKET)

    def message_received(self, message: str | bytes) -> None:
        assert not self.ends, "a message after the end"
        if self.replies:
            self.act(self.replies.pop())

    def transport_changed(self) -> None:
        assert not self.ends, "a change of transport after the end"

    def check_deadlines(self, wall_s: float) -> None:
        assert not self.ends, "a check of deadlines after the end"

    def disconnected(self) -> None:
        self.ends += 1


_IN = ('40{"token":"amy"}', '42["join:leaderboard"]')
_act = st.sampled_from(["say", "say", "offer", "sink", "welcome", "part"])
_begun = st.sampled_from(["polling", "probed", "upgraded", "websocket"])
_wing_step = st.one_of(
    st.tuples(st.just("post"), _body),
    st.tuples(st.just("ws"), _packet),
    st.tuples(st.just("raw"), st.binary(max_size=30)),
    st.tuples(st.just("act"), _act),
    st.tuples(st.sampled_from(["poll", "poll", "hang up", "upgrade", "vanish", "stop reading", "say", "part"]), st.none()),
    st.tuples(st.just("wait"), st.integers(0, 12)),
)


class RandomClient:
    """One client of a server, perhaps on both transports at once."""

    def __init__(self, harness: Harness, begun: str) -> None:
        self.harness = harness
        self.sid = "" if begun == "websocket" else harness.open()
        self.sockets: list[SioClient] = [] if self.sid else [harness.open_websocket()]
        self.sid = self.sid or self.sockets[0].sid
        self.waiting: list[Request] = []
        if begun in ("probed", "upgraded"):
            self.do("upgrade", None)
            self.do("ws", "2probe")
        if begun == "upgraded":
            self.do("ws", "5")

    def send_event(self, packet: str) -> None:
        """Send over the present transport."""
        if self.harness.engine.connections[self.sid].writer is self.harness.engine.connections[self.sid]:
            self.do("post", packet.encode())
        else:
            self.do("ws", packet)

    def do(self, step: str, value: object) -> None:
        harness, socket = self.harness, self.sockets[-1] if self.sockets else None
        match step, value:
            case "post", bytes(body):
                harness.post(self.sid, body)
            case "poll", _:
                self.waiting.append(harness.get(self.sid))
            case "hang up", _ if self.waiting and self.waiting[-1].answer is None:
                self.waiting.pop().disconnect()
            case "upgrade", _ if self.sid not in harness.engine.connections:
                head = harness.connect().handshake(f"/socket.io/?EIO=4&transport=websocket&sid={self.sid}")
                assert head.startswith("HTTP/1.1 400 "), head
            case "upgrade", _ if len(self.sockets) < 3:
                self.sockets.append(harness.open_websocket(self.sid))
            case "ws", str(text) if socket is not None:
                socket.send(frame(1, text.encode("utf-8", "surrogatepass")))
            case "ws", bytes(data) if socket is not None:
                socket.send(frame(2, data))
            case "raw", bytes(data) if socket is not None:
                socket.send(data)
            case "vanish", _ if socket is not None:
                socket.break_connection()
            case "stop reading", _ if socket is not None:
                socket.transport.room = 0
            case "wait", int(seconds):
                harness.pass_time(seconds)

    def check_the_end(self) -> None:
        """Check that all waiting GETs were answered, and that a new request is refused."""
        assert all(request.answer is not None for request in self.waiting)
        assert [self.harness.get(self.sid).status, self.harness.post(self.sid, b"4late").status] == [400, 400]
        assert self.harness.get(self.sid).answered == b'{"code":1,"message":"Session ID unknown"}'
        for socket in self.sockets:
            if socket.transport.room:
                opcodes = [opcode for opcode, _ in socket.frames()]
                assert opcodes.count(8) <= 1
                assert 8 not in opcodes[:-1], "output after the close frame"


@given(_begun, st.lists(_act, max_size=8), st.lists(_wing_step, max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_connection_sends_anything_after_its_end(begun: str, replies: list[str], steps: list[tuple[str, object]]) -> None:
    handlers: list[RandomHandler] = []

    def board(connection: EngineConnection) -> RandomHandler:
        handlers.append(RandomHandler(connection, replies))
        return handlers[-1]

    harness = Harness(handler_factory=board)
    with capturedLogs() as logged:
        client = RandomClient(harness, begun)
        (handler,) = handlers
        for step, value in steps:
            if step == "act":
                handler.act(str(value))
            else:
                client.do(step, value)
            assert (handler.ends == 0) == (client.sid in harness.engine.connections)
        handler.act("part")
        for what in ("say", "offer", "welcome", "part"):
            handler.act(what)
        harness.pass_time(30)
        client.check_the_end()
    assert not logged
    assert handler.ends == 1
    assert harness.connected == harness.resource.sessions == 0
    assert len(harness.clock.getDelayedCalls()) == 1


@given(_begun, st.sampled_from([(), ("40",), _IN[:1], _IN, _IN]), st.lists(_wing_step, max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_client_makes_the_server_raise_log_or_send_after_the_end(
    begun: str, received: tuple[str, ...], steps: list[tuple[str, object]]
) -> None:
    harness = Harness()
    with capturedLogs() as logged:
        client = RandomClient(harness, begun)
        for packet in received:
            client.send_event(packet)
        for step, value in steps:
            client.do(step, value)
            if step == "say":
                harness.announcer.publish([])
            elif step == "part" and client.sid in harness.engine.connections:
                harness.engine.connections[client.sid].close(close_reasons.CLIENT_CLOSED)
        harness.pass_time(60)
        harness.announcer.publish([])
        client.check_the_end()
    assert not logged
    assert harness.is_empty
