"""Ledger state: the state of a ledger, and pages of its changes."""

from __future__ import annotations

from collections.abc import Sequence

from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value


class LedgerState(Value, frozen=True, kw_only=True):
    """State of a ledger.

    ``ledger_id`` is the same in every copy. ``instance`` names this copy: a database of a cluster, or a file. ``epoch`` is the
    newest of the board (0 before the first) and ``epoch_run`` the run of the Redis on which it began. A server noted
    ``followed_s_ago`` seconds ago, by the ledger's clock, that it follows the ledger there.
    """

    ledger_id: str
    instance: str
    epoch: int
    epoch_run: str
    followed_s_ago: int = 0


class ChangedPage(Value, frozen=True, kw_only=True):
    """Standings that changed, in any order. ``after`` is for the next page, "" if this is the last."""

    standings: Sequence[Standing]
    after: str
