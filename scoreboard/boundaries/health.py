"""Health and metrics of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoreboard.domain.health import Condition


class Health(Protocol):
    """How this process fares, as far as it knows."""

    def conditions(self) -> Sequence[Condition]:
        """The condition of each thing that it depends on. Answered from memory: it asks no store and costs no I/O."""

    @property
    def ledger_serves(self) -> bool:
        """Whether the ledger keeps awards, as far as is known from memory. True before the first probe has ended."""


class Meter(Protocol):
    """What is measured while the house works; told, never asked."""

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float) -> None:
        """Put a duration into a histogram."""

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
