"""The log's rate: a kind of line that strangers cause is bounded, what is left out is counted, and other kinds are not hidden."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from scoreboard.json_log import json_log
from scoreboard.log_rate import RateLimitedLog


class Book:
    """A log that keeps what is written, on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.written: list[dict[str, Any]] = []
        write: Any = self.written.append  # a function will do for an observer
        self.limited = RateLimitedLog(write, self.clock.seconds)

    def logger(self, namespace: str = "scoreboard.web") -> Logger:
        return Logger(namespace=namespace, observer=self.limited)


def test_a_kind_of_line_comes_thirty_times_and_then_once_a_second() -> None:
    book = Book()
    for _ in range(500):
        book.logger().warn("{name} is odd", name="x")
    assert len(book.written) == 30
    for _ in range(80):
        book.clock.advance(0.125)
        for _ in range(10):
            book.logger().warn("{name} is odd", name="x")
    assert len(book.written) == 40


def test_the_next_line_says_how_many_were_left_out() -> None:
    book = Book()
    for _ in range(37):
        book.logger().warn("{name} is odd", name="x")
    book.clock.advance(1)
    book.logger().warn("{name} is odd", name="y")
    assert (book.written[-1]["name"], book.written[-1]["left_out"]) == ("y", 7)
    book.clock.advance(1)
    book.logger().warn("{name} is odd", name="z")
    assert "left_out" not in book.written[-1]


def test_one_kind_hides_no_other() -> None:
    book = Book()
    for number in range(100):
        book.logger().failure("a handler failed", Failure(LookupError(number)))
    book.logger().failure("a handler failed", Failure(ZeroDivisionError()))
    book.logger().error("a handler failed")
    book.logger("scoreboard.actors").error("a handler failed")
    assert len(book.written) == 33


def test_what_twisted_says_of_sockets_is_one_line_a_second_together() -> None:
    book = Book()
    port = book.logger("twisted.internet.tcp.Port")
    for _ in range(50):
        port.info("EMFILE encountered; releasing reserved file descriptor.")
        port.info("EMFILE recovery: Closed socket from {address}", address=("192.0.2.1", 1))
        book.clock.advance(0.1)
    assert 5 <= len(book.written) <= 6


def test_kinds_are_bounded() -> None:
    book = Book()
    for number in range(3_000):
        book.logger().warn(f"a text that somebody built: {number}")
    assert len(book.limited._kinds) == 1_024


def test_what_is_not_grave_enough_uses_up_nothing() -> None:
    stream = io.StringIO()
    log = Logger(namespace="scoreboard", observer=json_log(stream, "warn"))
    for level in [LogLevel.debug] * 100 + [LogLevel.warn] * 100:
        log.emit(level, "{what}", what="it")
    text_lines = [json.loads(text_line) for text_line in stream.getvalue().splitlines()]
    assert [text_line["level"] for text_line in text_lines] == ["warn"] * 30
