"""Ledger entries as audits, exports, resets and checks read them."""

from __future__ import annotations

from typing import Literal

from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value


class Entry(Value, frozen=True, kw_only=True):
    """One ledger row. ``metadata`` is a JSON object as text; for a reset it contains operator, reason and reset id."""

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
    """A filter of entries: all given conditions must hold; ``since_ms`` is inclusive, ``until_ms`` exclusive."""

    user_id: str | None = None
    action_id: str | None = None
    action_type: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class ResetOrder(Value, frozen=True, kw_only=True):
    """An order to reset these players (all if ``user_ids`` is None) to 0 points; the ledger keeps its operator and reason."""

    reset_id: str
    user_ids: tuple[str, ...] | None
    operator: str
    reason: str
    at_ms: int


class ResetResult(Value, frozen=True, kw_only=True):
    """The standings after a reset, and the players that it did not change because another session held their rows."""

    standings: list[Standing]
    held: tuple[str, ...] = ()


class Finding(Value, frozen=True, kw_only=True):
    """An inconsistency: the player, the place, the expected value and the actual one.

    The place is ``user_scores``, ``board`` (the global board in Redis), or the key of a bucket whose standing is wrong.
    """

    user_id: str
    where: str
    expected: str
    found: str


#: The action type of the entries of a reset; the catalogue never contains it.
RESET: Literal["RESET"] = "RESET"
