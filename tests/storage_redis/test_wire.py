from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from scoreboard.storage.redis.protocol import (
    TOLD_WAITING_MAX,
    TOLD_WAITS_S,
    RedisProtocol,
    RedisSubscriptionProtocol,
    RedisUnavailable,
)


class EngineConnection(StringTransport):
    """A transport that hangs up when it is told to."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def wired(clock: Clock, wire: RedisProtocol | None = None) -> tuple[RedisProtocol, EngineConnection]:
    wire, line = wire or RedisProtocol(clock), EngineConnection()
    wire.makeConnection(line)
    return wire, line


def outcome_of(answer: Deferred[Any]) -> list[Any]:
    outcome: list[Any] = []
    answer.addCallbacks(outcome.append, lambda failure: outcome.append(failure.value.kind))
    return outcome


def test_replies_come_in_the_order_of_the_commands_as_bytes_and_integers() -> None:
    wire, line = wired(Clock())
    first, second = outcome_of(wire.ask(("GET", "ключ", b"\xff"), 1)), outcome_of(wire.ask(("ZCARD", 7), 1))
    assert line.value() == "*3\r\n$3\r\nGET\r\n$8\r\nключ\r\n$1\r\n".encode() + b"\xff\r\n*2\r\n$5\r\nZCARD\r\n$1\r\n7\r\n"
    wire.dataReceived(b"*4\r\n$2\r\n12\r\n:34\r\n$-1\r\n*1\r\n")
    assert first == []
    wire.dataReceived(b":1\r\n:5\r\n")
    assert (first, second) == ([[b"12", 34, None, [1]]], [5])


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "MISCONF"),
        ("NOAUTH Authentication required.", "NOAUTH"),
        (
            "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write against a read only replica.",
            "READONLY",
        ),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("OOM command not allowed when used memory > 'maxmemory'. script: 2915, on @user_script:1.", "OOM"),
        ("ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key", "WRONGTYPE"),
        ("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -NOREPLICAS Not enough", "NOREPLICAS"),
        ("ERR The user executing the script can't run this command or subcommand script: 29, on @user_script:1.", "NOPERM"),
        ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN"),
        ("ERR unknown command", "ERR"),
        ("ERR unknown command `x`, with args beginning with: `OOM`, `READONLY`, ", "ERR"),
    ],
)
def test_an_error_is_named_by_its_class(said: str, kind: str) -> None:
    wire, _ = wired(Clock())
    outcome = outcome_of(wire.ask(("PING",), 1))
    wire.dataReceived(f"-{said}\r\n".encode())
    assert outcome == [kind]


def test_a_call_waits_no_longer_than_its_deadline_and_its_late_reply_is_nobodys() -> None:
    clock = Clock()
    wire, line = wired(clock)
    late, patient = outcome_of(wire.ask(("A",), 0.05)), outcome_of(wire.ask(("B",), 1.0))
    clock.pump([0.05, 0])
    assert (late, patient, line.aborted) == (["SILENT"], [], False)
    wire.dataReceived(b"+late\r\n+B\r\n")
    assert (late, patient) == (["SILENT"], [b"B"])
    assert clock.getDelayedCalls() == []


def test_after_three_silent_calls_in_a_row_it_hangs_up_and_nothing_is_asked_any_more() -> None:
    clock = Clock()
    wire, line = wired(clock)
    for _ in range(2):
        outcome_of(wire.ask(("A",), 0.05))
        clock.pump([0.05, 0])
    assert not line.aborted
    waiting = outcome_of(wire.ask(("B",), 10))
    outcome_of(wire.ask(("A",), 0.05))
    clock.pump([0.05, 0])
    assert line.aborted
    assert outcome_of(wire.ask(("C",), 1)) == ["LOST"]
    wire.connectionLost(Failure(ConnectionDone()))
    assert waiting == ["LOST"]
    assert clock.getDelayedCalls() == []


def test_what_is_told_travels_with_the_next_question_and_its_reply_is_nobodys() -> None:
    clock = Clock()
    wire, line = wired(clock)
    wire.tell(("A",))
    wire.tell(("B",))
    assert line.value() == b""
    asked = outcome_of(wire.ask(("C",), 1))
    assert line.value() == b"*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*1\r\n$1\r\nC\r\n"
    wire.dataReceived(b"+a\r\n-ERR b\r\n+c\r\n")
    assert asked == [b"c"]
    assert clock.getDelayedCalls() == []


def test_what_is_told_goes_by_itself_when_nobody_asks() -> None:
    clock = Clock()
    wire, line = wired(clock)
    wire.tell(("A",))
    clock.advance(TOLD_WAITS_S)
    assert line.value() == b"*1\r\n$1\r\nA\r\n"
    wire.tell(("B",))
    wire.connectionLost(Failure(ConnectionDone()))
    assert clock.getDelayedCalls() == []


def test_what_is_told_is_bounded() -> None:
    wire, line = wired(Clock())
    for _ in range(TOLD_WAITING_MAX + 5):
        wire.tell(("A",))
    outcome_of(wire.ask(("C",), 1))
    assert line.value().count(b"A") == TOLD_WAITING_MAX


def test_silent_calls_with_an_answer_between_them_are_forgiven() -> None:
    clock = Clock()
    wire, line = wired(clock)
    for _ in range(5):
        outcome_of(wire.ask(("A",), 0.05))
        clock.pump([0.05, 0])
        wire.dataReceived(b"+late\r\n")
        answered = outcome_of(wire.ask(("B",), 0.05))
        wire.dataReceived(b"+B\r\n")
        assert answered == [b"B"]
    assert not line.aborted


def test_who_waits_when_the_connection_is_lost_is_told() -> None:
    wire, _ = wired(Clock())
    outcome, lost = outcome_of(wire.ask(("A",), 1)), outcome_of(wire.lost)
    wire.connectionLost(Failure(ConnectionDone()))
    assert (outcome, lost) == (["LOST"], [None])
    assert outcome_of(wire.ask(("B",), 1)) == ["LOST"]


def test_an_ear_hears_messages_between_replies() -> None:
    clock, heard = Clock(), list[bytes]()
    ear, _ = wired(clock, RedisSubscriptionProtocol(clock, heard.append))
    subscribed = outcome_of(ear.ask(("SUBSCRIBE", "news"), 1))
    ear.dataReceived(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n")
    assert subscribed == [[b"subscribe", b"news", 1]]
    assert heard == [b"hi"]


def test_what_does_not_speak_redis_is_hung_up_on() -> None:
    wire, line = wired(Clock())
    asked = outcome_of(wire.ask(("PING",), 1))
    wire.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert line.aborted
    wire.connectionLost(Failure(ConnectionDone()))
    assert asked == ["LOST"]
    assert wire.ended is not None
    assert wire.ended.kind == "PROTOCOL"


def test_an_error_that_comes_unasked_is_the_reason_of_the_end() -> None:
    wire, line = wired(Clock())
    wire.dataReceived(b"-ERR max number of clients reached\r\n")
    assert line.aborted
    assert wire.ended is not None
    assert wire.ended.detail == "ERR max number of clients reached"


def test_the_error_of_what_was_only_told_is_not_lost() -> None:
    clock, errors = Clock(), list[tuple[str, object]]()
    wire, _ = wired(clock, RedisProtocol(clock, lambda trouble, command: errors.append((trouble.kind, command[0]))))
    wire.tell(("A",))
    clock.advance(TOLD_WAITS_S)
    wire.dataReceived(b"-OOM command not allowed\r\n")
    assert errors == [("OOM", "A")]


def test_a_probe_is_heard_apart_from_messages() -> None:
    clock, heard = Clock(), list[bytes]()
    ear = RedisSubscriptionProtocol(clock, heard.append, b"probe")
    wired(clock, ear)
    probed = outcome_of(ear.probed())
    message = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n$1\r\nx\r\n"
    ear.dataReceived(message % (4, b"news"))
    assert (heard, probed) == ([b"x"], [])
    ear.dataReceived(message % (5, b"probe") * 2)
    assert (heard, probed) == ([b"x"], [None])


def test_what_redis_refused_tells_no_more_than_it_said() -> None:
    assert str(RedisUnavailable("AWAY", "not connected yet")) == "Redis (AWAY): not connected yet"
