"""Ledger state: the identity and epoch of a ledger, and pages of its changes."""

from __future__ import annotations

from collections.abc import Sequence

from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value


class LedgerState(Value, frozen=True, kw_only=True):
    """The identity of a ledger, and the newest epoch of its board.

    ``ledger_id`` is the same in every copy; ``instance`` names the place of this copy: a database of a cluster, or a file.
    ``epoch`` is the newest epoch of the board (0 before the first), ``drawn_on`` the run id of the Redis where it began.
    ``followed_s_ago`` says how long ago a server recorded that it sets the board there, in seconds of the ledger's clock.
    """

    ledger_id: str
    instance: str
    epoch: int
    drawn_on: str
    followed_s_ago: int = 0


class ChangedPage(Value, frozen=True, kw_only=True):
    """Changed standings in any order. ``after`` is the argument for the next page; "" means that this is the last page."""

    standings: Sequence[Standing]
    after: str
