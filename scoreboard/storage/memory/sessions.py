"""Absentees in one process: the twin of those in Redis, for tests."""

from __future__ import annotations

from collections.abc import Callable

from scoreboard.boundaries import ABSENCE_S, Absentees
from scoreboard.domain.saved_session import Absence


class MemoryAbsentees:
    """Implements boundaries.Absentees. While ``broken`` nothing is kept and nothing is found."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.broken = False
        self._now_s = now_s
        self._kept: dict[tuple[str, str], tuple[Absence, float]] = {}

    def keep(self, absence: Absence) -> None:
        """Remember it."""
        if not self.broken:
            self._kept[absence.pid, absence.user_id] = (absence, self._now_s() + ABSENCE_S)

    async def take(self, pid: str, user_id: str) -> Absence | None:
        """The absence, once."""
        if self.broken:
            return None
        absence, until_s = self._kept.pop((pid, user_id), (None, 0.0))
        return absence if self._now_s() < until_s else None


_conforms: type[Absentees] = MemoryAbsentees
