"""Ledger entries as they are read back: for audits, exports, resets and checks."""

from __future__ import annotations

from typing import Literal

from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value


class Entry(Value, frozen=True, kw_only=True):
    """One ledger row. ``metadata`` is a JSON object as text; a reset's carries operator, reason and reset id."""

    transaction_id: str
    user_id: str
    action_id: str
    action_type: str
    score_before: int
    score_after: int
    score_awarded: int
    at_ms: int
    ip_address: str
    user_agent: str
    validated: bool
    metadata: str


class EntryFilter(Value, frozen=True, kw_only=True):
    """Which entries: every condition given must hold; ``since_ms`` is inclusive, ``until_ms`` exclusive."""

    user_id: str | None = None
    action_id: str | None = None
    action_type: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class ResetOrder(Value, frozen=True, kw_only=True):
    """Take these players (or, with ``user_ids`` None, everyone) back to nothing; who orders it and why is kept."""

    reset_id: str
    user_ids: tuple[str, ...] | None
    operator: str
    reason: str
    at_ms: int


class ResetResult(Value, frozen=True, kw_only=True):
    """The standings that a reset left, and the players whose rows another session held: they are as they were."""

    standings: list[Standing]
    held: tuple[str, ...] = ()


class Finding(Value, frozen=True, kw_only=True):
    """Something that does not add up: which player, where, what it should be and what it is."""

    user_id: str
    where: Literal["user_scores", "board"]
    expected: str
    found: str


#: The action type of a reset's entries; never in the catalogue.
RESET: Literal["RESET"] = "RESET"
