"""Lines of the log that operators asked for: each award, each reset, and awards that a full disk prevented."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from scoreboard.actors.award_log import AwardLog
from scoreboard.actors.reset_watch import RETRY_MS, SEARCHED_MS, ResetWatch
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.errors import StoreFull, StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.json_log import json_line
from tests.actors.fakes import NOW, FakeMeter
from tests.actors.test_writing import Harness
from tests.awaiting import result_of

AT = Cursor(epoch=7, seq=1)


@pytest.mark.parametrize("level", [LogLevel.debug, LogLevel.info], ids=lambda level: level.name)
def test_each_award_is_logged_as_the_specification_says(level: Any) -> None:
    harness = Harness()
    harness.scorekeeper._award_log = AwardLog(level)
    result_of(harness.projector.start())
    harness.ledger.pause()
    with capturedLogs() as events:
        harness.submit("amy", 1)
        harness.clock.advance(0.5)
        submitted = [harness.submit("amy", 1), harness.submit("bob", 2)]
        harness.clock.advance(0.25)
        harness.ledger.resume()
        for one in submitted:
            assert one.called
    shown = [json.loads(json_line(event)) for event in events]
    assert [(one["level"], one["namespace"], one["message"]) for one in shown] == [
        (level.name, "scoreboard.awards", "Score updated")
    ] * 2
    assert [one["fields"] for one in shown] == [
        {"userId": "amy", "scoreAwarded": 100, "newRank": 1, "duration": 750},
        {"userId": "bob", "scoreAwarded": 100, "newRank": 2, "duration": 250},
    ], "a refusal is no award"


def test_an_award_that_the_board_does_not_show_yet_has_no_rank() -> None:
    harness = Harness()
    harness.scorekeeper._award_log = AwardLog(LogLevel.info)
    with capturedLogs() as events:
        assert harness.submit("amy", 1).called
    assert [event["newRank"] for event in events if event["log_format"] == "Score updated"] == [None]


def test_without_an_award_log_an_award_writes_no_line() -> None:
    harness = Harness()
    result_of(harness.projector.start())
    with capturedLogs() as events:
        assert harness.submit("amy", 1).called
    assert events == []


@pytest.mark.parametrize(("trouble", "level"), [(StoreFull("disk is full"), "error"), (StoreUnavailable("away"), "warn")])
def test_awards_that_a_full_disk_prevented_are_an_error(trouble: StoreUnavailable, level: str) -> None:
    harness = Harness()
    result_of(harness.projector.start())
    harness.ledger.broken = trouble
    with capturedLogs() as events:
        assert harness.submit("amy", 1).called
    assert [event["log_level"].name for event in events if "did not take" in event["log_format"]] == [level]


class Resets:
    """A reset watch on the ledger of some awards, and what it logs."""

    def __init__(self) -> None:
        self.harness = Harness()
        result_of(self.harness.projector.start())
        for number, user in enumerate(("amy", "bob", "eve")):
            assert self.harness.submit(user, number).called
        self.now_ms = NOW + 1000
        self.watch = ResetWatch(ledger=self.harness.ledger, now_ms=lambda: self.now_ms, meter=FakeMeter())
        self.ids = itertools.count()

    def reset(self, *users: str) -> None:
        self.now_ms += 1
        order = ResetOrder(
            reset_id=f"r-{next(self.ids)}", user_ids=users or None, operator="root", reason="a new season", at_ms=self.now_ms
        )
        result_of(self.harness.ledger.reset(order))

    def said(self, cursor: Cursor, *users: str) -> list[str]:
        gone = [
            ScoreChanged(cursor=cursor, user_id=user, username=user, points=0, rank=None, previous_rank=1, at_ms=NOW)
            for user in users
        ]
        with capturedLogs() as events:
            self.watch.note(cursor, gone)
        assert {event["log_level"].name for event in events} <= {"info"}
        return [formatEvent(event) for event in events]


def test_a_reset_of_players_is_logged_once_with_its_operator_and_reason() -> None:
    resets = Resets()
    assert resets.said(AT) == []
    resets.reset("amy")
    assert resets.said(AT, "amy") == ["root reset players to 0 points (1): a new season"]
    assert resets.said(AT, "amy") == []
    resets.reset("bob", "eve")
    assert resets.said(AT, "bob", "eve") == ["root reset players to 0 points (2): a new season"]


def test_a_reset_of_the_whole_board_is_seen_by_its_new_epoch() -> None:
    resets = Resets()
    assert resets.said(AT) == []
    resets.reset()
    assert resets.said(Cursor(epoch=8, seq=0)) == ["root reset players to 0 points (3): a new season"]
    assert resets.said(Cursor(epoch=9, seq=0)) == [], "a rebuild is no reset"


def test_an_old_reset_is_not_logged_and_a_silent_ledger_does_no_harm() -> None:
    resets = Resets()
    resets.reset("amy")
    assert resets.said(AT) == [], "it is older than the watch"
    resets.harness.ledger.broken = StoreUnavailable("away")
    with capturedLogs() as events:
        resets.watch.note(Cursor(epoch=8, seq=0), ())
    assert [event["log_level"].name for event in events] == ["debug"]
    resets.harness.ledger.broken = None
    resets.reset("bob")
    assert resets.said(Cursor(epoch=8, seq=0)) == [], "it pauses"
    resets.now_ms += RETRY_MS
    assert resets.said(Cursor(epoch=8, seq=0)) == ["root reset players to 0 points (1): a new season"]


def test_a_reset_older_than_ten_minutes_is_not_searched() -> None:
    resets = Resets()
    assert resets.said(AT) == []
    resets.reset("amy")
    resets.now_ms += SEARCHED_MS + 1
    assert resets.said(AT, "amy") == []


def test_two_resets_before_a_read_are_two_lines_in_their_order() -> None:
    resets = Resets()
    assert resets.said(AT) == []
    resets.reset("amy")
    resets.reset("bob", "eve")
    assert resets.said(AT, "amy") == [
        "root reset players to 0 points (1): a new season",
        "root reset players to 0 points (2): a new season",
    ]
    assert resets.said(AT, "bob", "eve") == []


def test_a_reset_that_is_noted_during_a_read_is_logged_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    resets = Resets()
    assert resets.said(AT) == []
    resets.reset("amy")
    counting: Deferred[int] = Deferred()
    with monkeypatch.context() as patch:
        patch.setattr(resets.harness.ledger, "count_entries", lambda _: counting)
        assert resets.said(AT, "amy") == [], "the ledger has not answered yet"
        resets.reset("bob")
        assert resets.said(AT, "bob") == []
    with capturedLogs() as events:
        counting.callback(1)
    assert [formatEvent(event) for event in events] == ["root reset players to 0 points (1): a new season"]
    assert resets.said(AT) == ["root reset players to 0 points (1): a new season"]
