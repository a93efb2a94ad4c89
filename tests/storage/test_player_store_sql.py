"""Tests of the player store in SQL: several servers, a locked database and errors of the driver. It never delays an award."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerSettings, SuspensionOrder
from scoreboard.storage.sql.stores import PlayerSessions
from tests.awaiting import run
from tests.storage.claims import NOW, award_in, claim
from tests.storage.harnesses import opened, opened_player_store, refused_within
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_player_sessions, run_sql

WRITERS = 4
ROUNDS = 8
PRIVATE = PlayerSettings(spectators=False)


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    dialect: Dialect = request.param
    return fresh_url(dialect, tmp_path)


def order(user_id: str, suspended: bool, number: int) -> SuspensionOrder:
    return SuspensionOrder(
        suspension_id=f"{user_id}-{number}", user_id=user_id, suspended=suspended, operator="root", reason="r", at_ms=NOW
    )


def retry_while_busy(change: Callable[[], object]) -> None:
    """Make the change. SQLite may refuse it while others write into the file; then try again, up to ten times."""
    for _ in range(10):
        with contextlib.suppress(StoreUnavailable):
            change()
            return
    raise AssertionError("SQLite refused the change ten times")


def test_a_follower_misses_no_change_of_four_concurrent_writers(url: str) -> None:
    done = threading.Event()
    errors: list[BaseException] = []
    seen: list[tuple[int, str, bool | None]] = []

    def write(number: int) -> None:
        store = open_player_sessions(url)
        try:
            for round_ in range(ROUNDS):
                retry_while_busy(partial(store.changes.suspend, order(f"user-{number}", round_ % 2 == 0, round_)))
                retry_while_busy(partial(store.changes.change_settings, "everyone", PRIVATE, NOW))
        except BaseException as error:  # the test compares it below
            errors.append(error)
        finally:
            store.changes.close()

    def follow() -> None:
        store = open_player_sessions(url)
        last = 0
        while True:
            ended = done.is_set()
            time.sleep(0.002)  # the writers' threads need the interpreter too
            for change in store.reads.changes_since(last, 3):
                assert change.revision > last
                last = change.revision
                seen.append((change.revision, change.user_id, change.suspended))
            if ended and last == store.reads.revision():
                store.reads.close()
                return

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    follower = threading.Thread(target=follow, daemon=True)
    for thread in (*writers, follower):
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    follower.join(20)
    assert not errors
    assert not follower.is_alive()
    ordered = run_sql(url, "SELECT turn, user_id, suspended FROM suspensions ORDER BY turn")
    assert [one for one in seen if one[2] is not None] == ordered
    assert len(ordered) == WRITERS * ROUNDS
    assert run_sql(url, "SELECT number FROM turns") == [(2 * WRITERS * ROUNDS,)]


def test_concurrent_equal_orders_are_stored_once(url: str) -> None:
    entered: list[bool] = []
    barrier = threading.Barrier(WRITERS)
    change = retry_while_busy if url.startswith("sqlite") else lambda change: change()

    def write(number: int) -> None:
        store: PlayerSessions = open_player_sessions(url)
        barrier.wait(10)
        change(lambda: entered.append(store.changes.suspend(order("amy", True, number))))
        store.changes.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(entered) == [False] * (WRITERS - 1) + [True]


def test_a_locked_player_store_refuses_changes_in_time_and_delays_no_read_or_award(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    ledger, player_store = opened(url), opened_player_store(url)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE turns IN EXCLUSIVE MODE")
        with refused_within(2.6):
            run(lambda: player_store.change_settings("amy", PRIVATE, NOW))
        assert run(lambda: player_store.settings("amy")).spectators
        assert award_in(run(lambda: ledger.award([claim("amy", 100, milestones=(100,))], []))[0]).unlocked == (100,)
        assert run(player_store.revision) == 0
        assert [one.milestone for one in run(lambda: player_store.achievements("amy"))] == [100]
    run(lambda: player_store.change_settings("amy", PRIVATE, NOW))
    assert run(player_store.revision) == 1
    run(player_store.stop)
    run(ledger.stop)


def test_a_locked_sqlite_file_refuses_changes_in_time_and_allows_reads(tmp_path: Path) -> None:
    url = fresh_url("sqlite", tmp_path)
    player_store = opened_player_store(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with refused_within(2.6):
        run(lambda: player_store.suspend(order("amy", True, 1)))
    assert run(lambda: player_store.suspended("", 9)) == []
    other.execute("ROLLBACK")
    other.close()
    assert run(lambda: player_store.suspend(order("amy", True, 1)))
    run(player_store.stop)


def test_an_error_of_the_driver_becomes_store_unavailable_and_the_next_call_works(url: str) -> None:
    player_store = opened_player_store(url)
    run_sql(url, "ALTER TABLE suspensions RENAME TO pardons")
    for use in (
        lambda: player_store.suspended("", 9),
        lambda: player_store.suspend(order("amy", True, 1)),
        lambda: player_store.changes_since(0, 9),
    ):
        with pytest.raises(StoreUnavailable):
            run(use)
    run_sql(url, "ALTER TABLE pardons RENAME TO suspensions")
    assert run(lambda: player_store.suspend(order("amy", True, 2)))
    assert run(lambda: player_store.suspended("", 9)) == ["amy"]
    assert run(player_store.revision) == 1
    run(player_store.stop)


def test_an_interrupted_change_is_not_committed(url: str) -> None:
    store = open_player_sessions(url)

    def interrupt_before_the_commit() -> None:
        with store.changes.writing() as connection:
            connection.exec_driver_sql("UPDATE turns SET number = 7")
            store.changes.interrupt()

    with pytest.raises(StoreUnavailable):
        interrupt_before_the_commit()
    assert store.reads.revision() == 0
    assert store.changes.suspend(order("amy", True, 1))
    store.changes.close()
    store.reads.close()
