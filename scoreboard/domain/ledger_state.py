"""Ledger state: what a ledger reports of itself, and pages of its changes."""

from __future__ import annotations

from collections.abc import Sequence

from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value


class LedgerState(Value, frozen=True, kw_only=True):
    """What a ledger says of itself.

    ``ledger_id`` is the same in every copy, ``instance`` names where this copy lies: a database of a cluster, or a file.
    ``epoch`` is the newest of the board, 0 before the first, ``epoch_run`` the run of the Redis that it was begun on, and
    ``followed_s_ago`` how long ago a server signed that it draws there, in seconds of the ledger's clock.
    """

    ledger_id: str
    instance: str
    epoch: int
    epoch_run: str
    followed_s_ago: int = 0


class ChangedPage(Value, frozen=True, kw_only=True):
    """Standings that changed, in no promised order; ``after`` asks for the next page, "" says that this was the last."""

    standings: Sequence[Standing]
    after: str
