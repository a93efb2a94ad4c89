"""The contract of session stores, tested in memory and with a real Redis, and what the Redis one adds."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.board_pages import Around, RankRange
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.saved_session import SESSION_KEPT_S, RoomSubscription, SavedSession, Subscriptions
from scoreboard.storage.memory.sessions import MemorySessionStore
from scoreboard.storage.redis import sessions as module
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.sessions import RedisSessionStore
from tests.awaiting import result_of, run
from tests.pauses import within
from tests.storage_redis.harness import CountingMeter, linked, passed, the_reactor
from tests.storage_redis.redis_server import RedisServer

ROOMS = Subscriptions(
    leaderboard=RoomSubscription(since=Cursor(epoch=3, seq=17), rows=True),
    views=(Around(user_id="amy", rows=5), RankRange(offset=100, limit=50)),
    spectated=("bob",),
)
PID = "p" * 24
AMY = SavedSession(sid="sid", pid=PID, user_id="amy", subscriptions=ROOMS)
#: What release 0.3.0 writes for the session above: servers of both releases share a Redis during an upgrade.
AMY_BY_0_3_0 = (
    b'{"sid":"sid","pid":"pppppppppppppppppppppppp","user_id":"amy",'
    b'"rooms":{"leaderboard":{"since":{"epoch":3,"seq":17},"rows":true},'
    b'"views":[{"type":"around","user_id":"amy","rows":5},{"type":"stretch","offset":100,"limit":50}],"spectated":["bob"]}}'
)


class ContractCase(Protocol):
    def __call__(self, session_store: SessionStore) -> Coroutine[Any, Any, None]: ...


async def a_session_is_restored_once(session_store: SessionStore) -> None:
    session_store.persist(AMY)
    assert await session_store.restore(PID, "amy") == AMY
    assert await session_store.restore(PID, "amy") is None


async def a_session_can_be_saved_again(session_store: SessionStore) -> None:
    for sid in ("one", "two"):
        session_store.persist(SavedSession(sid=sid, pid=PID, user_id="amy"))
        assert await session_store.restore(PID, "amy") == SavedSession(sid=sid, pid=PID, user_id="amy")


async def another_user_restores_nothing_and_the_session_stays(session_store: SessionStore) -> None:
    session_store.persist(AMY)
    for user_id in ("bob", "am", "amy:", "", "amy\0"):
        assert await session_store.restore(PID, user_id) is None
    assert await session_store.restore(PID, "amy") == AMY


async def a_user_id_never_continues_a_pid(session_store: SessionStore) -> None:
    session_store.persist(SavedSession(sid="sid", pid=PID, user_id="a:amy"))
    assert await session_store.restore(f"{PID}:a", "amy") is None


async def text_that_is_no_pid_finds_no_session(session_store: SessionStore) -> None:
    for pid in ("", "x", "x" * 65, "x" * 5_000, "../state", "é" * 24, "a b", "a\n"):
        assert await session_store.restore(pid, "amy") is None


@pytest.mark.parametrize(
    "case",
    [
        a_session_is_restored_once,
        a_session_can_be_saved_again,
        another_user_restores_nothing_and_the_session_stays,
        a_user_id_never_continues_a_pid,
        text_that_is_no_pid_finds_no_session,
    ],
)
def test_session_stores_keep_the_contract(redis_server: RedisServer, case: ContractCase) -> None:
    result_of(case(MemorySessionStore(Clock().seconds)))

    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url) as client:
            await case(in_redis(client))

    run(main)


def in_redis(client: RedisClient, meter: CountingMeter | None = None) -> RedisSessionStore:
    return RedisSessionStore(client, the_reactor(), meter or CountingMeter())


def test_a_session_is_kept_for_two_minutes_and_no_longer(redis_server: RedisServer) -> None:
    clock = Clock()
    session_store = MemorySessionStore(clock.seconds)
    for seconds, found in ((SESSION_KEPT_S - 1, AMY), (SESSION_KEPT_S, None)):
        session_store.persist(AMY)
        clock.advance(seconds)
        assert result_of(session_store.restore(PID, "amy")) == found

    async def main() -> None:
        async with linked(redis_server.url) as client:
            in_redis(client).persist(AMY)
            assert SESSION_KEPT_S - 5 < await client.call("TTL", f"absent:{PID}:amy") <= SESSION_KEPT_S

    run(main)


def test_any_process_can_restore_a_session_and_only_one_gets_it(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client, linked(redis_server.url) as another:
            kept = in_redis(client)
            kept.persist(AMY)
            await kept.settled()
            asked = [ensureDeferred(in_redis(one).restore(PID, "amy")) for one in (client, another, client, another)]
            assert sorted([await one is not None for one in asked]) == [False, False, False, True]

    run(main)


def test_a_session_of_another_release_is_read_as_far_as_possible_or_ignored(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client:
            more = b'{"sid":"s","pid":"p","user_id":"amy","rooms":{"view":[1]},"new":true}'
            cases = ((more, SavedSession(sid="s", pid="p", user_id="amy")), (AMY_BY_0_3_0, AMY), (b'{"sid":7}', None))
            for written, found in (*cases, (b"\xff", None)):
                await client.call("SET", f"absent:{PID}:amy", written)
                assert await in_redis(client).restore(PID, "amy") == found

    run(main)


def test_a_session_is_written_as_release_0_3_0_reads_it(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client:
            in_redis(client).persist(AMY)
            await in_redis(client).settled()
            assert await client.call("GET", f"absent:{PID}:amy") == AMY_BY_0_3_0

    run(main)


def test_settled_returns_when_all_sessions_are_in_redis(redis_server: RedisServer) -> None:
    async def main() -> None:
        redis_server.flush()
        async with linked(redis_server.url, deadline_ms=5_000) as client:
            session_store = in_redis(client)
            for number in range(1_000):
                session_store.persist(SavedSession(sid="s", pid=f"{number}", user_id="amy"))
            await session_store.settled()
        async with linked(redis_server.url) as client:
            assert await client.call("DBSIZE") == 1_000

    run(main)


def test_settled_waits_for_a_session_that_is_restored_and_saved_again_at_once(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with linked(redis_server.url) as client:
            session_store = in_redis(client)
            session_store.persist(AMY)

            async def restore_and_persist() -> None:
                taken = await session_store.restore(PID, "amy")
                assert taken is not None
                session_store.persist(taken)

            under_way: Deferred[None] = ensureDeferred(restore_and_persist())
            await session_store.settled()
            assert under_way.called
        async with linked(redis_server.url) as client:
            assert await in_redis(client).restore(PID, "amy") == AMY

    run(main)


def test_without_redis_nothing_is_saved_nothing_is_found_and_no_call_waits() -> None:
    async def main() -> None:
        meter = CountingMeter()
        session_store = in_redis(RedisClient("unix:///nowhere", the_reactor(), meter), meter)
        session_store.persist(AMY)
        assert await session_store.restore(PID, "amy") is None
        await session_store.settled()
        assert meter.counts["saved_sessions_dropped_total"] == 1

    run(main)


def test_a_call_to_a_silent_redis_ends_at_its_deadline(redis_server: RedisServer) -> None:
    async def main() -> None:
        meter = CountingMeter()
        async with linked(redis_server.url, meter, deadline_ms=100) as client:
            session_store = in_redis(client, meter)
            redis_server.stop()
            try:
                with within(1.0):
                    session_store.persist(AMY)
                    assert await session_store.restore(PID, "amy") is None
                    await session_store.settled()
                assert meter.counts["saved_sessions_dropped_total"] == 1
            finally:
                redis_server.cont()
                await passed(20)

    run(main)


def test_the_number_of_sessions_under_way_is_bounded(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEPING_MAX", 3)

    async def main() -> None:
        redis_server.flush()
        meter = CountingMeter()
        async with linked(redis_server.url, meter) as client:
            session_store = in_redis(client, meter)
            for number in range(5):
                session_store.persist(SavedSession(sid="s", pid=f"{number}", user_id="amy"))
            await session_store.settled()
            assert await client.call("DBSIZE") == 3
            assert meter.counts["saved_sessions_dropped_total"] == 2
            session_store.persist(AMY)
            assert await session_store.restore(PID, "amy") == AMY

    run(main)
