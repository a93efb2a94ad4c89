"""Board state: the state of a board, the result of a write, and its history."""

from __future__ import annotations

from scoreboard.domain.board_pages import Page
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.value import Value


class Placement(Value, frozen=True, kw_only=True):
    """Result of setting one standing: the player's rank before and after; None if the player is not on the board.

    It is not ``applied`` if the board had this version or a newer one. ``overtaken`` means that the board had a newer version of
    the player, or another record of the same version.
    """

    rank: int | None
    previous_rank: int | None
    applied: bool
    overtaken: bool = False


class Projection(Value, frozen=True, kw_only=True):
    """The cursor and the number of players after a write, and a placement for each standing, in order."""

    cursor: Cursor
    total: int
    placements: tuple[Placement, ...]


class BoardState(Value, frozen=True, kw_only=True):
    """State of a board. It has all that the ledger committed before ``position`` ("" if that is not known).

    ``epoch_run`` is the run of the store on which the epoch began, ``run`` the present one. If they differ, the store was
    restarted and may have lost its last changes. ``owner`` names the ledger. ``ranked`` players are on the board, ``players``
    are known. ``damage`` says what is missing, or "". A server followed the ledger here ``followed_s_ago`` seconds ago.
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
    """The present top, and the latest change of each player since a cursor, oldest first (None: not kept any more)."""

    page: Page
    changes: tuple[ScoreChanged, ...] | None

    @property
    def degraded(self) -> bool:
        """Whether the top was read from the ledger."""
        return self.page.degraded
