"""The lane: one thread, calls in turn, every answer by its deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater

from scoreboard.boundaries import StoreUnavailable
from scoreboard.storage.lane import Lane
from tests.awaiting import run


class Workshop:
    """Something blocking: work that holds its thread until told, or until it is interrupted."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.released = threading.Event()
        self.interrupted = 0
        self.closed_by: str | None = None

    def work(self, name: str) -> str:
        self.done.append(name)
        return name

    def hold(self, name: str) -> str:
        self.released.wait(10)
        return self.work(name)

    def fail(self) -> None:
        raise LookupError("of the work itself")

    def interrupt(self) -> None:
        self.interrupted += 1
        self.released.set()

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def lane(reactor: Any, workshop: Workshop) -> Iterator[Lane]:
    lane = Lane(reactor, "lane under test", workshop, waiting_max=3)
    lane.start()
    yield lane
    workshop.released.set()
    run(lane.close)


def later(coroutine: Any) -> Deferred[Any]:
    return ensureDeferred(coroutine)


def test_calls_are_made_in_turn_in_one_thread_and_answered(lane: Lane, workshop: Workshop) -> None:
    async def main() -> Any:
        answers = await DeferredList([later(lane.ask(5, workshop.work, name)) for name in "abc"])
        return answers, await lane.ask(5, threading.current_thread)

    answers, thread = run(main)
    assert [answer for _, answer in answers] == workshop.done == ["a", "b", "c"]
    assert thread.name == "lane under test"


def test_an_error_of_the_work_reaches_who_asked_and_the_lane_goes_on(lane: Lane, workshop: Workshop) -> None:
    async def main() -> str:
        with pytest.raises(LookupError, match="of the work itself"):
            await lane.ask(5, workshop.fail)
        return await lane.ask(5, workshop.work, "next")

    assert run(main) == "next"


def test_who_comes_when_too_many_wait_is_refused_at_once(lane: Lane, workshop: Workshop) -> None:
    async def main() -> None:
        waiting = [later(lane.ask(5, workshop.hold, name)) for name in "abc"]
        with pytest.raises(StoreUnavailable, match="takes no more"):
            await lane.ask(5, workshop.work, "d")
        workshop.released.set()
        await DeferredList(waiting)
        await lane.ask(5, workshop.work, "e")

    run(main)
    assert workshop.done == ["a", "b", "c", "e"]


def test_at_the_deadline_what_runs_is_interrupted_and_what_waits_is_never_made(lane: Lane, workshop: Workshop) -> None:
    async def main() -> None:
        running = later(lane.ask(0.05, workshop.hold, "running"))
        waiting = later(lane.ask(0.04, workshop.work, "waiting"))
        for one in (waiting, running):
            with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.0. s"):
                await one
        await lane.ask(5, workshop.work, "after")

    run(main)
    assert workshop.interrupted == 1
    assert workshop.done == ["running", "after"]


def test_who_gives_up_waiting_does_not_stop_the_work(lane: Lane, workshop: Workshop) -> None:
    async def main() -> None:
        held = later(lane.ask(5, workshop.hold, "held"))
        given_up = later(lane.ask(5, workshop.work, "given up"))
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        workshop.released.set()
        await held
        await lane.ask(5, workshop.work, "after")

    run(main)
    assert workshop.done == ["held", "given up", "after"]


def test_closing_finishes_what_waits_then_lets_go_in_the_lanes_own_thread(reactor: Any, workshop: Workshop) -> None:
    lane = Lane(reactor, "closing", workshop, waiting_max=3)
    lane.start()

    async def main() -> None:
        held = later(lane.ask(5, workshop.hold, "held"))
        closing = later(lane.close())
        with pytest.raises(StoreUnavailable, match="is closed"):
            await lane.ask(5, workshop.work, "too late")
        await deferLater(reactor, 0.01, workshop.released.set)
        await closing
        assert await held == "held"
        await lane.close()

    run(main)
    assert workshop.done == ["held"]
    assert workshop.closed_by == "closing"
