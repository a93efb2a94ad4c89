"""Health monitor on a ledger in memory: its probes, the batches of awards, and the conditions of other parts."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from scoreboard.actors.health import (
    AWARDS_FAILING_S,
    FAILURE_KEPT_S,
    POLL_INTERVAL_S,
    PROBE_INTERVAL_S,
    REASONS_MAX,
    HealthMonitor,
)
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.health import Condition
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import FakeMeter
from tests.awaiting import result_of


class CountingLedger(MemoryLedger):
    """A ledger that counts its probes."""

    def __init__(self) -> None:
        super().__init__()
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        await super().ping()


class Harness:
    """A monitor on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.ledger = CountingLedger()
        self.meter = FakeMeter()
        self.health = HealthMonitor(ledger=self.ledger, clock=self.clock, meter=self.meter)

    @property
    def ledger_is(self) -> tuple[bool, bool]:
        """The ledger's condition: (ok, serving)."""
        condition = self.health.conditions()[0]
        assert condition.name == "ledger"
        assert bool(condition.detail) != condition.ok
        return condition.ok, condition.serving


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    result_of(harness.health.start())
    return harness


def test_before_the_first_probe_the_ledger_is_not_ready() -> None:
    harness = Harness()
    assert harness.ledger_is == (False, False)
    harness.ledger.pause()
    result_of(harness.health.start())
    assert harness.health.ledger_serves, (
        "the first actions of a healthy server are not refused while its first probe is under way"
    )
    harness.clock.pump([0.125] * 8)
    assert not harness.health.ledger_serves


def test_ledger_serves_follows_the_ledgers_condition_and_reads_no_other_source(harness: Harness) -> None:
    asked: list[str] = []

    def other() -> list[Condition]:
        asked.append("other")
        return []

    harness.health.add(other)
    assert harness.health.ledger_serves
    harness.health.note_batch(False)
    assert harness.health.ledger_serves, "one batch that failed is a warning"
    harness.clock.advance(AWARDS_FAILING_S)
    asked.clear()
    harness.health.note_batch(False)
    assert not harness.health.ledger_serves
    harness.health.note_batch(True)
    assert harness.health.ledger_serves
    assert asked == []


def test_the_ledger_is_probed_once_a_second_however_often_conditions_are_read(harness: Harness) -> None:
    for _ in range(100):
        harness.clock.advance(PROBE_INTERVAL_S / 10)
        for _ in range(50):
            assert harness.ledger_is == (True, True)
    assert 10 <= harness.ledger.pings <= 11


def test_a_ledger_that_cannot_commit_and_its_return_are_noticed_within_a_second(harness: Harness) -> None:
    harness.ledger.broken = StoreUnavailable("disk is full")
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (False, False)
    assert harness.meter.counts == {"ledger_probes_failed_total": 1}
    harness.ledger.broken = None
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (True, True)


def test_while_it_cannot_commit_the_ledger_is_probed_four_times_a_second(harness: Harness) -> None:
    harness.ledger.broken = StoreUnavailable("disk is full")
    harness.clock.advance(PROBE_INTERVAL_S)
    before = harness.ledger.pings
    harness.clock.pump([0.05] * 40)
    assert 7 <= harness.ledger.pings - before <= 9
    harness.ledger.broken = None
    harness.clock.advance(POLL_INTERVAL_S)
    assert harness.ledger_is == (True, True)


def test_a_commit_shows_at_once_that_the_ledger_commits_again(harness: Harness) -> None:
    harness.ledger.broken = StoreUnavailable("disk is full")
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (False, False)
    harness.health.note_batch(True)
    assert harness.ledger_is == (True, True)


def test_batches_that_failed_before_the_ledger_commits_again_do_not_count_any_more(harness: Harness) -> None:
    harness.ledger.broken = StoreUnavailable("disk is full")
    for _ in range(8):
        harness.health.note_batch(False)
        harness.clock.advance(POLL_INTERVAL_S)
    assert harness.ledger_is == (False, False)
    harness.ledger.broken = None
    harness.clock.advance(POLL_INTERVAL_S)
    assert harness.ledger_is == (True, True)


def test_a_silent_ledger_is_noticed_within_two_seconds(harness: Harness) -> None:
    harness.ledger.pause()
    harness.clock.pump([0.125] * 16)
    assert harness.ledger_is == (False, False)
    harness.ledger.resume()
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (True, True)


def test_while_awards_are_committed_no_probe_is_needed_and_a_waiting_probe_does_not_count(harness: Harness) -> None:
    for _ in range(5):
        harness.health.note_batch(True)
        harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger.pings == 1
    harness.clock.advance(PROBE_INTERVAL_S)  # no award in this second
    harness.ledger.pause()
    harness.clock.advance(PROBE_INTERVAL_S)
    harness.health.note_batch(True)
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (True, True)


def test_one_failed_batch_is_a_warning_and_several_make_the_server_not_ready(harness: Harness) -> None:
    harness.health.note_batch(False)
    assert harness.ledger_is == (False, True)
    harness.clock.advance(AWARDS_FAILING_S)
    harness.health.note_batch(False)
    assert harness.ledger_is == (False, False)
    harness.clock.advance(0.1)
    harness.health.note_batch(True)
    assert harness.ledger_is == (True, True)


def test_without_further_awards_a_failure_is_forgotten_and_the_probe_counts(harness: Harness) -> None:
    harness.health.note_batch(False)
    harness.clock.pump([PROBE_INTERVAL_S] * int(FAILURE_KEPT_S))
    assert harness.ledger_is == (True, True)
    harness.ledger.broken = StoreUnavailable("disk is full")
    harness.clock.advance(PROBE_INTERVAL_S)
    assert harness.ledger_is == (False, False)


def test_conditions_of_other_parts_are_included_and_their_changes_are_logged_once(harness: Harness) -> None:
    redis = [Condition(name="redis", ok=True, serving=True)]
    harness.health.add(lambda: [redis[0]])
    harness.clock.advance(PROBE_INTERVAL_S)
    redis[0] = Condition(name="redis", ok=False, serving=True, detail="Redis cannot be asked")
    assert [one.name for one in harness.health.conditions() if not one.ok] == ["redis"]
    with capturedLogs() as logged:
        harness.clock.pump([PROBE_INTERVAL_S] * 3)
        redis[0] = Condition(name="redis", ok=True, serving=True)
        harness.clock.pump([PROBE_INTERVAL_S] * 3)
    assert [(event["log_level"].name, event["name"]) for event in logged] == [("warn", "redis"), ("info", "redis")]


def test_a_condition_that_is_met_for_the_first_time_after_the_start_is_not_logged_as_met_again(harness: Harness) -> None:
    board = [Condition(name="board", ok=False, serving=True, detail="The board does not follow the ledger")]
    harness.health.add(lambda: [board[0]])
    with capturedLogs() as logged:
        harness.clock.pump([PROBE_INTERVAL_S] * 3)
        for ok in (True, False, True):
            board[0] = Condition(name="board", ok=ok, serving=True, detail="" if ok else "The board does not follow the ledger")
            harness.clock.pump([PROBE_INTERVAL_S] * 3)
    assert [(event["log_level"].name, event["name"]) for event in logged] == [("warn", "board"), ("info", "board")]


def test_a_fault_of_ours_does_not_end_the_probes(harness: Harness) -> None:
    def fail() -> list[Condition]:
        raise LookupError("a mistake of ours")

    harness.health.add(fail)
    with capturedLogs() as logged:
        harness.clock.pump([PROBE_INTERVAL_S] * 3)
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [LookupError] * 3
    assert harness.ledger.pings == 4


def test_a_stopped_monitor_does_not_probe(harness: Harness) -> None:
    result_of(harness.health.stop())
    harness.clock.pump([PROBE_INTERVAL_S] * 3)
    assert harness.ledger.pings == 1
    assert harness.clock.getDelayedCalls() == []


def test_a_ledger_that_cannot_commit_is_an_error(harness: Harness) -> None:
    harness.clock.advance(PROBE_INTERVAL_S)
    with capturedLogs() as events:
        harness.ledger.broken = StoreUnavailable("database or disk is full")
        harness.clock.pump([PROBE_INTERVAL_S] * 3)
    assert {event["log_level"].name for event in events} == {"error"}
    assert "the ledger cannot commit: database or disk is full" in [formatEvent(event) for event in events]


def test_a_ledger_whose_awards_fail_before_the_probe_is_an_error_with_its_reason(harness: Harness) -> None:
    harness.clock.advance(PROBE_INTERVAL_S)
    with capturedLogs() as events:
        harness.health.note_batch(False)
        harness.clock.advance(POLL_INTERVAL_S)
        harness.ledger.broken = StoreUnavailable("the password is wrong")
        harness.clock.pump([POLL_INTERVAL_S] * 8)
    assert [(event["log_level"].name, formatEvent(event)) for event in events] == [
        ("warn", "ledger is not well: The ledger did not keep the last awards"),
        ("error", "the ledger cannot commit: the password is wrong"),
        ("error", "ledger is not well: The ledger cannot commit"),
    ]


def test_a_reason_names_the_setting_as_the_operator_wrote_it() -> None:
    ledger = MemoryLedger()
    ledger.broken = StoreUnavailable("DB_PASSWORD: the password is wrong")

    def in_file(text: str) -> str:
        return text.replace("DB_PASSWORD", "DB_PASSWORD_FILE")

    health = HealthMonitor(ledger=ledger, clock=Clock(), meter=FakeMeter(), in_operators_words=in_file)
    with capturedLogs() as events:
        result_of(health.start())
    assert formatEvent(events[0]) == "the ledger cannot commit: DB_PASSWORD_FILE: the password is wrong"


def test_each_reason_of_an_outage_is_logged_once_and_their_number_has_a_limit(harness: Harness) -> None:
    harness.clock.advance(PROBE_INTERVAL_S)
    reasons = ["the administrator ended it", "the password is wrong", *[f"reason {number}" for number in range(2 * REASONS_MAX)]]
    with capturedLogs() as events:
        for reason in [*reasons[:2] * 3, *reasons]:
            harness.ledger.broken = StoreUnavailable(reason)
            harness.clock.advance(PROBE_INTERVAL_S)
    logged = [event["trouble"] for event in events if "cannot commit: " in event["log_format"]]
    assert logged == reasons[:REASONS_MAX]


def test_a_second_outage_of_the_ledger_is_logged_with_its_reason_although_awards_showed_the_return(harness: Harness) -> None:
    harness.clock.advance(PROBE_INTERVAL_S)
    with capturedLogs() as events:
        for trouble in ("disk is full", "the password is wrong"):
            harness.ledger.broken = StoreUnavailable(trouble)
            harness.clock.pump([POLL_INTERVAL_S] * 8)
            harness.ledger.broken = None
            for _ in range(8):
                harness.health.note_batch(True)
                harness.clock.advance(POLL_INTERVAL_S)
    reasons = [formatEvent(event) for event in events if "cannot commit: " in event["log_format"]]
    assert reasons == ["the ledger cannot commit: disk is full", "the ledger cannot commit: the password is wrong"]
