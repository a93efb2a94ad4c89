"""Rate limiter in Redis: windows and slots that all server processes share, checked in batches.

Each subject has two windows: the shared one in Redis, and one in this process (`MemoryRateLimiter`), which counts what Redis
admitted here. A hit must fit in both. When the window of the process is full, so is the shared one, and Redis is not asked. If
Redis does not answer, or lost its windows (it was emptied, or its clock was set forward), the window of the process still counts.
It has a monotonic clock, so one process never admits more than the quota in any window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from typing_extensions import override

from scoreboard.background import report_failure
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.limits import ConcurrencySlot, Hit, RateVerdict
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter, Use, use_of
from scoreboard.storage.redis.batcher import Batcher
from scoreboard.storage.redis.client import RedisClient, script
from scoreboard.storage.redis.rate_batch import Batch, LimitCheck, slots_key

_RATE_LIMIT: Final = script("rate_limit")
_RELEASE: Final = script("release")
_REQUESTS_PER_BATCH_MAX: Final = 128
#: How many windows of refused requests are shown to Redis in a second.
SHOWN_PER_SECOND_MAX: Final = 1_000


class RedisRateLimiter(RateLimiter):
    """Limits shared through Redis. ``local`` alone decides when Redis does not answer within ``deadline_ms``."""

    def __init__(
        self, client: RedisClient, local: MemoryRateLimiter, reactor: IReactorTime, meter: Meter, *, deadline_ms: int = 50
    ) -> None:
        self._client = client
        self._local = local
        self._meter = meter
        self._deadline_ms = deadline_ms
        self._shown: set[str] = set()
        self._shown_s = 0
        self._checks: Batcher[LimitCheck] = Batcher(reactor, meter, self._judge, _REQUESTS_PER_BATCH_MAX)

    @override
    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        uses = [use_of(hit) for hit in hits]
        if not self._client.up:
            self._meter.count("rate_limiter_degraded_total")
            return self._local.judge(uses, slot)
        refusal = self._local.refusal_of(uses)
        if refusal is not None:
            self._show_windows(uses)
            return refusal
        verdict: Deferred[RateVerdict] = Deferred()
        self._checks.add(LimitCheck(uses, slot, verdict))
        return await verdict

    @override
    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        given = list(slots)
        self._local.release(given)
        self._release_in_redis(given)  # a slot whose release does not reach Redis expires there

    def _show_windows(self, uses: Sequence[Use]) -> None:
        """Show Redis the windows of a request that was refused without asking it, each window once a second.

        So the script notices at once that Redis' clock was set back. Otherwise it would notice the step only when the window of
        this process is free again, and the user would wait for a second window.
        """
        second = self._local.now_ms() // 1000
        if second != self._shown_s:
            self._shown_s = second
            self._shown.clear()
        not_shown = [Use(use.key, use.limit, 0) for use in uses if use.key not in self._shown]
        if not_shown and len(self._shown) < SHOWN_PER_SECOND_MAX:
            self._shown.update(use.key for use in not_shown)
            self._checks.add(LimitCheck(not_shown, None, None))

    def _judge(self, checks: list[LimitCheck]) -> Deferred[Any]:
        try:
            batch = Batch(checks)
            answer = self._client.run(_RATE_LIMIT, batch.keys, batch.arguments, self._deadline_ms)
            answer.addCallback(self._answered, batch)
        except Exception:
            answer = fail()
        return answer.addErrback(self._unanswered, checks)

    def _answered(self, reply: list[int], batch: Batch) -> None:
        verdicts = batch.verdicts(reply)
        all_fit = self._local.charge(batch.taken)
        for check, verdict in zip(batch.checks, verdicts, strict=True):
            if check.verdict is None:
                continue
            if verdict.refused is None:
                if not all_fit:
                    verdict = self._in_both(check, verdict)
                elif check.slot is not None:
                    self._local.hold(check.slot)
            check.verdict.callback(verdict)

    def _in_both(self, check: LimitCheck, shared: RateVerdict) -> RateVerdict:
        """The verdict of our own windows on a request that Redis admitted: Redis may have lost its counts.

        Redis keeps what it counted for a request that we refuse. This is rare: Redis then admits too few requests, not too many.
        """
        own = self._local.judge(check.uses, check.slot)
        if own.refused is None:
            return shared
        if check.slot is not None:
            self._release_in_redis([(check.slot.user_id, check.slot.holder)])
        return own

    def _unanswered(self, failure: Failure, checks: list[LimitCheck]) -> None:
        if not failure.check(StoreUnavailable):
            report_failure("rate_limiter", self._meter, failure)
        waiting = [(check, check.verdict) for check in checks if check.verdict is not None and not check.verdict.called]
        self._meter.count("rate_limiter_degraded_total", len(waiting))
        for check, verdict in waiting:
            verdict.callback(self._local.judge(check.uses, check.slot))

    def _release_in_redis(self, slots: list[tuple[str, str]]) -> None:
        self._client.tell(_RELEASE, [slots_key(user_id) for user_id, _ in slots], [holder for _, holder in slots])
