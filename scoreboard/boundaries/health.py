"""Health and metrics of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.health import Condition


class Health(Protocol):
    """The conditions of a process, from memory."""

    def conditions(self) -> Sequence[Condition]:
        """The condition of each thing that the process depends on. Costs no I/O."""

    @property
    def ledger_serves(self) -> bool:
        """Whether the ledger commits awards, as far as is known. True before the first probe has ended."""


class Meter(Protocol):
    """Metrics of a process. Code writes them and never reads them."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
