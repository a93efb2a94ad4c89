"""Tests of SqlThread: one thread makes the calls in order, each by its deadline; calls are refused while the store is silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater

from scoreboard.domain.errors import StoreAway, StoreUnavailable
from scoreboard.storage.sql import thread as thread_module
from scoreboard.storage.sql.thread import SqlThread, stop_threads
from scoreboard.storage.sql.thread_worker import StoreSilent
from tests.awaiting import result_of, run


class FakeSession:
    """A blocking session. Its work can hold the thread until the test sets ``released`` or the session is interrupted."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.begun = threading.Event()
        self.released = threading.Event()
        self.interrupted = 0
        self.probed = 0
        self.closed_by: str | None = None

    def work(self, name: str) -> str:
        self.done.append(name)
        return name

    def hold(self, name: str) -> str:
        self.begun.set()
        self.released.wait(10)
        return self.work(name)

    def fail(self) -> None:
        raise LookupError("of the work itself")

    def probe(self) -> None:
        self.probed += 1

    def interrupt(self) -> None:
        self.interrupted += 1
        self.released.set()

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


def working(name: str) -> Callable[[FakeSession], str]:
    return lambda session: session.work(name)


def holding(name: str) -> Callable[[FakeSession], str]:
    return lambda session: session.hold(name)


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def sql_thread(reactor: Any, session: FakeSession) -> Iterator[SqlThread[FakeSession]]:
    sql_thread: SqlThread[FakeSession] = SqlThread(reactor, "thread under test", lambda: session, waiting_max=3)
    sql_thread.start()
    yield sql_thread
    session.released.set()
    run(lambda: sql_thread.stop(5))


def start_call(coroutine: Any) -> Deferred[Any]:
    return ensureDeferred(coroutine)


def test_calls_run_in_order_in_one_thread_and_are_answered(sql_thread: SqlThread[FakeSession], session: FakeSession) -> None:
    async def main() -> Any:
        answers = await DeferredList([start_call(sql_thread.ask(5, working(name))) for name in "abc"])
        return answers, await sql_thread.ask(5, lambda _: threading.current_thread())

    answers, thread = run(main)
    assert [answer for _, answer in answers] == session.done == ["a", "b", "c"]
    assert thread.name == "thread under test"


def test_an_error_of_the_work_reaches_the_caller_and_the_thread_continues(
    sql_thread: SqlThread[FakeSession], session: FakeSession
) -> None:
    async def main() -> str:
        with pytest.raises(LookupError, match="of the work itself"):
            await sql_thread.ask(5, lambda session: session.fail())
        return await sql_thread.ask(5, working("next"))

    assert run(main) == "next"


def test_a_call_is_refused_at_once_when_too_many_calls_wait(sql_thread: SqlThread[FakeSession], session: FakeSession) -> None:
    async def main() -> None:
        waiting = [start_call(sql_thread.ask(5, holding(name))) for name in "abc"]
        with pytest.raises(StoreUnavailable, match="takes no more"):
            await sql_thread.ask(5, working("d"))
        session.released.set()
        await DeferredList(waiting)
        await sql_thread.ask(5, working("e"))

    run(main)
    assert session.done == ["a", "b", "c", "e"]


def test_at_the_deadline_a_running_call_is_interrupted_and_a_waiting_call_is_dropped(
    sql_thread: SqlThread[FakeSession], session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "SILENT_S_MIN", 60.0)

    async def main() -> None:
        running = start_call(sql_thread.ask(0.8, holding("running")))
        waiting = start_call(sql_thread.ask(0.05, working("waiting")))
        assert session.begun.wait(10)  # in the thread of the reactor: no deadline comes meanwhile
        for one in (waiting, running):
            with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.\d+ s"):
                await one
        await sql_thread.ask(5, working("after"))

    run(main)
    assert session.interrupted == 1
    assert session.done[-1:] == ["after"] or sorted(session.done) == ["after", "running"]  # two threads: the first was replaced
    assert "waiting" not in session.done


def test_a_caller_that_cancels_does_not_stop_the_work(sql_thread: SqlThread[FakeSession], session: FakeSession) -> None:
    async def main() -> None:
        held = start_call(sql_thread.ask(5, holding("held")))
        given_up = start_call(sql_thread.ask(5, working("given up")))
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        session.released.set()
        await held
        await sql_thread.ask(5, working("after"))

    run(main)
    assert session.done == ["held", "given up", "after"]


def test_stop_finishes_the_waiting_calls_and_closes_the_session_in_its_own_thread(reactor: Any, session: FakeSession) -> None:
    sql_thread: SqlThread[FakeSession] = SqlThread(reactor, "closing", lambda: session, waiting_max=3)
    sql_thread.start()

    async def main() -> None:
        held = start_call(sql_thread.ask(5, holding("held")))
        closing = start_call(sql_thread.stop(5))
        with pytest.raises(StoreUnavailable, match="is closed"):
            await sql_thread.ask(5, working("too late"))
        await deferLater(reactor, 0.01, session.released.set)
        await closing
        assert await held == "held"
        await sql_thread.stop(5)

    run(main)
    assert session.done == ["held"]
    assert session.closed_by == "closing"


class SlowToCloseSession(FakeSession):
    """A session that records when it begins to close and when it is closed."""

    def __init__(self, name: str, steps: list[str]) -> None:
        super().__init__()
        self.name, self.steps = name, steps

    def close(self) -> None:
        self.steps.append(f"{self.name} closes")
        time.sleep(0.05)
        self.steps.append(f"{self.name} is closed")


def test_the_threads_of_one_store_close_one_after_another(reactor: Any) -> None:
    """If two handles of SQLite close at the same moment, neither writes the log into the file."""
    steps: list[str] = []
    threads: list[SqlThread[FakeSession]] = []
    for name in "abc":
        threads.append(SqlThread(reactor, name, lambda name=name: SlowToCloseSession(name, steps), waiting_max=3))  # type: ignore[misc]
        threads[-1].start()
    run(lambda: stop_threads(threads, 5))
    assert steps == [f"{name} {step}" for name in "abc" for step in ("closes", "is closed")]


class FakeStore:
    """A store that can be silent. Each thread of a SqlThread has a connection of its own to it."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        self.hangs = threading.Event()
        self.asked = threading.Event()
        self.made: list[str] = []
        self.connections: list[FakeConnection] = []

    def connect(self) -> FakeConnection:
        self.connections.append(FakeConnection(self))
        return self.connections[-1]


class FakeConnection:
    """A connection that gets no answer while the store is silent, and cannot be interrupted either while the store ``hangs``."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.interrupted = threading.Event()
        self.closed = threading.Event()

    def ask(self, name: str) -> str:
        self.store.asked.set()
        while self.store.silent.is_set():
            time.sleep(0.01)
            if self.interrupted.is_set() and not self.store.hangs.is_set():
                raise StoreUnavailable("interrupted")
        if self.interrupted.is_set():
            raise StoreUnavailable("interrupted")
        self.store.made.append(name)
        return name

    def time_out(self) -> str:
        time.sleep(0.05)
        raise StoreSilent("no answer in 0.05 s")

    def probe(self) -> None:
        self.ask("probe")

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed.set()


class FakeMeter:
    def __init__(self) -> None:
        self.replaced = 0

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        assert (name, labels) == ("sql_threads_replaced_total", {"thread": "silent"})
        self.replaced += by


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.silent.clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in [("SILENT_S_MIN", 0.05), ("PROBE_EVERY_S", 0.05), ("PROBE_S_MAX", 0.2), ("RETURN_S_MAX", 0.1)]:
        monkeypatch.setattr(thread_module, name, seconds)


def silent_thread(reactor: Any, store: FakeStore, meter: FakeMeter | None = None) -> SqlThread[FakeConnection]:
    sql_thread: SqlThread[FakeConnection] = SqlThread(reactor, "silent", store.connect, waiting_max=100, meter=meter)
    sql_thread.start()
    return sql_thread


def refused_at_once(sql_thread: SqlThread[FakeConnection]) -> None:
    """Assert that a call is refused before the reactor or another thread does anything for it."""
    with pytest.raises(StoreAway, match="does not answer"):
        result_of(sql_thread.ask(5, lambda connection: connection.ask("refused")))


async def answered_again(reactor: Any, sql_thread: SqlThread[FakeConnection]) -> None:
    """Wait until the thread makes calls again."""
    for _ in range(300):
        try:
            assert await sql_thread.ask(5, lambda connection: connection.ask("back")) == "back"
        except StoreAway:
            await deferLater(reactor, 0.05)
        else:
            return
    raise AssertionError("the store answers, and calls are still refused")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("hangs", [False, True])
def test_after_one_unanswered_call_all_calls_are_refused_at_once_until_the_store_answers(
    hangs: bool, reactor: Any, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "SILENT_S_MIN", 0.0)
    if not hangs:
        monkeypatch.setattr(thread_module, "RETURN_S_MAX", 2.0)  # no thread counts as one that hangs because it got no turn
    counts = FakeMeter()
    sql_thread = silent_thread(reactor, store, counts)

    async def main() -> None:
        store.silent.set()
        if hangs:
            store.hangs.set()
        first = start_call(sql_thread.ask(0.2, lambda connection: connection.ask("first")))
        waiting = [start_call(sql_thread.ask(5, lambda connection: connection.ask("waiting"))) for _ in range(50)]
        assert store.asked.wait(10)  # in the thread of the reactor: the deadline does not come meanwhile
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await first
        for one in waiting:
            with pytest.raises(StoreAway, match="does not answer"):
                await one
        refused_at_once(sql_thread)
        await deferLater(reactor, 0.5)
        refused_at_once(sql_thread)
        store.silent.clear()
        await answered_again(reactor, sql_thread)
        if not hangs:
            await deferLater(reactor, 2.2)  # the thread would be counted now
        await sql_thread.stop(5)

    run(main)
    assert set(store.made) == {"probe", "back"}
    assert (counts.replaced > 0) is hangs
    wait_for(lambda: all(connection.closed.is_set() for connection in store.connections))


@pytest.mark.usefixtures("quick")
def test_an_unanswered_call_opens_the_circuit_before_the_next_call_begins(reactor: Any, store: FakeStore) -> None:
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        in_vain = start_call(sql_thread.ask(5, lambda connection: connection.time_out()))
        waiting = start_call(sql_thread.ask(5, lambda connection: connection.ask("waiting")))
        with pytest.raises(StoreSilent):
            await in_vain
        with pytest.raises(StoreAway):
            await waiting
        await answered_again(reactor, sql_thread)
        await sql_thread.stop(5)

    run(main)
    assert (store.made[0], set(store.made), store.made.count("back")) == ("probe", {"probe", "back"}, 1)


@pytest.mark.usefixtures("quick")
def test_the_number_of_hanging_threads_is_limited(reactor: Any, store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "SPARE_THREADS_MAX", 3)
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        store.silent.set()
        store.hangs.set()
        with pytest.raises(StoreUnavailable):
            await sql_thread.ask(0.1, lambda connection: connection.ask("first"))
        await deferLater(reactor, 1)
        assert len(store.connections) <= 1 + 3
        store.silent.clear()
        await answered_again(reactor, sql_thread)
        await sql_thread.stop(5)

    run(main)


@pytest.mark.parametrize("hangs", [False, True])
def test_stop_ends_in_time_while_the_store_is_silent_or_hangs(hangs: bool, reactor: Any, store: FakeStore) -> None:
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        store.silent.set()
        if hangs:
            store.hangs.set()
        waiting = [start_call(sql_thread.ask(60, lambda connection: connection.ask("late"))) for _ in range(3)]
        begun = time.monotonic()
        await sql_thread.stop(0.2)
        assert time.monotonic() - begun < 15, "it does not wait for the calls"
        store.silent.clear()
        for one in waiting[1:]:
            with pytest.raises(StoreAway, match="is closed"):
                await one
        with pytest.raises(StoreUnavailable):
            await waiting[0]

    run(main)
    assert store.made == []


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_call_whose_deadline_has_passed_takes_no_place_in_the_queue(sql_thread: SqlThread[FakeSession]) -> None:
    """Calls come so late when the process was stopped for a while."""
    for _ in range(5):  # more calls than the queue has places
        with pytest.raises(StoreAway):
            run(lambda: sql_thread.ask(-0.3, lambda _: 1))
    assert run(lambda: sql_thread.ask(10.0, lambda _: 1)) == 1
