"""The lane: one thread at a time, calls in turn, every answer by its deadline; away while its store is silent."""

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
from tests.awaiting import run


class Workshop:
    """Something blocking: work that holds its thread until told, or until it is interrupted."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.released = threading.Event()
        self.interrupted = 0
        self.probed = 0
        self.closed_by: str | None = None

    def work(self, name: str) -> str:
        self.done.append(name)
        return name

    def hold(self, name: str) -> str:
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


def working(name: str) -> Callable[[Workshop], str]:
    return lambda shop: shop.work(name)


def holding(name: str) -> Callable[[Workshop], str]:
    return lambda shop: shop.hold(name)


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def sql_thread(reactor: Any, workshop: Workshop) -> Iterator[SqlThread[Workshop]]:
    sql_thread: SqlThread[Workshop] = SqlThread(reactor, "lane under test", lambda: workshop, waiting_max=3)
    sql_thread.start()
    yield sql_thread
    workshop.released.set()
    run(lambda: sql_thread.stop(5))


def later(coroutine: Any) -> Deferred[Any]:
    return ensureDeferred(coroutine)


def test_calls_are_made_in_turn_in_one_thread_and_answered(sql_thread: SqlThread[Workshop], workshop: Workshop) -> None:
    async def main() -> Any:
        answers = await DeferredList([later(sql_thread.ask(5, working(name))) for name in "abc"])
        return answers, await sql_thread.ask(5, lambda _: threading.current_thread())

    answers, thread = run(main)
    assert [answer for _, answer in answers] == workshop.done == ["a", "b", "c"]
    assert thread.name == "lane under test"


def test_an_error_of_the_work_reaches_who_asked_and_the_lane_goes_on(sql_thread: SqlThread[Workshop], workshop: Workshop) -> None:
    async def main() -> str:
        with pytest.raises(LookupError, match="of the work itself"):
            await sql_thread.ask(5, lambda shop: shop.fail())
        return await sql_thread.ask(5, working("next"))

    assert run(main) == "next"


def test_who_comes_when_too_many_wait_is_refused_at_once(sql_thread: SqlThread[Workshop], workshop: Workshop) -> None:
    async def main() -> None:
        waiting = [later(sql_thread.ask(5, holding(name))) for name in "abc"]
        with pytest.raises(StoreUnavailable, match="takes no more"):
            await sql_thread.ask(5, working("d"))
        workshop.released.set()
        await DeferredList(waiting)
        await sql_thread.ask(5, working("e"))

    run(main)
    assert workshop.done == ["a", "b", "c", "e"]


def test_at_the_deadline_what_runs_is_interrupted_and_what_waits_is_never_made(
    sql_thread: SqlThread[Workshop], workshop: Workshop
) -> None:
    async def main() -> None:
        running = later(sql_thread.ask(0.05, holding("running")))
        waiting = later(sql_thread.ask(0.04, working("waiting")))
        for one in (waiting, running):
            with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.0. s"):
                await one
        await sql_thread.ask(5, working("after"))

    run(main)
    assert workshop.interrupted == 1
    assert workshop.done[-1:] == ["after"] or sorted(workshop.done) == ["after", "running"]  # two threads: the first was replaced
    assert "waiting" not in workshop.done


def test_who_gives_up_waiting_does_not_stop_the_work(sql_thread: SqlThread[Workshop], workshop: Workshop) -> None:
    async def main() -> None:
        held = later(sql_thread.ask(5, holding("held")))
        given_up = later(sql_thread.ask(5, working("given up")))
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        workshop.released.set()
        await held
        await sql_thread.ask(5, working("after"))

    run(main)
    assert workshop.done == ["held", "given up", "after"]


def test_closing_finishes_what_waits_then_lets_go_in_the_lanes_own_thread(reactor: Any, workshop: Workshop) -> None:
    sql_thread: SqlThread[Workshop] = SqlThread(reactor, "closing", lambda: workshop, waiting_max=3)
    sql_thread.start()

    async def main() -> None:
        held = later(sql_thread.ask(5, holding("held")))
        closing = later(sql_thread.stop(5))
        with pytest.raises(StoreUnavailable, match="is closed"):
            await sql_thread.ask(5, working("too late"))
        await deferLater(reactor, 0.01, workshop.released.set)
        await closing
        assert await held == "held"
        await sql_thread.stop(5)

    run(main)
    assert workshop.done == ["held"]
    assert workshop.closed_by == "closing"


class SlowToClose(Workshop):
    """Notes when it begins to close and when it has closed."""

    def __init__(self, name: str, steps: list[str]) -> None:
        super().__init__()
        self.name, self.steps = name, steps

    def close(self) -> None:
        self.steps.append(f"{self.name} closes")
        time.sleep(0.05)
        self.steps.append(f"{self.name} is closed")


def test_lanes_of_one_store_close_one_after_another(reactor: Any) -> None:
    """Two handles of SQLite that close at the same moment each leave the log to the other."""
    steps: list[str] = []
    threads: list[SqlThread[Workshop]] = []
    for name in "abc":
        threads.append(SqlThread(reactor, name, lambda name=name: SlowToClose(name, steps), waiting_max=3))  # type: ignore[misc]
        threads[-1].start()
    run(lambda: stop_threads(threads, 5))
    assert steps == [f"{name} {step}" for name in "abc" for step in ("closes", "is closed")]


class Store:
    """A store whose lines may be silent. Its lanes' threads come to it through a `Line` each."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        self.hangs = threading.Event()
        self.made: list[str] = []
        self.text_lines: list[EngineConnection] = []

    def text_line(self) -> EngineConnection:
        self.text_lines.append(EngineConnection(self))
        return self.text_lines[-1]


class EngineConnection:
    """Waits in vain while the store is silent; cannot even be interrupted while the store ``hangs``."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.interrupted = threading.Event()
        self.closed = threading.Event()

    def ask(self, name: str) -> str:
        while self.store.silent.is_set():
            time.sleep(0.01)
            if self.interrupted.is_set() and not self.store.hangs.is_set():
                raise StoreUnavailable("interrupted")
        if self.interrupted.is_set():
            raise StoreUnavailable("interrupted")
        self.store.made.append(name)
        return name

    def wait_in_vain(self) -> str:
        time.sleep(0.05)
        raise StoreSilent("no answer in 0.05 s")

    def probe(self) -> None:
        self.ask("probe")

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed.set()


class Counts:
    def __init__(self) -> None:
        self.replaced = 0

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        assert (name, labels) == ("sql_threads_replaced_total", {"thread": "silent"})
        self.replaced += by


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.silent.clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in [("SILENT_S_MIN", 0.05), ("PROBE_EVERY_S", 0.05), ("PROBE_S_MAX", 0.2), ("RETURN_S_MAX", 0.1)]:
        monkeypatch.setattr(thread_module, name, seconds)


def silent_thread(reactor: Any, store: Store, meter: Counts | None = None) -> SqlThread[EngineConnection]:
    sql_thread: SqlThread[EngineConnection] = SqlThread(reactor, "silent", store.text_line, waiting_max=100, meter=meter)
    sql_thread.start()
    return sql_thread


async def refused_at_once(sql_thread: SqlThread[EngineConnection]) -> None:
    begun = time.monotonic()
    with pytest.raises(StoreAway, match="does not answer"):
        await sql_thread.ask(5, lambda text_line: text_line.ask("refused"))
    assert time.monotonic() - begun < 0.01


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("hangs", [False, True])
def test_after_the_first_silence_all_are_refused_at_once_until_the_store_answers(hangs: bool, reactor: Any, store: Store) -> None:
    counts = Counts()
    sql_thread = silent_thread(reactor, store, counts)

    async def main() -> None:
        store.silent.set()
        if hangs:
            store.hangs.set()
        first = later(sql_thread.ask(0.2, lambda text_line: text_line.ask("first")))
        waiting = [later(sql_thread.ask(5, lambda text_line: text_line.ask("waiting"))) for _ in range(50)]
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await first
        for one in waiting:
            with pytest.raises(StoreAway, match="does not answer"):
                await one
        await refused_at_once(sql_thread)
        await deferLater(reactor, 0.5)
        await refused_at_once(sql_thread)
        store.silent.clear()
        await deferLater(reactor, 0.3)
        assert await sql_thread.ask(5, lambda text_line: text_line.ask("back")) == "back"
        await sql_thread.stop(5)

    run(main)
    assert set(store.made) == {"probe", "back"}
    assert (counts.replaced > 0) is hangs
    wait_for(lambda: all(text_line.closed.is_set() for text_line in store.text_lines))


@pytest.mark.usefixtures("quick")
def test_a_call_that_waited_in_vain_sends_the_lane_away_before_the_next_is_made(reactor: Any, store: Store) -> None:
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        in_vain = later(sql_thread.ask(5, lambda text_line: text_line.wait_in_vain()))
        waiting = later(sql_thread.ask(5, lambda text_line: text_line.ask("waiting")))
        with pytest.raises(StoreSilent):
            await in_vain
        with pytest.raises(StoreAway):
            await waiting
        await deferLater(reactor, 0.1)
        assert await sql_thread.ask(5, lambda text_line: text_line.ask("back")) == "back"
        await sql_thread.stop(5)

    run(main)
    assert store.made == ["probe", "back"]


@pytest.mark.usefixtures("quick")
def test_no_more_threads_hang_than_the_limit_allows(reactor: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_module, "SPARE_THREADS_MAX", 3)
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        store.silent.set()
        store.hangs.set()
        with pytest.raises(StoreUnavailable):
            await sql_thread.ask(0.1, lambda text_line: text_line.ask("first"))
        await deferLater(reactor, 1)
        assert len(store.text_lines) <= 1 + 3
        store.silent.clear()
        await deferLater(reactor, 0.3)
        assert await sql_thread.ask(5, lambda text_line: text_line.ask("back")) == "back"
        await sql_thread.stop(5)

    run(main)


@pytest.mark.parametrize("hangs", [False, True])
def test_closing_ends_in_time_whatever_hangs(hangs: bool, reactor: Any, store: Store) -> None:
    sql_thread = silent_thread(reactor, store)

    async def main() -> None:
        store.silent.set()
        if hangs:
            store.hangs.set()
        waiting = [later(sql_thread.ask(5, lambda text_line: text_line.ask("late"))) for _ in range(3)]
        begun = time.monotonic()
        await sql_thread.stop(0.2)
        assert time.monotonic() - begun < 0.5
        store.silent.clear()
        for one in waiting[1:]:
            with pytest.raises(StoreAway, match="is closed"):
                await one
        with pytest.raises(StoreUnavailable):
            await waiting[0]

    run(main)
    assert store.made == []


def wait_for(condition: Callable[[], bool], seconds: float = 2) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_who_asks_when_the_time_is_over_already_takes_no_place(sql_thread: SqlThread[Workshop]) -> None:
    """As a process that was stopped for a while does with what waited in line."""
    for _ in range(5):  # more than there are places
        with pytest.raises(StoreAway):
            run(lambda: sql_thread.ask(-0.3, lambda _: 1))
    assert run(lambda: sql_thread.ask(1.0, lambda _: 1)) == 1
