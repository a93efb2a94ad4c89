"""Boards: the reads of all boards, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.boundaries.ranking import Ranking
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.periods import Bucket


class Boards(Protocol):
    """The global board and those that are declared beside it."""

    @property
    def definitions(self) -> Sequence[BoardDefinition]:
        """All boards, the global one first."""

    def present(self, board_id: str) -> Bucket | None:
        """The bucket of this moment of one of them; None between two seasons."""

    def ranking(self, board_id: str, bucket: str | None = None) -> Ranking:
        """The reads of a bucket, the present one if none is named. Raises Refused for what there is not, or not yet."""
