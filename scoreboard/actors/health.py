"""Health monitor: knows how everything fares that this process depends on, so that probes are answered from memory.

The ledger is probed once a second, whatever is asked of us; a second in which an award was committed needs no probe. While it
cannot commit it is probed four times a second, so that its return is known soon. All other conditions are read from the parts
that know them.
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
#: The ledger has a deadline of its own, a little shorter; this one is for a ledger that keeps none.
PROBE_S_MAX: Final = 0.95
#: Batches that fail for so long, with none committed in between, say that no award can be kept, whatever the probe says.
AWARDS_FAILING_S: Final = 1.0
#: After so long without a further failure the probe alone counts again: perhaps nobody is sent here any more.
FAILURE_KEPT_S: Final = 3.0

_OK: Final = Condition(name="ledger", ok=True, serving=True)
_NOT_PROBED: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger was not asked yet")
_NO_COMMIT: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger cannot commit")
_NO_AWARDS: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger keeps no awards")
_REFUSED_BATCH: Final = Condition(name="ledger", ok=False, serving=True, detail="The ledger did not keep the last awards")

Source = Callable[[], Sequence[Condition]]


class LedgerRecord:
    """What the latest probe and the latest batches of awards showed. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._probe = _NOT_PROBED
        self._committed_s = float("-inf")
        self._failing_since_s: float | None = None
        self._failed_s = float("-inf")

    def note_batch(self, committed: bool, now_s: float) -> None:
        """A batch of awards was committed, or could not be."""
        if committed:
            self._committed_s, self._failing_since_s = now_s, None
            if self._probe is _NO_COMMIT:  # this is a later commit than the probe's
                self._probe = _OK
            return
        self._failed_s = now_s
        if self._failing_since_s is None:
            self._failing_since_s = now_s

    def note_probe(self, committed: bool, began_s: float) -> None:
        """A probe that began at this time ended. A commit since then says more than a probe that had to wait for it.

        The first probe that commits again ends what hindered the batches before it, too.
        """
        before, self._probe = self._probe, _OK if committed or self._committed_s >= began_s else _NO_COMMIT
        if before is _NO_COMMIT and self._probe is _OK and self._failed_s < began_s:
            self._failing_since_s = None

    @property
    def can_commit(self) -> bool:
        """Whether the latest probe could."""
        return self._probe is _OK

    def has_committed_since(self, since_s: float) -> bool:
        """Whether a batch was committed at this time or later, and none has failed after it."""
        return self._failing_since_s is None and self._committed_s >= since_s

    def condition(self, now_s: float) -> Condition:
        """The ledger's condition."""
        since_s = self._failing_since_s
        if self._probe is not _OK or since_s is None or now_s - self._failed_s >= FAILURE_KEPT_S:
            return self._probe
        return _NO_AWARDS if self._failed_s - since_s >= AWARDS_FAILING_S else _REFUSED_BATCH

    def serves(self, now_s: float) -> bool:
        """Whether awards can be kept. Before the first probe has ended the ledger was opened at least, and that must do."""
        condition = self.condition(now_s)
        return condition.serving or condition is _NOT_PROBED


class HealthMonitor(Health):
    """Implements boundaries.Health."""

    _log = Logger()

    def __init__(self, *, ledger: Ledger, clock: IReactorTime, meter: Meter) -> None:
        self._ledger = ledger
        self._clock = clock
        self._meter = meter
        self._record = LedgerRecord()
        self._sources: list[Source] = []
        self._known: dict[str, Condition] = {}
        self._next_probe_s = float("-inf")
        self._loop = Loop("health_monitor", self._poll, POLL_INTERVAL_S, clock=clock, meter=meter, on_failure=self._note_fault)

    def add(self, source: Source) -> None:
        """From now on these conditions count, too. The source answers at once, without I/O."""
        self._sources.append(source)

    async def start(self) -> None:
        """Probe now, and then once a second, or four times while the ledger cannot commit."""
        self._loop.start(now=True)

    async def stop(self) -> None:
        """Probe no more."""
        self._loop.stop()

    def note_batch(self, committed: bool) -> None:
        """A batch of awards was committed, or the ledger could not: what the scorekeeper saw."""
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
        """A poll failed by a fault of ours: the result of the probe before it may be out of date."""
        self._record.note_probe(committed=False, began_s=self._clock.seconds())
        self._meter.count("ledger_probes_failed_total")

    async def _probe(self) -> None:
        began_s = self._clock.seconds()
        self._next_probe_s = began_s + PROBE_INTERVAL_S - POLL_INTERVAL_S / 2  # the look that comes a second later, by any clock
        if self._record.has_committed_since(began_s - PROBE_INTERVAL_S):
            self._record.note_probe(committed=True, began_s=began_s)
            return
        try:
            await ensureDeferred(self._ledger.ping()).addTimeout(PROBE_S_MAX, self._clock)
        except (StoreUnavailable, TimeoutError) as trouble:
            self._record.note_probe(committed=False, began_s=began_s)
            self._meter.count("ledger_probes_failed_total")
            if self._known.get("ledger", _OK).ok:  # once, when it begins: strangers do not see the reason
                self._log.warn("the ledger cannot commit: {trouble}", trouble=str(trouble) or "no answer in time")
        else:
            self._record.note_probe(committed=True, began_s=began_s)

    def _log_changes(self) -> None:
        """A line for each condition that changed since the last look."""
        for condition in self.conditions():
            before = self._known.get(condition.name)
            self._known[condition.name] = condition
            if before is None or before.ok == condition.ok:
                continue
            if condition.ok:
                self._log.info("{name} is well again", name=condition.name)
            else:
                self._log.warn("{name} is not well: {detail}", name=condition.name, detail=condition.detail)
