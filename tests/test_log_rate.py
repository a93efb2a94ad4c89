"""Rate limit of the log: each kind of line is limited, omitted lines are counted, and no kind hides another."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from scoreboard.json_log import json_log
from scoreboard.log_rate import RateLimitedLog


class RecordedLog:
    """A log with a rate limit that keeps the written events, on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.written: list[dict[str, Any]] = []
        write: Any = self.written.append  # a function can be an observer
        self.limited = RateLimitedLog(write, self.clock.seconds)

    def logger(self, namespace: str = "scoreboard.web") -> Logger:
        return Logger(namespace=namespace, observer=self.limited)


def test_a_kind_of_line_is_written_thirty_times_and_then_once_a_second() -> None:
    log = RecordedLog()
    for _ in range(500):
        log.logger().warn("{name} is odd", name="x")
    assert len(log.written) == 30
    for _ in range(80):
        log.clock.advance(0.125)
        for _ in range(10):
            log.logger().warn("{name} is odd", name="x")
    assert len(log.written) == 40


def test_the_next_line_says_how_many_were_left_out() -> None:
    log = RecordedLog()
    for _ in range(37):
        log.logger().warn("{name} is odd", name="x")
    log.clock.advance(1)
    log.logger().warn("{name} is odd", name="y")
    assert (log.written[-1]["name"], log.written[-1]["left_out"]) == ("y", 7)
    log.clock.advance(1)
    log.logger().warn("{name} is odd", name="z")
    assert "left_out" not in log.written[-1]


def test_no_award_line_is_left_out() -> None:
    log = RecordedLog()
    for number in range(500):
        log.logger("scoreboard.awards").info("Score updated", scoreAwarded=number)
    assert [event["scoreAwarded"] for event in log.written] == list(range(500))


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "critical"])
def test_award_lines_are_shown_at_every_level(level: str) -> None:
    stream = io.StringIO()
    observer = json_log(stream, level)
    for namespace in ("scoreboard.awards", "scoreboard.web"):
        Logger(namespace=namespace, observer=observer).info("Score updated", userId="amy", scoreAwarded=5, newRank=1, duration=12)
    shown = [json.loads(text) for text in stream.getvalue().splitlines() if "scoreboard.awards" in text]
    assert [(one["level"], one["message"], one["fields"]) for one in shown] == [
        ("info", "Score updated", {"userId": "amy", "scoreAwarded": 5, "newRank": 1, "duration": 12})
    ]
    assert ("scoreboard.web" in stream.getvalue()) == (level in ("debug", "info"))


def test_no_kind_hides_another() -> None:
    log = RecordedLog()
    for number in range(100):
        log.logger().failure("a handler failed", Failure(LookupError(number)))
    log.logger().failure("a handler failed", Failure(ZeroDivisionError()))
    log.logger().error("a handler failed")
    log.logger("scoreboard.actors").error("a handler failed")
    assert len(log.written) == 33


def test_all_lines_of_twisted_about_sockets_are_one_kind_with_one_line_a_second() -> None:
    log = RecordedLog()
    port = log.logger("twisted.internet.tcp.Port")
    for _ in range(50):
        port.info("EMFILE encountered; releasing reserved file descriptor.")
        port.info("EMFILE recovery: Closed socket from {address}", address=("192.0.2.1", 1))
        log.clock.advance(0.1)
    assert 5 <= len(log.written) <= 6


def test_the_number_of_kinds_is_bounded() -> None:
    log = RecordedLog()
    for number in range(3_000):
        log.logger().warn(f"a text with a number: {number}")
    assert len(log.limited._kinds) == 1_024


def test_a_line_below_the_level_uses_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("scoreboard.json_log.RateLimitedLog", lambda observer: RateLimitedLog(observer, Clock().seconds))
    log = Logger(namespace="scoreboard", observer=json_log(stream, "warn"))
    for level in [LogLevel.debug] * 100 + [LogLevel.warn] * 100:
        log.emit(level, "{what}", what="it")
    text_lines = [json.loads(text_line) for text_line in stream.getvalue().splitlines()]
    assert [text_line["level"] for text_line in text_lines] == ["warn"] * 30
