"""Helpers for the tests of the Redis stores: a meter, a connected client, captured log lines, waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from scoreboard.boundaries.health import Meter
from scoreboard.domain.standings import Standing
from scoreboard.storage.redis.client import RedisClient
from tests.pauses import within

NOW_MS = 1_790_000_000_000


class CountingMeter:
    """Counts by name and label values, and keeps each gauge's last value and the order of all changes."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.changes: list[tuple[str, float]] = []

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        answered = " ".join([name, *labels.values()])
        self.counts[answered] = self.counts.get(answered, 0) + by

    def observe(self, name: str, seconds: float) -> None: ...

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value
        self.changes.append((name, value))


def the_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@asynccontextmanager
async def linked(url: str, meter: Meter | None = None, *, deadline_ms: int = 5_000) -> AsyncIterator[RedisClient]:
    """A client that is up, and is stopped in the end. Its calls are patient: a test of deadlines gives its own."""
    client = RedisClient(url, the_reactor(), meter or CountingMeter(), deadline_ms=deadline_ms)
    await client.start()
    try:
        await client.reached(20_000)
        yield client
    finally:
        await client.stop()


@contextmanager
def logged(*namespaces: str) -> Iterator[list[str]]:
    """The log lines meanwhile, as "level text"; with ``namespaces`` only those of loggers with such an ending."""
    text_lines: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if not namespaces or str(event.get("log_namespace")).endswith(namespaces):
            text_lines.append(f"{event['log_level'].name} {formatEvent(event)}")

    globalLogPublisher.addObserver(observe)
    try:
        yield text_lines
    finally:
        globalLogPublisher.removeObserver(observe)


async def passed(ms: float) -> None:
    """Wait for this much real time."""
    await deferLater(the_reactor(), ms / 1000)


async def until(true: Callable[[], bool], within_ms: int = 20_000) -> None:
    """Wait until ``true`` returns True. Fails after ``within_ms`` without the pauses of the machine."""
    with within(within_ms / 1000):
        until_s = the_reactor().seconds() + 20
        while not true():
            assert the_reactor().seconds() < until_s, "it did not come true in time"
            await passed(2)


def standing(
    user_id: str, points: int, version: int = 1, reached_at_ms: int | None = NOW_MS, username: str | None = None
) -> Standing:
    return Standing(
        user_id=user_id,
        username=username or user_id.upper(),
        avatar=None,
        points=points,
        version=version,
        reached_at_ms=reached_at_ms,
        updated_at_ms=NOW_MS if reached_at_ms is None else reached_at_ms,
    )
