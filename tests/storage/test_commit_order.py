"""The order of commits in PostgreSQL: what a follower reads while transactions overlap, and what it must not read."""

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
    """A connection whose transactions a test begins and ends by hand. Each entry is of a player of its own."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.open = False
        self.entered: list[str] = []

    def begin(self) -> None:
        """Begin, and take a transaction number."""
        if not self.open:
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT pg_current_xact_id()")
            self.open = True

    def enter(self, user_id: str | None = None, position: int | None = None) -> str:
        """An account and its first entry."""
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

    def enter_below_a_savepoint(self) -> None:
        """An entry of a subtransaction, which has a number of its own."""
        self._connection.execute("SAVEPOINT here")
        self.enter()
        self._connection.execute("RELEASE SAVEPOINT here")

    def change_something_else(self) -> None:
        """Write where no follower looks."""
        self._connection.execute("INSERT INTO elsewhere VALUES (1)")

    def commit(self) -> list[str]:
        """The players whose entries are committed now."""
        self._connection.execute("COMMIT")
        return self._ended()

    def rollback(self) -> None:
        """Nothing was entered."""
        self._connection.execute("ROLLBACK")
        self._ended()

    def close(self) -> None:
        """Roll back what is open."""
        self._connection.close()

    def _ended(self) -> list[str]:
        entered, self.entered, self.open = self.entered, [], False
        return entered


class Follower:
    """Reads what changed since it last looked, as the projector does: the new position, then the pages since the old one."""

    def __init__(self, order: CommitOrder, entries_per_page: int = 2) -> None:
        self._order = order
        self._entries_per_page = entries_per_page
        self._position = order.position()

    def poll(self, between_pages: Callable[[], object] = lambda: None) -> list[str]:
        """The players of all pages, in the order that they came."""
        seen: list[str] = []
        position, after = self._order.position(), ""
        while True:
            page: ChangedPage = self._order.changed_since(self._position, after, self._entries_per_page)
            assert len(page.standings) <= self._entries_per_page
            seen += [one.user_id for one in page.standings]
            if not page.after:
                self._position = position
                return seen
            after = page.after
            between_pages()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all: entries keep apart by their players, and each follower begins at its own position."""
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


def test_an_entry_that_was_open_when_the_position_was_taken_is_read_once_it_is_committed(url: str, store: SqlStore) -> None:
    with writing(url) as (early, slow, late):
        early.begin()
        slow.begin()
        users = [early.enter(), slow.enter()]
        late.begin()
        late.enter()
        late.commit()  # so that the position lies beyond the two that are open
        position = store.order.position()
        assert len(position.split(":")[2].split(",")) == 2, "both are named"
        follower = Follower(store.order)
        early.commit()
        assert follower.poll() == [users[0]]
        late.begin()
        users.append(late.enter())
        late.commit()
        assert follower.poll() == [users[2]]
        slow.commit()
        assert follower.poll() == [users[1]]
        assert follower.poll() == []


def test_a_transaction_that_began_first_and_commits_long_after_is_read(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (first, other):
        first.begin()
        follower = Follower(store.order)
        for _ in range(50):
            other.begin()
            other.enter()
            assert follower.poll() == other.commit()[:0]
            assert len(follower.poll()) == 1
        mine = first.enter()
        assert follower.poll() == []
        first.commit()
        assert follower.poll() == [mine]
        assert follower.poll() == []


def test_a_writer_that_stays_open_elsewhere_neither_hides_nor_repeats_anything(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (elsewhere, writer):
        elsewhere.begin()
        elsewhere.change_something_else()
        follower = Follower(store.order)
        seen, entered = [], []
        for _ in range(10):
            for _ in range(3):
                writer.begin()
                entered.append(writer.enter())
                writer.commit()
            seen += follower.poll()
            assert sorted(seen) == sorted(entered)
        elsewhere.commit()
        assert follower.poll() == []


def test_a_dump_that_takes_long_holds_nothing_up(url: str, store: SqlStore) -> None:
    with psycopg.connect(url) as dump, writing(url, 1) as (writer,):
        dump.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        before = dump.execute("SELECT count(*) FROM score_transactions").fetchone()
        follower = Follower(store.order)
        for _ in range(3):
            writer.begin()
            user = writer.enter()
            writer.commit()
            assert follower.poll() == [user]
        assert dump.execute("SELECT count(*) FROM score_transactions").fetchone() == before


def test_entries_from_beyond_the_servers_counter_are_not_read_and_hide_nothing(url: str, store: SqlStore) -> None:
    with writing(url, 1) as (writer,):
        follower = Follower(store.order, 100)
        writer.begin()
        copied = writer.enter(position=NO_SUCH_TRANSACTION_YET)
        writer.commit()
        assert follower.poll() == []
        store.writes.award([claim(f"new-{number}") for number in range(5)], [])
        assert sorted(follower.poll()) == [f"new-{number}" for number in range(5)]
        assert follower.poll() == []
    in_order = store.order.accounts("", 100_000)
    assert copied in {one.user_id for one in in_order}, "a rebuild has it"


def test_a_position_and_a_place_between_two_pages_can_be_read_by_another_process(url: str, store: SqlStore) -> None:
    with writing(url, 2) as (slow, writer):
        slow.begin()
        users = [slow.enter()]
        writer.begin()
        writer.commit()
        position = store.order.position()
        writer.begin()
        users.append(writer.enter())
        writer.commit()
        slow.commit()
        another = open_store(url).order
        open_then = another.changed_since(position, "", 100)
        assert [one.user_id for one in open_then.standings] == users[:1]
        later = store.order.changed_since(position, open_then.after, 100)
        assert ([one.user_id for one in later.standings], later.after) == (users[1:], "")
        another.close()


def test_however_many_pages_there_are_each_entry_is_read_once(tmp_path: Path) -> None:
    """The newest entries are in no statistics, so the planner takes them for few; it must not read all of them for a page."""
    url = fresh_url("postgresql", tmp_path)
    store = open_store(url)
    with writing(url, 1) as (slow,):
        slow.begin()
        mine = slow.enter()
        follower = Follower(store.order, 200)
        store.order.close()
        entries, batch = 3_000, 20
        for begin in range(0, entries, batch):
            store.writes.award([claim(f"player-{number}") for number in range(begin, begin + batch)], [])
        store.writes.close()
        slow.commit()
        seen = follower.poll()
    assert (len(seen), mine in seen) == (entries + 1, True)
    store.order.close()  # a session that ends tells what it read
    read = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'score_transactions'"
    until_s = time.monotonic() + 10
    while (fetched := run_sql(url, read)[0][0]) < entries and time.monotonic() < until_s:
        time.sleep(0.05)
    assert entries <= fetched <= 1.5 * entries


def test_a_crash_of_the_server_hides_no_entry() -> None:
    """A transaction whose end never reached the disk leaves its number to another: what that commits must not count as seen."""
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
            seen = {one.user_id for one in after.order.changed_since(position, "", 100).standings}
        except LedgerWentBack:
            seen = set(users)  # as good: the board is rebuilt
        assert seen >= set(users)
        for store in (before, after):
            store.order.close()
            store.writes.close()
    finally:
        server.remove()


_STEPS = st.lists(
    st.tuples(
        st.integers(0, WRITERS - 1),
        st.sampled_from(["begin", "enter", "enter", "below a savepoint", "elsewhere", "commit", "commit", "rollback", "look"]),
    ),
    max_size=30,
)


class Interleaved:
    """Writers that take random steps; ``committed`` are the players whose entries stand."""

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
                writer.enter()
            elif what == "below a savepoint":
                writer.enter_below_a_savepoint()
            elif what == "elsewhere":
                writer.change_something_else()

    def end(self) -> None:
        for number in range(len(self._writers)):
            self.step(number, "commit")


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS, entries_per_page=st.integers(1, 4))
def test_each_committed_entry_is_read_exactly_once_and_none_before_its_commit(
    url: str, store: SqlStore, steps: list[tuple[int, str]], entries_per_page: int
) -> None:
    with writing(url) as writers:
        interleaved, follower = Interleaved(writers), Follower(store.order, entries_per_page)
        seen: list[str] = []
        for number, what in steps:
            if what != "look":
                interleaved.step(number, what)
                continue
            seen += follower.poll()
            assert sorted(seen) == sorted(interleaved.committed)
        interleaved.end()
        seen += follower.poll()
        assert sorted(seen) == sorted(interleaved.committed)


@settings(max_examples=100, deadline=None)
@given(steps=_STEPS, looks=st.integers(1, 4))
def test_no_entry_is_missed_though_others_commit_between_the_pages(
    url: str, store: SqlStore, steps: list[tuple[int, str]], looks: int
) -> None:
    with writing(url) as writers:
        interleaved, follower = Interleaved(writers), Follower(store.order, 1)
        due = iter([one for one in steps if one[1] != "look"])
        seen: list[str] = []

        def some_steps() -> None:
            for step in itertools.islice(due, 2):
                interleaved.step(*step)

        for _ in range(looks):
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
    """A ledger of 100,000 players with an entry each, by a hundred transactions."""
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
def test_what_changed_is_found_by_the_index_of_positions(large_url: str, since: str) -> None:
    order = open_store(large_url).order
    now = order.position()
    timeline, _, snapshot = now.partition("/")
    newest = int(snapshot.split(":")[1])
    position = {
        "long ago": f"{timeline}/{newest - 90}:{newest - 90}:",
        "now": now,
        "open then": f"{timeline}/{newest - 5}:{newest}:{newest - 5},{newest - 3}",
    }[since]
    asked: list[tuple[str, Any]] = []

    def received(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        if "score_transactions" in statement:
            asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", received)
    try:
        order.changed_since(position, "", 500)
    finally:
        event.remove(Engine, "before_cursor_execute", received)
        order.close()
    ((statement, parameters),) = asked
    with psycopg.connect(large_url) as connection:
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}".encode(), parameters))
    assert "idx_transactions_position" in plan, plan
    assert "Seq Scan on score_transactions" not in plan, plan
