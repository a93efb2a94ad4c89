"""Rate batch: many limit checks for one call of scripts/rate_limit.lua, and their verdicts from its reply.

The checks of a batch share windows (above all that of the limit of everyone), so each window is sent once, with the units that
the whole batch takes from it. When all of them fit, the script does not look at single checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

from twisted.internet.defer import Deferred

from scoreboard.domain.limits import ConcurrencySlot, Limit, RateVerdict
from scoreboard.storage.memory.rate_limiter import OPEN_ACTIONS, Use
from scoreboard.storage.redis.protocol import Argument

# Structures that scripts/rate_limit.lua unpacks.
_TERMS: Final = Struct("<BQQQ")  # a limit's policy, quota, window and grain
_WANTED: Final = Struct("<Q")  # the units that the batch takes from a window
_CHECK: Final = Struct("<BB")  # a check's number of windows, and whether it needs a slot
_USE: Final = Struct("<HQ")  # the number of a window, and the units that a check takes from it
_NUMBERS_PER_REFUSAL: Final = 5


class LimitCheck:
    """A check of one request, which waits for ``verdict``. Without one, it only shows its windows to Redis."""

    __slots__ = ("slot", "uses", "verdict")

    def __init__(self, uses: Sequence[Use], slot: ConcurrencySlot | None, verdict: Deferred[RateVerdict] | None) -> None:
        self.uses, self.slot, self.verdict = uses, slot, verdict


class _Window:
    """A window of the batch: its number, and the units that the batch asks for; after `verdicts`, those that were taken."""

    __slots__ = ("later", "number", "units", "use")

    def __init__(self, use: Use, number: int) -> None:
        self.use = use
        self.number = number
        self.units = 0
        #: `verdicts` goes through the checks from the last to the first. Here it adds up the units of the admitted ones.
        self.later = 0


class Batch:
    """The keys and arguments of one call of the script, and the verdicts from its reply."""

    def __init__(self, checks: Sequence[LimitCheck]) -> None:
        self.checks = checks
        self._windows: dict[str, _Window] = {}
        windows = self._windows
        packed: list[bytes] = []
        slots: list[ConcurrencySlot] = []
        for check in checks:
            packed.append(_CHECK.pack(len(check.uses), check.slot is not None))
            if check.slot is not None:
                slots.append(check.slot)
            for use in check.uses:
                window = windows.get(use.key)
                if window is None:
                    window = windows[use.key] = _Window(use, len(windows))
                window.units += use.units
                packed.append(_USE.pack(window.number, use.units))
        self.keys: list[str] = [*windows, *[slots_key(slot.user_id) for slot in slots]]
        terms = b"".join([_terms(window.use.limit) + _WANTED.pack(window.units) for window in windows.values()])
        self.arguments: list[Argument] = [terms, b"".join(packed)]
        for slot in slots:
            self.arguments += (slot.holder, slot.quota, slot.ttl_ms)

    def verdicts(self, reply: Sequence[int]) -> list[RateVerdict]:
        """A verdict for each check. Admitted checks count in their order: the last one reports what remains in the window."""
        windows = self._windows
        refusals = self._refusals(reply)
        verdicts: list[RateVerdict] = []
        for number in range(len(self.checks) - 1, -1, -1):
            verdict = refusals.get(number)
            if verdict is None:
                remaining = reset_ms = 0
                for use in self.checks[number].uses:
                    window = windows[use.key]
                    remaining = reply[2 * window.number] + window.later
                    reset_ms = reply[2 * window.number + 1]
                    window.later += use.units
                verdict = RateVerdict(remaining=remaining, reset_ms=reset_ms)
            verdicts.append(verdict)
        verdicts.reverse()
        return verdicts

    @property
    def taken(self) -> list[tuple[Use, int]]:
        """The units that were taken from each window. Call `verdicts` first."""
        return [(window.use, window.units) for window in self._windows.values() if window.units]

    def _refusals(self, reply: Sequence[int]) -> dict[int, RateVerdict]:
        refusals: dict[int, RateVerdict] = {}
        for at in range(2 * len(self._windows), len(reply), _NUMBERS_PER_REFUSAL):
            number, by, wait_ms, left, reset_ms = reply[at : at + _NUMBERS_PER_REFUSAL]
            uses = self.checks[number].uses
            for use in uses:
                self._windows[use.key].units -= use.units
            name = OPEN_ACTIONS if by == len(uses) else uses[by].limit.name
            refusals[number] = RateVerdict(refused=name, retry_after_ms=wait_ms, remaining=left, reset_ms=reset_ms)
        return refusals


def slots_key(user_id: str) -> str:
    """The key of a user's slots."""
    return "open_actions:" + user_id


@lru_cache(maxsize=64)
def _terms(limit: Limit) -> bytes:
    return _TERMS.pack(limit.policy == "bucket", limit.quota, limit.window_ms, limit.grain_ms)
