"""Tests of the order of commits in PostgreSQL: what a follower reads, and must not read, while transactions overlap."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import LedgerWentBack
from scoreboard.domain.ledger_state import ChangedPage
from scoreboard.domain.players import ledger_shard
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.commit_order import CommitOrder
from scoreboard.storage.sql.stores import SqlStore
from tests.storage.claims import claim
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import fresh_url, open_store, run_sql

WRITERS = 3
NO_SUCH_TRANSACTION_YET = 10**12
_names = itertools.count()


class Writer:
    """A connection whose transactions a test begins and ends by hand. Each entry has a player of its own."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.open = False
        self.entered: list[str] = []

    def begin(self) -> None:
        """Begin a transaction with a transaction number."""
        if not self.open:
            self._connection.execute("BEGIN")
            self.open = True
            self.draw_number()

    def draw_number(self) -> str:
        """The number of the open transaction, which it has from the first call on."""
        ((number,),) = self._connection.execute("SELECT pg_current_xact_id()::text").fetchall()
        return str(number)

    def insert_entry(self, user_id: str | None = None, position: int | None = None) -> str:
        """Insert an account and its first entry; the user id."""
        user_id = user_id or f"user-{next(_names)}"
        key = {"shard": ledger_shard(user_id), "user": user_id}
        self._connection.execute(
            "INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at, total_actions)"
            " VALUES (%(shard)s, %(user)s, 'x', 1, 1, now(), now(), 1)",
            key,
        )
        self._connection.execute(
            "INSERT INTO score_transactions (ledger_shard, user_id, action_id, transaction_id, action_type, score_before,"
            " score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata, position)"
            " VALUES (%(shard)s, %(user)s, %(action)s, gen_random_uuid(), 'QUEST', 0, 1, 1, now(), '', '', true, '{}',"
            " coalesce(CAST(%(position)s::text AS xid8), pg_current_xact_id()))",
            {**key, "action": uuid.uuid4(), "position": None if position is None else str(position)},
        )
        self.entered.append(user_id)
        return user_id

    def insert_entry_in_a_subtransaction(self) -> None:
        """Insert an entry in a subtransaction, which has a transaction number of its own."""
        self._connection.execute("SAVEPOINT here")
        self.insert_entry()
        self._connection.execute("RELEASE SAVEPOINT here")

    def write_elsewhere(self) -> None:
        """Write into a table that no follower reads."""
        self._connection.execute("INSERT INTO elsewhere VALUES (1)")

    def commit(self) -> list[str]:
        """Commit; the players whose entries are committed now."""
        self._connection.execute("COMMIT")
        return self._ended()

    def rollback(self) -> None:
        """Roll back all entries of the transaction."""
        self._connection.execute("ROLLBACK")
        self._ended()

    def close(self) -> None:
        """Close the connection. PostgreSQL rolls back an open transaction."""
        self._connection.close()

    def _ended(self) -> list[str]:
        entered, self.entered, self.open = self.entered, [], False
        return entered


class Follower:
    """Reads what changed since its last poll, as the projector does: first the new position, then the pages since the old one."""

    def __init__(self, order: CommitOrder, entries_per_page: int = 2) -> None:
        self._order = order
        self._entries_per_page = entries_per_page
        self._position = order.position()

    def poll(self, between_pages: Callable[[], object] = lambda: None) -> list[str]:
        """The players of all pages, in the order of the pages."""
        seen: list[str] = []
        position, after = self._order.position(), ""
        while True:
            page: ChangedPage = self._order.changed_since(GLOBAL_BOARD, self._position, after, self._entries_per_page)
            assert len(page.standings) <= self._entries_per_page
            seen += [one.user_id for one in page.standings]
            if not page.after:
                self._position = position
                return seen
            after = page.after
            between_pages()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests here: each entry has its own player, and each follower begins at its own position."""
    url = fresh_url("postgresql", tmp_path_factory.mktemp("unused"))
    run_sql(url, "CREATE TABLE elsewhere (n integer)")
    return url


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[SqlStore]:
    store = open_store(url)
    yield store
    store.order.close()
    store.writes.close()


@contextmanager
def writing(url: str, count: int = WRITERS) -> Iterator[list[Writer]]:
    writers = [Writer(url) for _ in range(count)]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.close()


def test_an_entry_of_a_transaction_open_at_the_position_is_read_after_its_commit(url: str, store: SqlStore) -> None:
    with writing(url) as (early, slow, late):
        early.begin()
        slow.begin()
        users = [early.insert_entry(), slow.insert_entry()]
        late.begin()
        late.insert_entry()
        late.commit()  # now the position is after the two open transactions
        position = store.order.position()
        assert {early.draw_number(), slow.draw_number()} <= set(position.split(":")[2].split(",")), (
            "it must name both open transactions"
        )
        follower = Follower(store.order)
        early.commit()
        assert follower.poll() == [users[0]]
        late.begin()
        users.append(late.insert_entry())
        late.commit()
        assert follower.poll() == [users[2]]
        slow.commit()
        assert follower.poll() == [users[1]]
        assert follower.poll() == []


def test_an_entry_of_a_transaction_that_began_first_and_commits_last_is_read(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (first, other):
        first.begin()
        follower = Follower(store.order)
        for _ in range(50):
            other.begin()
            other.insert_entry()
            assert follower.poll() == other.commit()[:0]
            assert len(follower.poll()) == 1
        mine = first.insert_entry()
        assert follower.poll() == []
        first.commit()
        assert follower.poll() == [mine]
        assert follower.poll() == []


def test_an_open_transaction_on_another_table_hides_and_repeats_no_entry(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (elsewhere, writer):
        elsewhere.begin()
        elsewhere.write_elsewhere()
        follower = Follower(store.order)
        seen, entered = [], []
        for _ in range(10):
            for _ in range(3):
                writer.begin()
                entered.append(writer.insert_entry())
                writer.commit()
            seen += follower.poll()
            assert sorted(seen) == sorted(entered)
        elsewhere.commit()
        assert follower.poll() == []


def test_a_long_dump_does_not_delay_the_follower(url: str, store: SqlStore) -> None:
    with psycopg.connect(url) as dump, writing(url, 1) as (writer,):
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        before = dump.execute("SELECT count(*) FROM score_transactions").fetchone()
        follower = Follower(store.order)
        for _ in range(3):
            writer.begin()
            user = writer.insert_entry()
            writer.commit()
            assert follower.poll() == [user]
        assert dump.execute("SELECT count(*) FROM score_transactions").fetchone() == before


def test_an_entry_with_a_future_transaction_number_is_not_read_and_hides_no_other(url: str, store: SqlStore) -> None:
    with writing(url, 1) as (writer,):
        follower = Follower(store.order, 100)
        writer.begin()
        copied = writer.insert_entry(position=NO_SUCH_TRANSACTION_YET)
        writer.commit()
        assert follower.poll() == []
        store.writes.award([claim(f"new-{number}") for number in range(5)], [])
        assert sorted(follower.poll()) == [f"new-{number}" for number in range(5)]
        assert follower.poll() == []
    in_order = store.order.accounts(GLOBAL_BOARD, "", 100_000)
    assert copied in {one.user_id for one in in_order}, "a rebuild must read it"


def test_another_process_can_use_a_position_and_continue_between_two_pages(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (slow, writer):
        slow.begin()
        users = [slow.insert_entry()]
        writer.begin()
        writer.commit()
        position = store.order.position()
        writer.begin()
        users.append(writer.insert_entry())
        writer.commit()
        slow.commit()
        another = open_store(url).order
        open_then = another.changed_since(GLOBAL_BOARD, position, "", 100)
        assert [one.user_id for one in open_then.standings] == users[:1]
        later = store.order.changed_since(GLOBAL_BOARD, position, open_then.after, 100)
        assert ([one.user_id for one in later.standings], later.after) == (users[1:], "")
        another.close()


def test_each_entry_is_read_once_over_many_pages(tmp_path: Path) -> None:
    """The statistics lack the newest entries, so the planner expects few. It must not read all of them for each page."""
    url = fresh_url("postgresql", tmp_path)
    store = open_store(url)
    with writing(url, 1) as (slow,):
        slow.begin()
        mine = slow.insert_entry()
        follower = Follower(store.order, 200)
        store.order.close()
        entries, batch = 3_000, 20
        for begin in range(0, entries, batch):
            store.writes.award([claim(f"player-{number}") for number in range(begin, begin + batch)], [])
        store.writes.close()
        slow.commit()
        seen = follower.poll()
    assert (len(seen), mine in seen) == (entries + 1, True)
    store.order.close()  # PostgreSQL counts the reads of a session when the session ends
    read = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'score_transactions'"
    until_s = time.monotonic() + 20
    while (fetched := run_sql(url, read)[0][0]) < entries and time.monotonic() < until_s:
        time.sleep(0.05)
    assert entries <= fetched <= 1.5 * entries


def test_a_crash_of_the_server_hides_no_entry() -> None:
    """After a crash PostgreSQL gives the number of a lost transaction to a new one, whose entries the follower must read."""
    server = PostgresServer()
    try:
        server.start()
        url = server.fresh()
        migrate(url)
        run_sql(url, "ALTER SYSTEM SET wal_writer_delay = '10s'")
        run_sql(url, "SELECT pg_reload_conf()")
        before = open_store(url)
        before.writes.award([claim("amy")], [])
        with psycopg.connect(url, autocommit=True) as other:
            for _ in range(5):
                other.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
        position = before.order.position()
        server.stop()
        server.start()
        after = open_store(url)
        users = [f"after-{number}" for number in range(8)]
        for user in users:
            after.writes.award([claim(user)], [])
        try:
            seen = {one.user_id for one in after.order.changed_since(GLOBAL_BOARD, position, "", 100).standings}
        except LedgerWentBack:
            seen = set(users)  # also right: the board is rebuilt
        assert seen >= set(users)
        for store in (before, after):
            store.order.close()
            store.writes.close()
    finally:
        server.remove()


_STEPS = st.lists(
    st.tuples(
        st.integers(0, WRITERS - 1),
        st.sampled_from(["begin", "enter", "enter", "subtransaction", "elsewhere", "commit", "commit", "rollback", "poll"]),
    ),
    max_size=30,
)


class InterleavedWriters:
    """Writers that take random steps. ``committed`` lists the players whose entries are committed."""

    def __init__(self, writers: list[Writer]) -> None:
        self._writers = writers
        self.committed: list[str] = []

    def step(self, number: int, what: str) -> None:
        writer = self._writers[number]
        if what in ("commit", "rollback") and not writer.open:
            return
        if what == "commit":
            self.committed += writer.commit()
        elif what == "rollback":
            writer.rollback()
        else:
            writer.begin()
            if what == "enter":
                writer.insert_entry()
            elif what == "subtransaction":
                writer.insert_entry_in_a_subtransaction()
            elif what == "elsewhere":
                writer.write_elsewhere()

    def end(self) -> None:
        for number in range(len(self._writers)):
            self.step(number, "commit")


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS, entries_per_page=st.integers(1, 4))
def test_each_committed_entry_is_read_exactly_once_and_none_before_its_commit(
    url: str, store: SqlStore, steps: list[tuple[int, str]], entries_per_page: int
) -> None:
    with writing(url) as writers:
        interleaved, follower = InterleavedWriters(writers), Follower(store.order, entries_per_page)
        seen: list[str] = []
        for number, what in steps:
            if what != "poll":
                interleaved.step(number, what)
                continue
            seen += follower.poll()
            assert sorted(seen) == sorted(interleaved.committed)
        interleaved.end()
        seen += follower.poll()
        assert sorted(seen) == sorted(interleaved.committed)


@settings(max_examples=100, deadline=None)
@given(steps=_STEPS, polls=st.integers(1, 4))
def test_no_entry_is_missed_when_others_commit_between_two_pages(
    url: str, store: SqlStore, steps: list[tuple[int, str]], polls: int
) -> None:
    with writing(url) as writers:
        interleaved, follower = InterleavedWriters(writers), Follower(store.order, 1)
        due = iter([one for one in steps if one[1] != "poll"])
        seen: list[str] = []

        def some_steps() -> None:
            for step in itertools.islice(due, 2):
                interleaved.step(*step)

        for _ in range(polls):
            some_steps()
            before = list(interleaved.committed)
            seen += follower.poll(some_steps)
            assert set(before) <= set(seen) <= set(interleaved.committed)
        for step in due:
            interleaved.step(*step)
        interleaved.end()
        seen += follower.poll()
        assert set(seen) == set(interleaved.committed)


ENTRIES = 100_000
PER_TRANSACTION = 1_000


@pytest.fixture(scope="module")
def large_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger of 100,000 players with one entry each, written by a hundred transactions."""
    url = fresh_url("postgresql", tmp_path_factory.mktemp("unused"))
    players = "SELECT (n % 64)::smallint AS shard, 'player-' || n AS id FROM generate_series({first}, {last}) AS n"
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, ENTRIES, PER_TRANSACTION):
            some = players.format(first=first, last=first + PER_TRANSACTION - 1)
            connection.execute(
                f"""
                BEGIN;
                INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at, total_actions)
                SELECT shard, id, id, 1, 1, now(), now(), 1 FROM ({some}) AS players;
                INSERT INTO score_transactions (ledger_shard, user_id, action_id, transaction_id, action_type, score_before,
                    score_after, score_awarded, timestamp, ip_address, user_agent, validated, metadata)
                SELECT shard, id, gen_random_uuid(), gen_random_uuid(), 'QUEST', 0, 1, 1, now(), '', '', true, '{{}}'
                FROM ({some}) AS players;
                COMMIT
                """.encode()
            )
        connection.execute("ANALYZE")
    return url


@pytest.mark.parametrize("since", ["long ago", "now", "open then"])
def test_changed_since_uses_the_index_of_positions(large_url: str, since: str) -> None:
    order = open_store(large_url).order
    now = order.position()
    timeline, _, snapshot = now.partition("/")
    newest = int(snapshot.split(":")[1])
    position = {
        "long ago": f"{timeline}/{newest - 90}:{newest - 90}:",
        "now": now,
        "open then": f"{timeline}/{newest - 5}:{newest}:{newest - 5},{newest - 3}",
    }[since]
    statements: list[tuple[str, Any]] = []

    def record_statement(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        if "score_transactions" in statement:
            statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record_statement)
    try:
        order.changed_since(GLOBAL_BOARD, position, "", 500)
    finally:
        event.remove(Engine, "before_cursor_execute", record_statement)
        order.close()
    ((statement, parameters),) = statements
    with psycopg.connect(large_url) as connection:
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}".encode(), parameters))
    assert "idx_transactions_position" in plan, plan
    assert "Seq Scan on score_transactions" not in plan, plan
