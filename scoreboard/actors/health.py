"""Health monitor: keeps the conditions of all that this process depends on, so that `/readyz` is answered from memory.

It probes the ledger once a second, however often `/readyz` is read. After a second with a committed award it needs no probe.
While the ledger cannot commit, it is probed four times a second, so that its return is noticed soon. The other
conditions come from the objects that know them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from typing_extensions import override

from scoreboard.background import Loop
from scoreboard.boundaries.health import Health, Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.health import Condition

PROBE_INTERVAL_S: Final = 1.0
POLL_INTERVAL_S: Final = 0.25
#: The ledger has its own deadline, which is a little shorter. This one is for a ledger that does not keep to it.
PROBE_S_MAX: Final = 0.95
#: If batches fail for this many seconds, and none is committed in between, no award can be committed, even if the probe succeeds.
AWARDS_FAILING_S: Final = 1.0
#: When no batch has failed for this many seconds, only the probe decides. A balancer may have stopped sending submissions to this
#: process, so no new batch would show the recovery.
FAILURE_KEPT_S: Final = 3.0
#: The number of different reasons of one outage that are logged.
REASONS_MAX: Final = 8

_OK: Final = Condition(name="ledger", ok=True, serving=True)
_NOT_PROBED: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger was not asked yet")
_NO_COMMIT: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger cannot commit")
_NO_AWARDS: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger keeps no awards")
_REFUSED_BATCH: Final = Condition(name="ledger", ok=False, serving=True, detail="The ledger did not keep the last awards")

Source = Callable[[], Sequence[Condition]]


class LedgerRecord:
    """Results of the latest probe and of the latest batches of awards. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._probe = _NOT_PROBED
        self._committed_s = float("-inf")
        self._failing_since_s: float | None = None
        self._failed_s = float("-inf")

    def note_batch(self, committed: bool, now_s: float) -> None:
        """Note whether a batch of awards was committed."""
        if committed:
            self._committed_s, self._failing_since_s = now_s, None
            if self._probe is _NO_COMMIT:  # this commit is later than the probe
                self._probe = _OK
            return
        self._failed_s = now_s
        if self._failing_since_s is None:
            self._failing_since_s = now_s

    def note_probe(self, committed: bool, began_s: float) -> None:
        """Note the result of a probe that began at this time. A batch that was committed since then counts more.

        The first probe that commits again also ends the failure of the batches before it.
        """
        before, self._probe = self._probe, _OK if committed or self._committed_s >= began_s else _NO_COMMIT
        if before is _NO_COMMIT and self._probe is _OK and self._failed_s < began_s:
            self._failing_since_s = None

    @property
    def can_commit(self) -> bool:
        """Whether the latest probe committed."""
        return self._probe is _OK

    @property
    def cannot_commit(self) -> bool:
        """Whether the latest probe failed, and nothing was committed since."""
        return self._probe is _NO_COMMIT

    def has_committed_since(self, since_s: float) -> bool:
        """Whether a batch was committed at this time or later, and none has failed since."""
        return self._failing_since_s is None and self._committed_s >= since_s

    def condition(self, now_s: float) -> Condition:
        """The ledger's condition."""
        since_s = self._failing_since_s
        if self._probe is not _OK or since_s is None or now_s - self._failed_s >= FAILURE_KEPT_S:
            return self._probe
        return _NO_AWARDS if self._failed_s - since_s >= AWARDS_FAILING_S else _REFUSED_BATCH

    def serves(self, now_s: float) -> bool:
        """Whether awards can be committed. Before the first probe ends, it is enough that the ledger was opened."""
        condition = self.condition(now_s)
        return condition.serving or condition is _NOT_PROBED


class HealthMonitor(Health):
    """Conditions of the ledger and of all sources that were added."""

    _log = Logger()

    def __init__(
        self, *, ledger: Ledger, clock: IReactorTime, meter: Meter, in_operators_words: Callable[[str], str] = str
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._meter = meter
        self._in_operators_words = in_operators_words
        self._record = LedgerRecord()
        self._sources: list[Source] = []
        self._known: dict[str, Condition] = {}
        self._next_probe_s = float("-inf")
        self._logged_unwell: set[str] = set()
        self._logged_reasons: set[str] = set()
        self._loop = Loop("health_monitor", self._poll, POLL_INTERVAL_S, clock=clock, meter=meter, on_failure=self._note_fault)

    def add(self, source: Source) -> None:
        """Include the conditions of a source. It must answer at once, without I/O."""
        self._sources.append(source)

    async def start(self) -> None:
        """Probe the ledger now, and then once a second (four times a second while it cannot commit)."""
        self._loop.start(now=True)

    async def stop(self) -> None:
        """Stop probing."""
        self._loop.stop()

    def note_batch(self, committed: bool) -> None:
        """Note whether the scorekeeper's batch was committed."""
        self._record.note_batch(committed, self._clock.seconds())

    @override
    def conditions(self) -> list[Condition]:
        return [self._record.condition(self._clock.seconds()), *[condition for source in self._sources for condition in source()]]

    @property
    @override
    def ledger_serves(self) -> bool:
        return self._record.serves(self._clock.seconds())

    async def _poll(self) -> None:
        if not self._record.can_commit or self._clock.seconds() >= self._next_probe_s:
            await self._probe()
        self._log_changes()

    def _note_fault(self) -> None:
        """Note a poll that failed by a fault of ours: the result of the probe before it may be out of date."""
        self._record.note_probe(committed=False, began_s=self._clock.seconds())
        self._meter.count("ledger_probes_failed_total")

    async def _probe(self) -> None:
        began_s = self._clock.seconds()
        # The poll one second later is due, however exact the timer is.
        self._next_probe_s = began_s + PROBE_INTERVAL_S - POLL_INTERVAL_S / 2
        if self._record.has_committed_since(began_s - PROBE_INTERVAL_S):
            self._record.note_probe(committed=True, began_s=began_s)
            return
        try:
            await ensureDeferred(self._ledger.ping()).addTimeout(PROBE_S_MAX, self._clock)
        except (StoreUnavailable, TimeoutError) as trouble:
            self._log_reason(str(trouble) or "no answer in time")
            self._record.note_probe(committed=False, began_s=began_s)
            self._meter.count("ledger_probes_failed_total")
        else:
            self._record.note_probe(committed=True, began_s=began_s)

    def _log_reason(self, reason: str) -> None:
        """Log each reason of an outage once, because `/readyz` does not say it."""
        if not self._record.cannot_commit:
            self._logged_reasons.clear()
        if reason not in self._logged_reasons and len(self._logged_reasons) < REASONS_MAX:
            self._logged_reasons.add(reason)
            self._log.error("the ledger cannot commit: {trouble}", trouble=self._in_operators_words(reason))

    def _log_changes(self) -> None:
        """Log each condition that came or went since the last poll, or that this process cannot serve with any more."""
        for condition in self.conditions():
            before = self._known.get(condition.name)
            self._known[condition.name] = condition
            lost = before is not None and before.serving and not condition.serving and before.detail != condition.detail
            if before is None or (before.ok == condition.ok and not lost):
                continue
            if condition.ok:
                if condition.name in self._logged_unwell:  # and not only on its way at the start
                    self._logged_unwell.remove(condition.name)
                    self._log.info("{name} is well again", name=condition.name)
            else:
                self._logged_unwell.add(condition.name)
                write = self._log.warn if condition.serving else self._log.error
                write("{name} is not well: {detail}", name=condition.name, detail=condition.detail)
