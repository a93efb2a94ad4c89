"""What is kept of clients that were lost: the promises, asked of the one in memory and of the one in a real Redis."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from scoreboard.boundaries import ABSENCE_S, Absentees
from scoreboard.domain.saved_session import Absence, Rooms, Stay
from scoreboard.domain.values import Around, Cursor, Stretch
from scoreboard.storage.memory.sessions import MemoryAbsentees
from scoreboard.storage.redis import sessions as module
from scoreboard.storage.redis.client import RedisLink
from scoreboard.storage.redis.sessions import RedisAbsentees
from tests.awaiting import result_of, run
from tests.storage_redis.redis_server import RedisServer
from tests.storage_redis.scenes import CountingMeter, linked, passed, the_reactor

ROOMS = Rooms(
    leaderboard=Stay(since=Cursor(epoch=3, seq=17), rows=True),
    views=(Around(user_id="amy", rows=5), Stretch(offset=100, limit=50)),
    spectated=("bob",),
)
PID = "p" * 24
AMY = Absence(sid="sid", pid=PID, user_id="amy", rooms=ROOMS)


class Promise(Protocol):
    def __call__(self, absentees: Absentees) -> Coroutine[Any, Any, None]: ...


async def what_is_kept_is_taken_once(absentees: Absentees) -> None:
    absentees.keep(AMY)
    assert await absentees.take(PID, "amy") == AMY
    assert await absentees.take(PID, "amy") is None


async def it_may_be_kept_again(absentees: Absentees) -> None:
    for sid in ("one", "two"):
        absentees.keep(Absence(sid=sid, pid=PID, user_id="amy"))
        assert await absentees.take(PID, "amy") == Absence(sid=sid, pid=PID, user_id="amy")


async def another_user_takes_nothing_and_leaves_it(absentees: Absentees) -> None:
    absentees.keep(AMY)
    for user_id in ("bob", "am", "amy:", "", "amy\0"):
        assert await absentees.take(PID, user_id) is None
    assert await absentees.take(PID, "amy") == AMY


async def no_user_id_continues_a_pid(absentees: Absentees) -> None:
    absentees.keep(Absence(sid="sid", pid=PID, user_id="a:amy"))
    assert await absentees.take(f"{PID}:a", "amy") is None


async def what_is_no_pid_is_nobodys(absentees: Absentees) -> None:
    for pid in ("", "x", "x" * 65, "x" * 5_000, "../state", "é" * 24, "a b", "a\n"):
        assert await absentees.take(pid, "amy") is None


@pytest.mark.parametrize(
    "promise",
    [
        what_is_kept_is_taken_once,
        it_may_be_kept_again,
        another_user_takes_nothing_and_leaves_it,
        no_user_id_continues_a_pid,
        what_is_no_pid_is_nobodys,
    ],
)
def test_absentees_keep_their_promises(redis_server: RedisServer, promise: Promise) -> None:
    result_of(promise(MemoryAbsentees(Clock().seconds)))

    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as link:
            await promise(in_redis(link))

    run(main)


def in_redis(link: RedisLink, meter: CountingMeter | None = None) -> RedisAbsentees:
    return RedisAbsentees(link, the_reactor(), meter or CountingMeter())


def test_two_minutes_and_no_longer(redis_server: RedisServer) -> None:
    clock = Clock()
    absentees = MemoryAbsentees(clock.seconds)
    for seconds, found in ((ABSENCE_S - 1, AMY), (ABSENCE_S, None)):
        absentees.keep(AMY)
        clock.advance(seconds)
        assert result_of(absentees.take(PID, "amy")) == found

    async def main() -> None:
        async with linked(redis_server.url) as link:
            in_redis(link).keep(AMY)
            assert ABSENCE_S - 5 < await link.call("TTL", f"absent:{PID}:amy") <= ABSENCE_S

    run(main)


def test_any_process_takes_it_and_only_one_gets_it(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as link, linked(redis_server.url) as another:
            kept = in_redis(link)
            kept.keep(AMY)
            await kept.settled()
            asked = [ensureDeferred(in_redis(one).take(PID, "amy")) for one in (link, another, link, another)]
            assert sorted([await one is not None for one in asked]) == [False, False, False, True]

    run(main)


def test_what_another_release_wrote_is_read_as_far_as_it_goes_or_is_nothing(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as link:
            more = b'{"sid":"s","pid":"p","user_id":"amy","rooms":{"view":[1]},"new":true}'
            for written, found in ((more, Absence(sid="s", pid="p", user_id="amy")), (b'{"sid":7}', None), (b"\xff", None)):
                await link.call("SET", f"absent:{PID}:amy", written)
                assert await in_redis(link).take(PID, "amy") == found

    run(main)


def test_settled_is_when_all_of_it_is_in_redis(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url, deadline_ms=5_000) as link:
            absentees = in_redis(link)
            for number in range(1_000):
                absentees.keep(Absence(sid="s", pid=f"{number}", user_id="amy"))
            await absentees.settled()
        async with linked(redis_server.url) as link:
            assert await link.call("DBSIZE") == 1_000

    run(main)


def test_who_takes_one_and_keeps_it_again_at_once_is_waited_for(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as link:
            absentees = in_redis(link)
            absentees.keep(AMY)

            async def take_and_keep() -> None:
                taken = await absentees.take(PID, "amy")
                assert taken is not None
                absentees.keep(taken)

            under_way: Deferred[None] = ensureDeferred(take_and_keep())
            await absentees.settled()
            assert under_way.called
        async with linked(redis_server.url) as link:
            assert await in_redis(link).take(PID, "amy") == AMY

    run(main)


def test_without_redis_nothing_is_kept_nothing_is_found_and_nobody_waits() -> None:
    async def main() -> None:
        meter = CountingMeter()
        absentees = in_redis(RedisLink("unix:///nowhere", the_reactor(), meter), meter)
        absentees.keep(AMY)
        assert await absentees.take(PID, "amy") is None
        await absentees.settled()
        assert meter.counts["absences_dropped_total"] == 1

    run(main)


def test_a_redis_that_is_silent_is_not_waited_for_beyond_the_deadline(redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(redis_server.url, meter, deadline_ms=100) as link:
            absentees = in_redis(link, meter)
            redis_server.stop()
            try:
                began_s = the_reactor().seconds()
                absentees.keep(AMY)
                assert await absentees.take(PID, "amy") is None
                await absentees.settled()
                assert the_reactor().seconds() - began_s < 1
                assert meter.counts["absences_dropped_total"] == 1
            finally:
                redis_server.cont()
                await passed(20)

    run(main)


def test_what_is_on_its_way_is_bounded(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPING_MAX", 3)

    async def main() -> None:
        redis_server.flush()
        meter = CountingMeter()
        async with linked(redis_server.url, meter) as link:
            absentees = in_redis(link, meter)
            for number in range(5):
                absentees.keep(Absence(sid="s", pid=f"{number}", user_id="amy"))
            await absentees.settled()
            assert await link.call("DBSIZE") == 3
            assert meter.counts["absences_dropped_total"] == 2
            absentees.keep(AMY)
            assert await absentees.take(PID, "amy") == AMY

    run(main)
