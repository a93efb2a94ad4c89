"""The health monitor over the ledger's twin: one probe a second, what awards show, and what other parts say of themselves."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors.health import AWARDS_FAILING_S, FAILURE_KEPT_S, POLL_INTERVAL_S, PROBE_INTERVAL_S, HealthMonitor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.health import Condition
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import QuietMeter
from tests.awaiting import result_of


class CountingLedger(MemoryLedger):
    """Counts its probes."""

    def __init__(self) -> None:
        super().__init__()
        self.pings = 0

    async def ping(self) -> None:
        self.pings += 1
        await super().ping()


class Patient:
    """A monitor on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.ledger = CountingLedger()
        self.meter = QuietMeter()
        self.health = HealthMonitor(ledger=self.ledger, clock=self.clock, meter=self.meter)

    @property
    def ledger_is(self) -> tuple[bool, bool]:
        """(ok, serving)."""
        condition = self.health.conditions()[0]
        assert condition.name == "ledger"
        assert bool(condition.detail) != condition.ok
        return condition.ok, condition.serving


@pytest.fixture
def patient() -> Patient:
    patient = Patient()
    result_of(patient.health.start())
    return patient


def test_before_the_first_probe_nothing_is_known_to_be_well() -> None:
    patient = Patient()
    assert patient.ledger_is == (False, False)
    patient.ledger.pause()
    result_of(patient.health.start())
    assert patient.health.ledger_serves, (
        "the first actions of a healthy server are not refused while its first probe is under way"
    )
    patient.clock.pump([0.125] * 8)
    assert not patient.health.ledger_serves


def test_whether_the_ledger_serves_follows_its_condition_and_asks_no_other_source(patient: Patient) -> None:
    asked: list[str] = []

    def other() -> list[Condition]:
        asked.append("other")
        return []

    patient.health.add(other)
    assert patient.health.ledger_serves
    patient.health.note_batch(False)
    assert patient.health.ledger_serves, "one batch that failed is a warning"
    patient.clock.advance(AWARDS_FAILING_S)
    asked.clear()
    patient.health.note_batch(False)
    assert not patient.health.ledger_serves
    patient.health.note_batch(True)
    assert patient.health.ledger_serves
    assert asked == []


def test_the_ledger_is_probed_once_a_second_however_often_we_are_asked(patient: Patient) -> None:
    for _ in range(100):
        patient.clock.advance(PROBE_INTERVAL_S / 10)
        for _ in range(50):
            assert patient.ledger_is == (True, True)
    assert 10 <= patient.ledger.pings <= 11


def test_a_ledger_that_cannot_commit_is_known_within_a_second_and_so_is_its_return(patient: Patient) -> None:
    patient.ledger.broken = StoreUnavailable("disk is full")
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (False, False)
    assert patient.meter.counts == {"ledger_probes_failed_total": 1}
    patient.ledger.broken = None
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (True, True)


def test_while_it_cannot_commit_the_ledger_is_probed_four_times_a_second(patient: Patient) -> None:
    patient.ledger.broken = StoreUnavailable("disk is full")
    patient.clock.advance(PROBE_INTERVAL_S)
    before = patient.ledger.pings
    patient.clock.pump([0.05] * 40)
    assert 7 <= patient.ledger.pings - before <= 9
    patient.ledger.broken = None
    patient.clock.advance(POLL_INTERVAL_S)
    assert patient.ledger_is == (True, True)


def test_a_commit_says_at_once_that_the_ledger_commits_again(patient: Patient) -> None:
    patient.ledger.broken = StoreUnavailable("disk is full")
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (False, False)
    patient.health.note_batch(True)
    assert patient.ledger_is == (True, True)


def test_batches_that_failed_before_the_ledger_commits_again_take_no_server_out_any_more(patient: Patient) -> None:
    patient.ledger.broken = StoreUnavailable("disk is full")
    for _ in range(8):
        patient.health.note_batch(False)
        patient.clock.advance(POLL_INTERVAL_S)
    assert patient.ledger_is == (False, False)
    patient.ledger.broken = None
    patient.clock.advance(POLL_INTERVAL_S)
    assert patient.ledger_is == (True, True)


def test_a_silent_ledger_is_known_within_two_seconds(patient: Patient) -> None:
    patient.ledger.pause()
    patient.clock.pump([0.125] * 16)
    assert patient.ledger_is == (False, False)
    patient.ledger.resume()
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (True, True)


def test_while_awards_are_committed_no_probe_is_needed_and_a_probe_that_waits_for_them_proves_nothing(patient: Patient) -> None:
    for _ in range(5):
        patient.health.note_batch(True)
        patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger.pings == 1
    patient.clock.advance(PROBE_INTERVAL_S)  # no award in this one
    patient.ledger.pause()
    patient.clock.advance(PROBE_INTERVAL_S)
    patient.health.note_batch(True)
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (True, True)


def test_a_batch_that_fails_is_a_warning_and_several_take_the_server_out(patient: Patient) -> None:
    patient.health.note_batch(False)
    assert patient.ledger_is == (False, True)
    patient.clock.advance(AWARDS_FAILING_S)
    patient.health.note_batch(False)
    assert patient.ledger_is == (False, False)
    patient.clock.advance(0.1)
    patient.health.note_batch(True)
    assert patient.ledger_is == (True, True)


def test_without_further_awards_a_failure_is_forgotten_and_the_probe_counts(patient: Patient) -> None:
    patient.health.note_batch(False)
    patient.clock.pump([PROBE_INTERVAL_S] * int(FAILURE_KEPT_S))
    assert patient.ledger_is == (True, True)
    patient.ledger.broken = StoreUnavailable("disk is full")
    patient.clock.advance(PROBE_INTERVAL_S)
    assert patient.ledger_is == (False, False)


def test_other_parts_say_how_they_fare_and_changes_are_logged_once(patient: Patient) -> None:
    redis = [Condition(name="redis", ok=True, serving=True)]
    patient.health.add(lambda: [redis[0]])
    patient.clock.advance(PROBE_INTERVAL_S)
    redis[0] = Condition(name="redis", ok=False, serving=True, detail="Redis cannot be asked")
    assert [one.name for one in patient.health.conditions() if not one.ok] == ["redis"]
    with capturedLogs() as logged:
        patient.clock.pump([PROBE_INTERVAL_S] * 3)
        redis[0] = Condition(name="redis", ok=True, serving=True)
        patient.clock.pump([PROBE_INTERVAL_S] * 3)
    assert [(event["log_level"].name, event["name"]) for event in logged] == [("warn", "redis"), ("info", "redis")]


def test_a_fault_of_ours_does_not_end_the_probes(patient: Patient) -> None:
    def stumble() -> list[Condition]:
        raise LookupError("a mistake of ours")

    patient.health.add(stumble)
    with capturedLogs() as logged:
        patient.clock.pump([PROBE_INTERVAL_S] * 3)
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [LookupError] * 3
    assert patient.ledger.pings == 4


def test_a_monitor_that_was_stopped_probes_no_more(patient: Patient) -> None:
    result_of(patient.health.stop())
    patient.clock.pump([PROBE_INTERVAL_S] * 3)
    assert patient.ledger.pings == 1
    assert patient.clock.getDelayedCalls() == []
