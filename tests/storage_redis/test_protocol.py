from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from scoreboard.storage.redis.protocol import (
    UNAWAITED_MAX,
    UNAWAITED_WAIT_S,
    RedisProtocol,
    RedisSubscriptionProtocol,
    RedisUnavailable,
)


class AbortableTransport(StringTransport):
    """A transport that records whether it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def connected(clock: Clock, protocol: RedisProtocol | None = None) -> tuple[RedisProtocol, AbortableTransport]:
    protocol, transport = protocol or RedisProtocol(clock), AbortableTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def outcome_of(answer: Deferred[Any]) -> list[Any]:
    result: list[Any] = []
    answer.addCallbacks(result.append, lambda failure: result.append(failure.value.kind))
    return result


def test_replies_come_in_the_order_of_the_commands_as_bytes_and_integers() -> None:
    protocol, transport = connected(Clock())
    first, second = outcome_of(protocol.ask(("GET", "ключ", b"\xff"), 1)), outcome_of(protocol.ask(("ZCARD", 7), 1))
    assert transport.value() == "*3\r\n$3\r\nGET\r\n$8\r\nключ\r\n$1\r\n".encode() + b"\xff\r\n*2\r\n$5\r\nZCARD\r\n$1\r\n7\r\n"
    protocol.dataReceived(b"*4\r\n$2\r\n12\r\n:34\r\n$-1\r\n*1\r\n")
    assert first == []
    protocol.dataReceived(b":1\r\n:5\r\n")
    assert (first, second) == ([[b"12", 34, None, [1]]], [5])


def test_commands_that_are_asked_together_leave_in_one_write() -> None:
    protocol, transport = connected(Clock())
    writes: list[bytes] = []
    transport.write = writes.append  # type: ignore[method-assign]
    with protocol.together():
        answers = [outcome_of(protocol.ask(("GET", key), 1)) for key in ("a", "b")]
        assert writes == []
    assert writes == [b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"]
    protocol.dataReceived(b":1\r\n:2\r\n")
    assert answers == [[1], [2]]
    with protocol.together():
        pass
    protocol.ask(("PING",), 1)
    assert len(writes) == 2, "afterwards each command leaves at once, and nothing without a command"


def test_commands_that_were_asked_together_are_sent_also_if_the_caller_fails() -> None:
    protocol, transport = connected(Clock())
    with suppress(KeyError), protocol.together():
        protocol.ask(("PING",), 1)
        raise KeyError
    assert transport.value() == b"*1\r\n$4\r\nPING\r\n"


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
def test_an_error_reply_gets_its_kind(said: str, kind: str) -> None:
    protocol, _ = connected(Clock())
    result = outcome_of(protocol.ask(("PING",), 1))
    protocol.dataReceived(f"-{said}\r\n".encode())
    assert result == [kind]


def test_a_call_waits_no_longer_than_its_deadline_and_its_late_reply_is_dropped() -> None:
    clock = Clock()
    protocol, transport = connected(clock)
    late, patient = outcome_of(protocol.ask(("A",), 0.05)), outcome_of(protocol.ask(("B",), 1.0))
    clock.pump([0.05, 0])
    assert (late, patient, transport.aborted) == (["SILENT"], [], False)
    protocol.dataReceived(b"+late\r\n+B\r\n")
    assert (late, patient) == (["SILENT"], [b"B"])
    assert clock.getDelayedCalls() == []


def test_after_three_silent_calls_the_connection_is_aborted_and_calls_fail_at_once() -> None:
    clock = Clock()
    protocol, transport = connected(clock)
    for _ in range(2):
        outcome_of(protocol.ask(("A",), 0.05))
        clock.pump([0.05, 0])
    assert not transport.aborted
    waiting = outcome_of(protocol.ask(("B",), 10))
    outcome_of(protocol.ask(("A",), 0.05))
    clock.pump([0.05, 0])
    assert transport.aborted
    assert outcome_of(protocol.ask(("C",), 1)) == ["LOST"]
    protocol.connectionLost(Failure(ConnectionDone()))
    assert waiting == ["LOST"]
    assert clock.getDelayedCalls() == []


def test_a_command_that_cannot_be_encoded_raises_and_later_replies_answer_their_own_commands() -> None:
    protocol, _ = connected(Clock())
    first = outcome_of(protocol.ask(("A",), 1))
    for send in (lambda: protocol.ask(("GET", "\ud800"), 1), lambda: protocol.tell(("GET", "\ud800"))):
        with pytest.raises(UnicodeEncodeError):
            send()
    second = outcome_of(protocol.ask(("B",), 1))
    protocol.dataReceived(b"+a\r\n+b\r\n")
    assert (first, second) == ([b"a"], [b"b"])


def test_an_unawaited_command_is_sent_with_the_next_call_and_its_reply_is_dropped() -> None:
    clock = Clock()
    protocol, transport = connected(clock)
    protocol.tell(("A",))
    protocol.tell(("B",))
    assert transport.value() == b""
    asked = outcome_of(protocol.ask(("C",), 1))
    assert transport.value() == b"*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*1\r\n$1\r\nC\r\n"
    protocol.dataReceived(b"+a\r\n-ERR b\r\n+c\r\n")
    assert asked == [b"c"]
    assert clock.getDelayedCalls() == []


def test_an_unawaited_command_is_sent_alone_when_no_call_follows() -> None:
    clock = Clock()
    protocol, transport = connected(clock)
    protocol.tell(("A",))
    clock.advance(UNAWAITED_WAIT_S)
    assert transport.value() == b"*1\r\n$1\r\nA\r\n"
    protocol.tell(("B",))
    protocol.connectionLost(Failure(ConnectionDone()))
    assert clock.getDelayedCalls() == []


def test_the_number_of_unawaited_commands_is_bounded() -> None:
    protocol, transport = connected(Clock())
    for _ in range(UNAWAITED_MAX + 5):
        protocol.tell(("A",))
    outcome_of(protocol.ask(("C",), 1))
    assert transport.value().count(b"A") == UNAWAITED_MAX


def test_silent_calls_with_an_answer_between_them_do_not_abort_the_connection() -> None:
    clock = Clock()
    protocol, transport = connected(clock)
    for _ in range(5):
        outcome_of(protocol.ask(("A",), 0.05))
        clock.pump([0.05, 0])
        protocol.dataReceived(b"+late\r\n")
        answered = outcome_of(protocol.ask(("B",), 0.05))
        protocol.dataReceived(b"+B\r\n")
        assert answered == [b"B"]
    assert not transport.aborted


def test_every_waiting_call_fails_when_the_connection_is_lost() -> None:
    protocol, _ = connected(Clock())
    result, lost = outcome_of(protocol.ask(("A",), 1)), outcome_of(protocol.lost)
    protocol.connectionLost(Failure(ConnectionDone()))
    assert (result, lost) == (["LOST"], [None])
    assert outcome_of(protocol.ask(("B",), 1)) == ["LOST"]


def test_a_subscribed_connection_gets_messages_between_replies() -> None:
    clock, received = Clock(), list[bytes]()
    protocol, _ = connected(clock, RedisSubscriptionProtocol(clock, received.append))
    subscribed = outcome_of(protocol.ask(("SUBSCRIBE", "news"), 1))
    protocol.dataReceived(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n")
    assert subscribed == [[b"subscribe", b"news", 1]]
    assert received == [b"hi"]


def test_a_peer_that_does_not_speak_redis_is_disconnected() -> None:
    protocol, transport = connected(Clock())
    asked = outcome_of(protocol.ask(("PING",), 1))
    protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert transport.aborted
    protocol.connectionLost(Failure(ConnectionDone()))
    assert asked == ["LOST"]
    assert protocol.ended is not None
    assert protocol.ended.kind == "PROTOCOL"


def test_an_error_without_a_command_is_the_reason_of_the_end() -> None:
    protocol, transport = connected(Clock())
    protocol.dataReceived(b"-ERR max number of clients reached\r\n")
    assert transport.aborted
    assert protocol.ended is not None
    assert protocol.ended.detail == "max number of clients reached"


def test_the_error_of_an_unawaited_command_is_reported() -> None:
    clock, errors = Clock(), list[tuple[str, object]]()
    protocol, _ = connected(clock, RedisProtocol(clock, lambda trouble, command: errors.append((trouble.kind, command[0]))))
    protocol.tell(("A",))
    clock.advance(UNAWAITED_WAIT_S)
    protocol.dataReceived(b"-OOM command not allowed\r\n")
    assert errors == [("OOM", "A")]


def test_a_probe_is_not_delivered_as_a_message() -> None:
    clock, received = Clock(), list[bytes]()
    protocol = RedisSubscriptionProtocol(clock, received.append, b"probe")
    connected(clock, protocol)
    probed = outcome_of(protocol.probed())
    message = b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n$1\r\nx\r\n"
    protocol.dataReceived(message % (4, b"news"))
    assert (received, probed) == ([b"x"], [])
    protocol.dataReceived(message % (5, b"probe") * 2)
    assert (received, probed) == ([b"x"], [None])


def test_the_text_of_an_error_has_its_kind_and_detail() -> None:
    assert str(RedisUnavailable("AWAY", "not connected yet")) == "Redis (AWAY): not connected yet"
