"""Board state: what a board reports of itself, of a write and of its history."""

from __future__ import annotations

from scoreboard.domain.board_pages import Page
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.value import Value


class Placement(Value, frozen=True, kw_only=True):
    """What setting one standing did: ranks before and after (None = not on the board); not ``applied`` if it was old news.

    ``overtaken``: the board had a newer version of the player, or another record of this one.
    """

    rank: int | None
    previous_rank: int | None
    applied: bool
    overtaken: bool = False


class Projection(Value, frozen=True, kw_only=True):
    """The state of the board after a set, and a placement for each standing, in order."""

    cursor: Cursor
    total: int
    placements: tuple[Placement, ...]


class BoardState(Value, frozen=True, kw_only=True):
    """What the board says of itself. ``position`` is the ledger's, up to which it was drawn; "" when that is not known.

    ``origin`` names the run of the store that the epoch began in and ``run`` the one that answers now: when they differ,
    the store was restarted and may have lost its last changes. ``owner`` is whose board it is. ``damage`` says what is missing
    from it, "" when nothing is. ``followed_s_ago`` is how long ago a server last compared it with its ledger.
    """

    cursor: Cursor
    position: str
    epoch_run: str
    run: str
    owner: str = ""
    ranked: int = 0
    players: int = 0
    damage: str = ""
    followed_s_ago: int = 0


class History(Value, frozen=True, kw_only=True):
    """What a board can say of the time since a cursor: its top now, and what changed until then.

    ``changes`` are the latest of each player, oldest first, or None when they are not kept (any more): then only the top tells.
    """

    page: Page
    changes: tuple[ScoreChanged, ...] | None

    @property
    def degraded(self) -> bool:
        """Whether the top came from the ledger."""
        return self.page.degraded
