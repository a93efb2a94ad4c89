"""Tests that no award commits after its player's suspension: on every ledger, and with overlapping transactions."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.entries import EntryFilter
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import Award, Verdict
from scoreboard.domain.players import PlayerSettings, SuspensionOrder, ledger_shard
from scoreboard.domain.refusals import HELD, SUSPENDED
from scoreboard.storage.sql import player_queries
from scoreboard.storage.sql.stores import SqlStore
from tests.storage.claims import NOW, award_in, award_with_retries, claim
from tests.storage.harnesses import Harness, harness_of
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_player_sessions, open_store, run_sql

_ids = itertools.count()


def order(user_id: str = "amy", suspended: bool = True) -> SuspensionOrder:
    return SuspensionOrder(
        suspension_id=f"s-{next(_ids)}", user_id=user_id, suspended=suspended, operator="root", reason="r", at_ms=NOW
    )


@pytest.fixture(params=("memory", "sqlite", "postgresql"))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    harness = harness_of(request.param, tmp_path)
    yield harness
    harness.close()


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    dialect: Dialect = request.param
    return fresh_url(dialect, tmp_path)


@pytest.mark.parametrize("known", [True, False], ids=["with an account", "never seen before"])
def test_a_suspended_player_gets_no_award_and_the_other_players_of_the_batch_do(harness: Harness, known: bool) -> None:
    if known:
        harness.do(harness.ledger.award([claim("amy", 7)], []))
    harness.do(harness.player_store.suspend(order()))
    verdicts = harness.do(harness.ledger.award([claim("amy"), claim("bob"), claim("amy")], []))
    assert verdicts[0] == verdicts[2] == SUSPENDED
    assert award_in(verdicts[1]).score_after == 100
    assert harness.do(harness.ledger.count_entries(EntryFilter(user_id="amy"))) == known
    harness.do(harness.player_store.suspend(order(suspended=False)))
    again = award_in(harness.do(harness.ledger.award([claim("amy")], []))[0])
    assert (again.score_after, again.version) == ((107, 2) if known else (100, 1))


def test_a_suspended_player_does_not_get_the_receipt_of_a_used_action(harness: Harness) -> None:
    used = claim("amy")
    harness.do(harness.ledger.award([used], []))
    harness.do(harness.player_store.suspend(order()))
    assert harness.do(harness.ledger.award([used], [])) == [SUSPENDED]


def test_a_suspension_adds_no_player_to_the_ledger(harness: Harness) -> None:
    harness.do(harness.player_store.suspend(order()))
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy")) is None
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).accounts("", 9)) == []
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).top(0, 9)) == []
    assert harness.do(harness.ledger.board(GLOBAL_BOARD).ranked_count()) == 0
    assert harness.do(harness.ledger.verify("", 9)) == (None, [])
    assert award_in(harness.do(harness.ledger.award([claim("bob")], []))[0]).score_after == 100
    harness.do(harness.player_store.suspend(order(suspended=False)))
    first = award_in(harness.do(harness.ledger.award([claim("amy", username="Amy")], []))[0])
    assert (first.version, first.score_before, first.score_after) == (1, 0, 100)
    account = harness.do(harness.ledger.board(GLOBAL_BOARD).account("amy"))
    assert account is not None
    assert (account.username, account.version) == ("Amy", 1)
    assert harness.do(harness.ledger.verify("", 9)) == (None, [])


PLAYERS = 6


class AwardLoop(threading.Thread):
    """A server that awards its players in batches, one after another, in a thread. ``players`` may grow."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.players = PLAYERS
        self.ended = threading.Event()
        self.awards = 0
        self.errors: list[BaseException] = []
        self._store: SqlStore = open_store(url)
        self.start()

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                self._award()
        except BaseException as error:  # the test compares it
            self.errors.append(error)
        self._store.writes.close()

    def _award(self) -> None:
        batch = [claim(f"user-{number}", 1) for number in range(self.players)]
        self.ended.wait(0.002)  # SQLite gives its lock in no order: for a moment it is free for others
        with contextlib.suppress(StoreUnavailable):  # SQLite is busy: try again
            for verdict in self._store.writes.award(batch, []):
                assert isinstance(verdict, Award) or verdict in (SUSPENDED, HELD)
                self.awards += isinstance(verdict, Award)


def suspend(url: str, user_id: str) -> None:
    """Store an order. Try again while SQLite is busy."""
    player_store = open_player_sessions(url)
    for _ in range(20):
        with contextlib.suppress(StoreUnavailable):
            assert player_store.changes.suspend(order(user_id))
            break
    else:
        pytest.fail("SQLite was busy twenty times")
    player_store.changes.close()


def test_no_entry_follows_a_suspension_while_two_servers_award(url: str) -> None:
    """Two servers award the same players without pause, while a third suspends the players one after the other."""
    servers = [AwardLoop(url), AwardLoop(url)]
    audits = open_store(url).audits
    counted: dict[str, int] = {}
    try:
        _until(
            lambda: min(server.awards for server in servers) > 0, 60
        )  # SQLite gives its lock in no order, so this may take long
        for number in range(PLAYERS + 4):
            if number >= PLAYERS:  # these players get their first award just before, or during, their suspension
                for server in servers:
                    server.players = number + 1
            else:
                time.sleep(0.02)
            user = f"user-{number}"
            suspend(url, user)
            counted[user] = audits.count_entries(EntryFilter(user_id=user))
        time.sleep(0.1)
    finally:
        for server in servers:
            server.ended.set()
            server.join(20)
    assert [error for server in servers for error in server.errors] == []
    assert {user: audits.count_entries(EntryFilter(user_id=user)) for user in counted} == counted
    audits.close()


class SingleAward(threading.Thread):
    """A server that awards one batch, in a thread."""

    def __init__(self, url: str, *users: str, again: bool = False) -> None:
        super().__init__(daemon=True)
        self._again = again
        self.verdicts: list[Verdict] | None = None
        self._store: SqlStore = open_store(url)
        self._claims = [claim(user) for user in users]
        self.start()

    def run(self) -> None:
        self.verdicts = (
            award_with_retries(self._store.writes, self._claims) if self._again else self._store.writes.award(self._claims, [])
        )
        self._store.writes.close()

    def ended(self, seconds_max: float) -> list[Verdict] | None:
        self.join(seconds_max)
        return self.verdicts


#: Finds an order that waits in the middle of its transaction.
WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO suspensions%'"
#: Finds a session that waits for a lock.
LOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def postgres_url(tmp_path: Path) -> str:
    return fresh_url("postgresql", tmp_path)


@pytest.fixture
def patient_suspension(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspension waits for its locks until the test has done its steps, however slow the machine is."""
    monkeypatch.setattr(player_queries, "ACCOUNT_LOCK_MS_MAX", 20_000)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
@pytest.mark.parametrize("known", [True, False], ids=["with an account", "never seen before"])
@pytest.mark.usefixtures("patient_suspension")
def test_an_award_during_a_suspension_is_judged_after_it_and_delays_no_other_player(
    postgres_url: str, known: bool, isolation: str
) -> None:
    named = "SELECT format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), '{}')"
    run_sql(postgres_url, run_sql(postgres_url, named.format(isolation))[0][0])
    if known:
        assert SingleAward(postgres_url, "amy", "bob").ended(20)
    player_store = open_player_sessions(postgres_url)
    committing = threading.Event()
    with psycopg.connect(postgres_url) as blocker:
        # The last insert of the suspension waits for this lock, so the suspension stops in the middle of its transaction.
        blocker.execute("LOCK TABLE suspensions IN SHARE ROW EXCLUSIVE MODE")

        def suspend() -> None:
            player_store.changes.suspend(order())
            committing.set()

        suspending = threading.Thread(target=suspend, daemon=True)
        suspending.start()
        _until(lambda: bool(run_sql(postgres_url, WAITING)))
        amy = SingleAward(postgres_url, "amy", again=not known)
        bob = SingleAward(postgres_url, "bob")
        assert award_in((bob.ended(20) or [])[0]), "another player must not wait"
        if known:  # an award sets a locked account aside; for a new account it waits for the other insert
            assert amy.ended(20) == [HELD]
            amy = SingleAward(postgres_url, "amy", again=True)
        assert amy.ended(0.2) is None
        assert not committing.is_set()
    suspending.join(20)
    assert amy.ended(20) == [SUSPENDED]
    assert run_sql(postgres_url, "SELECT count(*) FROM score_transactions WHERE user_id = 'amy'") == [(int(known),)]
    player_store.changes.close()
    player_store.reads.close()


@pytest.mark.parametrize("known", [True, False], ids=["with an account", "never seen before"])
def test_a_suspension_during_an_award_waits_for_the_commit_of_the_award(postgres_url: str, known: bool) -> None:
    if known:
        assert SingleAward(postgres_url, "amy").ended(20)
    player_store = open_player_sessions(postgres_url)
    # Take the locks that an award holds until its commit, so that the test can stop there.
    with psycopg.connect(postgres_url) as award:
        if known:
            award.execute("SELECT 1 FROM user_scores WHERE user_id = 'amy' FOR NO KEY UPDATE")
        else:
            award.execute(
                "INSERT INTO user_scores"
                " (ledger_shard, user_id, username, score, version, total_actions, last_updated, created_at)"
                " VALUES (%s, 'amy', 'Amy', 100, 1, 1, now(), now())",
                (ledger_shard("amy"),),
            )
        suspending = threading.Thread(target=lambda: player_store.changes.suspend(order()), daemon=True)
        suspending.start()
        suspending.join(0.3)
        assert suspending.is_alive(), "the suspension must wait for the award"
        assert player_store.reads.suspended("", 9) == []
    suspending.join(20)
    assert player_store.reads.suspended("", 9) == ["amy"]
    player_store.changes.close()
    player_store.reads.close()


@pytest.mark.usefixtures("patient_suspension")
def test_a_suspension_that_waits_for_its_player_delays_no_other_change(postgres_url: str) -> None:
    assert SingleAward(postgres_url, "amy").ended(20)
    player_store, other = open_player_sessions(postgres_url), open_player_sessions(postgres_url)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT 1 FROM user_scores WHERE user_id = 'amy' FOR UPDATE")
        suspending = threading.Thread(target=lambda: player_store.changes.suspend(order()), daemon=True)
        suspending.start()
        _until(lambda: bool(run_sql(postgres_url, LOCKED)))
        other.changes.change_settings("bob", PlayerSettings(spectators=False), NOW)
        assert other.changes.suspend(order("cat"))
        assert suspending.is_alive(), "the other changes did not wait for it"
        time.sleep(1.6)  # an award waits for less than this, and a suspension for longer
        assert suspending.is_alive()
    suspending.join(20)
    assert player_store.reads.suspended("", 9) == sorted(["amy", "cat"], key=ledger_shard)
    for store in (player_store, other):
        store.changes.close()
        store.reads.close()


def _until(holds: Callable[[], bool], seconds_max: float = 20.0) -> None:
    until = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.01)
