"""Background work of the Redis stores: an unexpected failure is logged with its traceback and counted, and the work goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scoreboard.domain.limits import Hit, Limit
from scoreboard.domain.saved_session import SavedSession
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis import client as client_module
from scoreboard.storage.redis.batcher import Batcher
from scoreboard.storage.redis.embedded import EmbeddedRedis
from scoreboard.storage.redis.embedded_process import RedisProcess
from scoreboard.storage.redis.info import read_info
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from scoreboard.storage.redis.sessions import RedisSessionStore
from tests.storage_redis.harness import CountingMeter, linked, the_reactor, until
from tests.storage_redis.redis_server import RedisServer
from tests.storage_redis.test_embedded import child_pid, watched


@dataclass
class Setting:
    """What a case needs: a Redis, an own directory, and a meter."""

    server: RedisServer
    data_dir: Path
    monkeypatch: pytest.MonkeyPatch
    meter: CountingMeter = field(default_factory=CountingMeter)


def fails_once(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose first call raises RuntimeError."""
    calls: list[None] = []

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == 1:
            raise RuntimeError("unexpected")
        return work(*arguments, **named)

    return call


def nothing() -> None:
    """A callback that does nothing."""


async def connecting(setting: Setting) -> None:
    async with linked(setting.server.url, setting.meter) as client:
        client.on_up(fails_once(nothing))
        setting.server.tell("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: setting.meter.counts != {})
        await until(lambda: client.up)
        await client.ping()


async def checking(setting: Setting) -> None:
    async with linked(setting.server.url, setting.meter) as client:
        setting.monkeypatch.setattr(client_module, "read_info", fails_once(read_info))
        await until(lambda: not client.up)
        await until(lambda: client.up)
        await client.ping()


async def connecting_a_subscription(setting: Setting) -> None:
    stood: list[bool] = []
    async with linked(setting.server.url, setting.meter) as client:
        client.subscribe("news", print, fails_once(lambda: stood.append(True)))
        await until(lambda: stood == [True] and client.conditions()[-1].ok)


async def checking_a_subscription(setting: Setting) -> None:
    stood: list[bool] = []
    async with linked(setting.server.url, setting.meter) as client:
        client.subscribe("news", print, lambda: stood.append(True))
        await until(lambda: stood == [True])
        setting.monkeypatch.setattr(client, "call", fails_once(client.call))
        await until(lambda: stood == [True, True] and client.conditions()[-1].ok)


async def saving_a_session(setting: Setting) -> None:
    async with linked(setting.server.url) as client:
        store = RedisSessionStore(client, the_reactor(), setting.meter)
        setting.monkeypatch.setattr(client, "call", fails_once(client.call))
        for pid in ("first", "second"):
            store.persist(SavedSession(pid=pid, sid="sid", user_id="ann"))
        await store.settled()
        assert await store.restore("first", "ann") is None
        assert await store.restore("second", "ann") is not None


async def checking_limits(setting: Setting) -> None:
    setting.server.flush()
    async with linked(setting.server.url) as client:
        local = MemoryRateLimiter(lambda: 1_000)
        rate_limiter = RedisRateLimiter(client, local, the_reactor(), setting.meter)
        setting.monkeypatch.setattr(client, "run", fails_once(client.run))
        hit = Hit(limit=Limit(name="submit", quota=2, window_ms=60_000), subject="ann")
        refused = [(await rate_limiter.check([hit])).refused for _ in range(3)]
        assert refused == [None, None, "submit"], "a batch that failed is judged by the windows of this process"


async def flushing_a_batch(setting: Setting) -> None:
    clock, flushed = Clock(), list[list[str]]()

    def flush(items: list[str]) -> Deferred[None]:
        flushed.append(items)
        return fail(RuntimeError("unexpected"))

    for failing in (fails_once(flush), flush):
        batcher: Batcher[str] = Batcher(clock, setting.meter, failing, 10)
        flushed.clear()
        for item in ("a", "b"):
            batcher.add(item)
            clock.advance(0)
        assert flushed[-1] == ["b"]


def embedded(setting: Setting) -> EmbeddedRedis:
    return EmbeddedRedis(setting.data_dir, the_reactor(), setting.meter, hung_s=0.5)


async def keeping_the_embedded_redis(setting: Setting) -> None:
    redis = embedded(setting)
    setting.monkeypatch.setattr(RedisProcess, "spawn", fails_once(RedisProcess.spawn))
    await redis.start()
    await redis.ready
    assert child_pid(setting.data_dir) is not None
    await redis.stop()


async def watching_the_embedded_redis(setting: Setting) -> None:
    redis = embedded(setting)
    setting.monkeypatch.setattr(redis, "_answers", fails_once(redis._answers))
    await redis.start()
    await redis.ready
    await until(lambda: setting.meter.counts != {})
    first = child_pid(setting.data_dir)
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    await until(lambda: child_pid(setting.data_dir) not in (None, first))
    await redis.stop()


@pytest.mark.parametrize(
    ("task", "case"),
    [
        ("redis_connection", connecting),
        ("redis_check", checking),
        ("redis_connection", connecting_a_subscription),
        ("redis_check", checking_a_subscription),
        ("saved_session", saving_a_session),
        ("rate_limiter", checking_limits),
        ("redis_batch", flushing_a_batch),
        ("embedded_redis", keeping_the_embedded_redis),
        ("embedded_redis_watch", watching_the_embedded_redis),
    ],
)
def test_background_work_that_fails_is_logged_and_counted_and_goes_on(
    task: str,
    case: Callable[[Setting], Coroutine[Any, Any, None]],
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting(server=redis_server, data_dir=tmp_path / "var", monkeypatch=monkeypatch)
    events: list[dict[str, Any]] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    try:
        watched(lambda: case(setting))
    finally:
        globalLogPublisher.removeObserver(observer)
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert [failure.type for failure in failures] == [RuntimeError] * len(failures)
    assert setting.meter.counts[f"background_failures_total {task}"] == len(failures) > 0
    assert all("RuntimeError: unexpected" in failure.getTraceback() for failure in failures)
