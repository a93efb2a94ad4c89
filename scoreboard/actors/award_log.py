"""Award log: one line for each award, the specification's "Score updated", whose fields are camelCase as it names them."""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger, LogLevel

from scoreboard.domain.judgement import Award
from scoreboard.log_rate import AWARDS

_log: Final = Logger(namespace=AWARDS)


class AwardLog:
    """Writes the award lines at one level. A server that would not show them has none, so that they cost an award nothing."""

    def __init__(self, level: LogLevel) -> None:
        self._level = level

    def write(self, award: Award, rank: int | None, duration_ms: int) -> None:
        """Log an award. ``rank`` is None while the board lags; ``duration_ms`` is the time since the claim arrived."""
        _log.emit(
            self._level, "Score updated", userId=award.user_id, scoreAwarded=award.points, newRank=rank, duration=duration_ms
        )
