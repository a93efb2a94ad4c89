"""A store that is down, slow, locked or full: StoreUnavailable in time, nothing awarded, and awards again after the fault."""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from twisted.internet.task import deferLater

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.entries import EntryFilter
from scoreboard.domain.errors import StoreAway, StoreUnavailable
from scoreboard.domain.judgement import Award
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.board_ledger import REBUILD_SECONDS_MAX
from scoreboard.storage.sql.ledger import SqlLedger
from tests.awaiting import run
from tests.pauses import within
from tests.storage.claims import award_in, claim
from tests.storage.harnesses import opened, refused_within
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store, run_sql

T = TypeVar("T")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the tests may stop."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_url(server: PostgresServer) -> str:
    url = server.fresh()
    migrate(url)
    return url


@pytest.fixture
def postgres_ledger(postgres_url: str) -> Iterator[SqlLedger]:
    ledger = opened(postgres_url)
    yield ledger
    run(ledger.stop)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return fresh_url("sqlite", tmp_path)


def award(ledger: SqlLedger, user: str = "amy") -> Award:
    (verdict,) = run(lambda: ledger.award([claim(user, 1)], []))
    return award_in(verdict)


def award_again(ledger: SqlLedger, user: str = "amy") -> Award:
    """Award as soon as the store answers again; until then each call is refused at once."""
    (verdict,) = run(lambda: eventually(lambda: ledger.award([claim(user, 1)], [])))
    return award_in(verdict)


async def eventually(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer of the ledger after its store has recovered, which takes at most a second."""
    from twisted.internet import reactor

    with within(1.0):
        while True:
            try:
                return await ask()
            except StoreAway:
                await deferLater(reactor, 0.05)


def test_the_ledger_reconnects_to_a_restarted_postgresql(server: PostgresServer, postgres_ledger: SqlLedger) -> None:
    award(postgres_ledger)
    server.stop()
    for _ in range(2):
        with refused_within(2.5):
            award(postgres_ledger)
    with refused_within(2.5):
        run(lambda: postgres_ledger.board(GLOBAL_BOARD).top(0, 10))
    with refused_within(2.5):
        run(postgres_ledger.ping)
    server.start()
    assert award(postgres_ledger).score_after == 2
    assert run(postgres_ledger.board(GLOBAL_BOARD).ranked_count) == 1
    assert [one.user_id for one in run(lambda: postgres_ledger.board(GLOBAL_BOARD).top(0, 10))] == ["amy"]
    run(postgres_ledger.ping)


def test_a_terminated_connection_is_replaced(server: PostgresServer, postgres_url: str, postgres_ledger: SqlLedger) -> None:
    award(postgres_ledger)
    run(lambda: postgres_ledger.board(GLOBAL_BOARD).state())
    run_sql(server.url(), "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'scoreboard'")
    for use in (lambda: award(postgres_ledger), lambda: run(lambda: postgres_ledger.board(GLOBAL_BOARD).state())):
        use()
    assert run_sql(postgres_url, "SELECT count(*) FROM score_transactions") == [(2,)]


def test_a_locked_table_is_given_up_after_two_seconds(postgres_url: str, postgres_ledger: SqlLedger) -> None:
    award(postgres_ledger)
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE user_scores IN ACCESS EXCLUSIVE MODE")
        with refused_within(2.6):
            award(postgres_ledger)
        with refused_within(2.6):
            run(lambda: postgres_ledger.board(GLOBAL_BOARD).account("amy"))
    assert award(postgres_ledger).score_after == 2


def test_postgresql_ends_a_slow_statement(postgres_url: str, postgres_ledger: SqlLedger) -> None:
    run_sql(
        postgres_url,
        """
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
        CREATE TRIGGER dawdle BEFORE INSERT ON user_scores FOR EACH ROW EXECUTE FUNCTION dawdle();
        """,
    )
    with refused_within(2.6):
        award(postgres_ledger)
    run_sql(postgres_url, "DROP TRIGGER dawdle ON user_scores")
    assert award(postgres_ledger).score_after == 1


def test_a_stopped_postgresql_is_given_up(server: PostgresServer, postgres_ledger: SqlLedger) -> None:
    award(postgres_ledger)
    run(lambda: postgres_ledger.board(GLOBAL_BOARD).state())
    run(lambda: postgres_ledger.board(GLOBAL_BOARD).account("amy"))
    server.signal(signal.SIGSTOP)
    try:
        with refused_within(3.0):
            award(postgres_ledger, "bob")
        with refused_within(3.5):
            run(lambda: postgres_ledger.board(GLOBAL_BOARD).account("bob"))
        with refused_within(REBUILD_SECONDS_MAX + 0.5):
            run(lambda: postgres_ledger.board(GLOBAL_BOARD).state())
    finally:
        server.signal(signal.SIGCONT)
    assert award_again(postgres_ledger).score_after == 2
    assert run(lambda: eventually(lambda: postgres_ledger.board(GLOBAL_BOARD).state())).epoch == 0
    assert run(lambda: eventually(lambda: postgres_ledger.board(GLOBAL_BOARD).account("bob"))) is None


def test_postgresql_ends_an_idle_transaction_that_holds_locks(postgres_url: str) -> None:
    held = open_store(postgres_url, failpoint=lambda _step: time.sleep(2.8)).writes
    open_store(postgres_url).writes.award([claim("amy")], [])
    with pytest.raises(StoreUnavailable):
        held.award([claim("amy")], [])
    assert run_sql(postgres_url, "SELECT count(*) FROM score_transactions") == [(1,)]


def test_a_locked_sqlite_ledger_is_given_up_after_two_seconds(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with refused_within(2.6):
        award(ledger)
    with refused_within(2.6):
        run(ledger.ping)
    assert run(lambda: ledger.board(GLOBAL_BOARD).account("amy")) is None  # a read does not wait for a lock
    other.execute("ROLLBACK")
    assert award_again(ledger).score_after == 1
    other.close()
    run(ledger.stop)


def test_a_full_disk_refuses_awards_until_it_has_space(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    award(ledger)
    run(ledger.ping)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with file_sizes_limited_to(Path(f"{path}-wal").stat().st_size):
        for use in (lambda: award(ledger, "bob"), lambda: run(ledger.ping)):
            with refused_within(1.0):
                use()
    assert award(ledger).score_after == 2
    assert run(lambda: ledger.count_entries(EntryFilter())) == 2
    assert run_sql(sqlite_url, "PRAGMA integrity_check") == [("ok",)]
    run(ledger.stop)


def test_a_removed_sqlite_file_is_not_replaced_by_an_empty_one(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    award(ledger)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    path.rename(path.with_suffix(".away"))
    with contextlib.suppress(StoreUnavailable):  # SQLite does not notice it at once
        award(ledger)
    run(ledger.stop)
    ledger = opened(sqlite_url)
    for use in (lambda: award(ledger), lambda: run(lambda: ledger.board(GLOBAL_BOARD).state())):
        with refused_within(1.0):
            use()
    assert not path.exists()
    run(ledger.stop)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_of_the_driver_becomes_store_unavailable(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    ledger = opened(url)
    run_sql(url, "ALTER TABLE boards RENAME TO planks")
    run_sql(url, "ALTER TABLE user_scores RENAME TO scores_of_users")
    uses: list[Callable[[], Coroutine[Any, Any, object]]] = [
        ledger.ping,
        lambda: ledger.board(GLOBAL_BOARD).next_epoch("run"),
        lambda: ledger.board(GLOBAL_BOARD).note_followed("run"),
        lambda: ledger.board(GLOBAL_BOARD).state(),
        ledger.board(GLOBAL_BOARD).ranked_count,
        lambda: ledger.board(GLOBAL_BOARD).top(0, 1),
        lambda: ledger.board(GLOBAL_BOARD).accounts("", 1),
        lambda: ledger.award([claim()], []),
    ]
    for use in uses:
        with refused_within(1.0):
            run(use)
    run(ledger.stop)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_abandoned_award_is_never_committed(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    steps: list[str] = []

    def give_up(step: str) -> None:
        steps.append(step)
        writes.interrupt()

    writes = open_store(url, give_up).writes
    with pytest.raises(StoreUnavailable):
        writes.award([claim()], [])
    assert steps == ["judged"]
    assert run_sql(url, "SELECT count(*) FROM score_transactions") == [(0,)]
    assert writes.next_epoch(GLOBAL_BOARD, "run") > 0  # and the next call is none the worse for it
    writes.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_batch_after_a_failed_one_succeeds(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    faults = [LookupError("a mistake of ours")]

    def fail_once(_step: str) -> None:
        if faults:
            raise faults.pop()

    writes = open_store(url, fail_once).writes
    with pytest.raises(LookupError):
        writes.award([claim()], [])
    assert award_in(writes.award([claim()], [])[0]).score_after == 100
    writes.close()


_WRITER = """
import sys
from tests.storage.sql_stores import open_store
from tests.storage.claims import claim
writes = open_store(sys.argv[1]).writes
while True:
    batch = [claim(f"user-{n}", 1) for n in range(5)]
    writes.award(batch, [])
    print(*(one.grant.action_id for one in batch), flush=True)
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_award_acknowledged_before_a_kill_is_in_the_ledger_after_it(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    acknowledged: set[str] = set()
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(20):
            acknowledged.update(writer.stdout.readline().split())
        writer.send_signal(signal.SIGKILL)
        for text_line in writer.stdout.readlines():
            acknowledged.update(text_line.split() if text_line.endswith("\n") else ())
        writer.wait(10)
    assert len(acknowledged) >= 300
    audits = open_store(url).audits
    kept = {entry.action_id for entry in audits.entries(EntryFilter(), None, 100_000, False)}
    assert acknowledged <= kept
    assert audits.verify("", 10) == (None, [])
    audits.close()


@contextlib.contextmanager
def file_sizes_limited_to(size: int) -> Iterator[None]:
    """Limit the size of the files that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
