"""The gate in Redis: windows and places that all server processes share, asked for in batches.

Two windows stand for each subject: the shared one in Redis and this process's own (`MemoryGate`), which counts what Redis
admitted here. A hit must fit in both. The own window is a lower bound of the shared one, so when it is full Redis need not be
asked, and when Redis is gone, late or was emptied, the own window already knows what this process let through: from one
process nobody ever gets more than the quota in any window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import Gate, Meter, StoreUnavailable
from scoreboard.domain.limits import Hit, Limit, Slot, Verdict
from scoreboard.storage.memory_gate import MemoryGate, Outcome, Use, use_of, verdict_of, with_place
from scoreboard.storage.redis_link import RedisLink, script
from scoreboard.storage.redis_wire import Word
from scoreboard.storage.shuttle import Shuttle

_GATE: Final = script("gate")
_RELEASE: Final = script("release")
_REQUESTS_PER_BATCH_MAX: Final = 128
#: As scripts/gate.lua unpacks them: a limit's policy, quota, window and grain; a run's units and times.
_TERMS: Final = Struct("<BQQQ")
_HITS: Final = Struct("<QL")


class _Ask:
    """One request at the gate. Without ``verdict`` nobody waits: the hits are only to be counted."""

    __slots__ = ("slot", "uses", "verdict")

    def __init__(self, uses: Sequence[Use], slot: Slot | None, verdict: Deferred[Verdict] | None) -> None:
        self.uses, self.slot, self.verdict = uses, slot, verdict


class _Run:
    """The hits of a batch on one window with the same units: judged together, told apart by their order."""

    __slots__ = ("outcome", "times", "told", "use")

    def __init__(self, use: Use) -> None:
        self.use = use
        self.times = 0
        self.told = 0
        self.outcome = Outcome(0, 0, 0, 0)

    def next(self) -> Outcome:
        """The outcome of the next hit, in the order of the asks."""
        order = self.told
        self.told = order + 1
        whole = self.outcome
        if order >= whole.admitted:
            return Outcome(0, whole.left, whole.wait_ms, whole.wait_ms)
        return Outcome(1, whole.left + (whole.admitted - 1 - order) * self.use.units, whole.reset_ms, 0)


class RedisGate:
    """Limits shared through Redis; judged by ``local`` alone whenever Redis does not answer within ``deadline_ms``."""

    _log = Logger()

    def __init__(self, link: RedisLink, local: MemoryGate, reactor: IReactorTime, meter: Meter, *, deadline_ms: int = 50) -> None:
        self._link = link
        self._local = local
        self._meter = meter
        self._deadline_ms = deadline_ms
        self._asks: Shuttle[_Ask] = Shuttle(reactor, self._judge, _REQUESTS_PER_BATCH_MAX)

    async def admit(self, hits: Sequence[Hit], slot: Slot | None = None) -> Verdict:
        """Count the hits and take the slot, in the round trip that is about to leave."""
        uses = [use_of(hit) for hit in hits]
        if not self._link.up:
            self._meter.count("rate_limiter_degraded_total")
            return self._local.judge(uses, slot)
        outlook = self._local.outlook(uses)
        if outlook is not None:
            return self._refuse(uses, outlook)
        verdict: Deferred[Verdict] = Deferred()
        self._asks.take(_Ask(uses, slot, verdict))
        return await verdict

    def release(self, slots: Iterable[tuple[str, str]]) -> None:
        """Give places back; those that Redis does not hear of expire."""
        given = list(slots)
        self._local.release(given)
        self._let_go(given)

    def _refuse(self, uses: Sequence[Use], outlook: Sequence[Outcome]) -> Verdict:
        counted = [use for use, outcome in zip(uses, outlook, strict=True) if outcome.admitted]
        if counted:
            self._asks.take(_Ask(counted, None, None))
        return verdict_of([(use.limit.name, outcome) for use, outcome in zip(uses, outlook, strict=True)])

    def _judge(self, asks: list[_Ask]) -> Deferred[Any]:
        runs: dict[tuple[str, int], _Run] = {}
        runs_of: list[list[_Run]] = []
        for ask in asks:
            mine = []
            for use in ask.uses:
                name = (use.key, use.units)
                run = runs.get(name)
                if run is None:
                    run = runs[name] = _Run(use)
                run.times += 1
                mine.append(run)
            runs_of.append(mine)
        keys = [key for key, _ in runs]
        packed = [_terms(run.use.limit) + _HITS.pack(run.use.units, run.times) for run in runs.values()]
        arguments: list[Word] = [b"".join(packed)]
        for ask in asks:
            if ask.slot is not None:
                keys.append(_places(ask.slot.user_id))
                arguments += (ask.slot.holder, ask.slot.quota, ask.slot.ttl_ms)
        answer = self._link.run(_GATE, keys, arguments, self._deadline_ms)
        answer.addCallback(self._answered, asks, runs_of, list(runs.values()))
        return answer.addErrback(self._unanswered, asks)

    def _answered(self, reply: list[int], asks: list[_Ask], runs_of: list[list[_Run]], runs: list[_Run]) -> None:
        for at, run in enumerate(runs):
            run.outcome = self._in_both(run, Outcome(*reply[4 * at : 4 * at + 4]))
        waits = iter(reply[4 * len(runs) :])
        for ask, mine in zip(asks, runs_of, strict=True):
            slot_wait_ms = 0 if ask.slot is None else next(waits)
            verdict = verdict_of([(run.use.limit.name, run.next()) for run in mine])
            if ask.verdict is None:
                continue
            if ask.slot is not None:
                verdict = self._placed(verdict, ask.slot, slot_wait_ms)
            ask.verdict.callback(verdict)

    def _in_both(self, run: _Run, shared: Outcome) -> Outcome:
        """The narrower of what Redis and our own window say, which counts what Redis admitted."""
        if not shared.admitted:
            return shared
        own = self._local.count(run.use, shared.admitted)
        if own.admitted == shared.admitted:
            return shared
        return Outcome(own.admitted, min(own.left, shared.left), shared.reset_ms, max(own.wait_ms, shared.wait_ms))

    def _placed(self, verdict: Verdict, slot: Slot, wait_ms: int) -> Verdict:
        if verdict.refused is None:
            if not wait_ms:
                self._local.hold(slot)
            return with_place(verdict, wait_ms)
        if not wait_ms:  # taken, for a request that a window refused
            self._let_go([(slot.user_id, slot.holder)])
        return verdict

    def _unanswered(self, failure: Failure, asks: list[_Ask]) -> None:
        if not failure.check(StoreUnavailable):
            self._log.failure("the gate's script and we disagree", failure)
        waiting = [ask for ask in asks if ask.verdict is None or not ask.verdict.called]
        self._meter.count("rate_limiter_degraded_total", len(waiting))
        for ask in waiting:
            verdict = self._local.judge(ask.uses, ask.slot)
            if ask.verdict is not None:
                ask.verdict.callback(verdict)

    def _let_go(self, slots: list[tuple[str, str]]) -> None:
        self._link.tell(_RELEASE, [_places(user_id) for user_id, _ in slots], [holder for _, holder in slots])


@lru_cache(maxsize=64)
def _terms(limit: Limit) -> bytes:
    return _TERMS.pack(limit.policy == "bucket", limit.quota, limit.window_ms, limit.grain_ms)


def _places(user_id: str) -> str:
    return "open_actions:" + user_id


_conforms: type[Gate] = RedisGate
