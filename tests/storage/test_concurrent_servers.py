"""Tests of several servers on one database: each thread has a store of its own, as each process has."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest

from scoreboard.domain.actions import PlacedReceipt
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.entries import EntryFilter, ResetOrder, ResetResult
from scoreboard.domain.judgement import Award
from scoreboard.domain.rules import ActionRule
from scoreboard.storage.sql.sqlite import writer as sqlite
from scoreboard.storage.sql.stores import SqlStore
from tests.storage.claims import NOW, award_in, award_with_retries, claim, placed, receipt_in
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store

THREADS = 8
#: SQLite and Python read the same clock and round its time differently.
CLOCKS_APART_MS_MAX = 50
ROUNDS = 50


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sqlite, "BUSY_MS_MAX", 30_000)  # SQLite gives its lock in no order, and eight writers want it
    dialect: Dialect = request.param
    return fresh_url(dialect, tmp_path)


def run_concurrently(url: str, work: Callable[[int, SqlStore], None], threads: int = THREADS) -> None:
    """Run the work in threads that begin at the same moment. The first error is raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(threads)

    def one(number: int) -> None:
        store = open_store(url)
        try:
            barrier.wait(10)
            work(number, store)
        except BaseException as error:  # it is raised below
            errors.append(error)
        finally:
            store.writes.close()
            store.audits.close()
            store.order.close()

    running = [threading.Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    if errors:
        raise errors[0]


def test_no_concurrent_award_is_lost_and_an_action_is_awarded_once(url: str) -> None:
    awarded: list[Award] = []
    shared = [str(uuid.uuid4()) for _ in range(ROUNDS)]

    def work(number: int, store: SqlStore) -> None:
        for round_ in range(ROUNDS):
            mine = claim("amy", 1 + number, at_ms=NOW + round_)
            everyones = claim("amy", 1_000, action=shared[round_], at_ms=NOW + round_)
            mine_verdict, shared_verdict = award_with_retries(store.writes, [mine, everyones], [])
            awarded.append(award_in(mine_verdict))
            if isinstance(shared_verdict, Award):
                awarded.append(shared_verdict)
            else:
                assert receipt_in(shared_verdict).points == 1_000

    run_concurrently(url, work)
    reads = open_store(url).audits
    amy = reads.account(GLOBAL_BOARD, "amy")
    assert amy is not None
    assert amy.points == ROUNDS * (1_000 + sum(range(1, THREADS + 1)))
    assert amy.version == len(awarded) == reads.count_entries(EntryFilter()) == ROUNDS * (THREADS + 1)
    entries = sorted(reads.entries(EntryFilter(), None, 1_000, False), key=lambda entry: entry.score_after)
    assert [entry.score_before for entry in entries] == [0, *(entry.score_after for entry in entries[:-1])]
    assert reads.verify("", 10) == (None, [])
    reads.close()


def test_batches_with_players_in_any_order_cause_no_deadlock(url: str) -> None:
    def work(number: int, store: SqlStore) -> None:
        receipts: list[PlacedReceipt] = []
        for round_ in range(20):
            users = [f"user-{(number * 7 + round_ * 3 + step) % 12}" for step in range(10)]
            verdicts = award_with_retries(store.writes, [claim(user, 1) for user in users], receipts)
            receipts = [placed(award_in(verdict), number + 1) for verdict in verdicts]

    run_concurrently(url, work)
    store = open_store(url)
    reads = store.audits
    assert sum(one.points for one in store.order.accounts(GLOBAL_BOARD, "", 100)) == THREADS * 20 * 10
    store.order.close()
    assert reads.verify("", 100) == (None, [])
    reads.close()


def test_totals_add_up_with_concurrent_resets(url: str) -> None:
    def work(number: int, store: SqlStore) -> None:
        for round_ in range(20):
            if number == 0:
                order = ResetOrder(reset_id=str(round_), user_ids=None, operator="root", reason="", at_ms=NOW)
                store.writes.reset(order)
            else:
                award_with_retries(store.writes, [claim("amy", 5), claim(f"user-{number}", 1)], [])

    run_concurrently(url, work, 4)
    reads = open_store(url).audits
    amy = reads.account(GLOBAL_BOARD, "amy")
    assert amy is not None
    assert amy.points <= 20 * 3 * 5
    assert reads.verify("", 100) == (None, [])
    reads.close()


def test_a_daily_maximum_holds_across_servers(url: str) -> None:
    rule = ActionRule(action_type="DAILY_LOGIN", points=10, daily_max=7)

    def work(_number: int, store: SqlStore) -> None:
        for _ in range(5):
            award_with_retries(store.writes, [claim("amy", 10, rule=rule)], [])

    run_concurrently(url, work, 4)
    reads = open_store(url).audits
    assert reads.count_entries(EntryFilter(action_type="DAILY_LOGIN")) == 7
    reads.close()


def test_concurrent_servers_unlock_each_milestone_once(url: str) -> None:
    marks = tuple(range(50, 2_001, 50))
    unlocked: list[tuple[str, int]] = []

    def work(number: int, store: SqlStore) -> None:
        for round_ in range(20):
            users = [f"user-{(number + step) % 5}" for step in range(5)]
            batch = [claim(user, 10, milestones=marks, at_ms=NOW + round_) for user in users]
            for verdict in award_with_retries(store.writes, batch, []):
                unlocked.extend((award_in(verdict).user_id, mark) for mark in award_in(verdict).unlocked)

    run_concurrently(url, work)
    # Each of five players got ten points from each of the eight servers in each of twenty rounds.
    assert sorted(unlocked) == sorted((f"user-{user}", mark) for user in range(5) for mark in marks if mark <= 1_600)


def test_epochs_that_begin_concurrently_are_different(url: str) -> None:
    epochs: list[int] = []
    begun = time.time_ns() // 1_000_000 - CLOCKS_APART_MS_MAX
    run_concurrently(
        url, lambda number, store: epochs.extend(store.writes.next_epoch(GLOBAL_BOARD, f"run-{number}") for _ in range(10)), 4
    )
    assert len(set(epochs)) == len(epochs) == 40
    assert begun <= min(epochs) <= max(epochs) <= time.time_ns() // 1_000_000 + CLOCKS_APART_MS_MAX + 40
    state = open_store(url).order.state(GLOBAL_BOARD)
    assert state.epoch == max(epochs)


def test_a_reset_does_not_wait_for_locked_rows(tmp_path: Path) -> None:
    """On PostgreSQL; SQLite has one writer at a time."""
    url = fresh_url("postgresql", tmp_path)
    store = open_store(url)
    award_with_retries(store.writes, [claim("amy", 5), claim("bob", 5), claim("cat", 5)], [])
    everyone = ResetOrder(reset_id="r", user_ids=None, operator="root", reason="", at_ms=NOW)
    with psycopg.connect(url) as holder:  # the resets return while the row is still locked
        holder.execute("SELECT 1 FROM user_scores WHERE user_id = 'bob' FOR UPDATE")
        done = store.writes.reset(everyone)
        assert ([one.user_id for one in done.standings], done.held) == (["amy", "cat"], ("bob",))
        named = msgspec.structs.replace(everyone, user_ids=("amy", "bob"))
        assert store.writes.reset(named) == ResetResult(standings=[], held=("bob",))
    award_with_retries(store.writes, [claim("amy", 7)], [])
    assert [one.user_id for one in store.writes.reset(msgspec.structs.replace(named, user_ids=done.held)).standings] == ["bob"]
    amy, bob = store.reads.account(GLOBAL_BOARD, "amy"), store.reads.account(GLOBAL_BOARD, "bob")
    assert amy is not None
    assert bob is not None
    assert (amy.points, bob.points) == (7, 0), "a player who was reset already keeps the points of later awards"
    store.writes.close()
    store.reads.close()
