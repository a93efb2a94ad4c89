"""Changes of the board that wait for the announcer's next tick: the newest of each player, and which steps they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scoreboard.domain.board_pages import Page
from scoreboard.domain.coalesce import coalesce
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import POINTS_MAX

#: Players whose newest change waits for a tick; a change of one more player is not sent, but the board's top is.
CHANGES_WAITING_MAX: Final = 10_000


class PendingChanges:
    """Newest changes by player, and the cursors of the steps that made them."""

    def __init__(self) -> None:
        self.by_user: dict[str, ScoreChanged] = {}
        self.steps: set[Cursor] = set()

    def add(self, changes: Sequence[ScoreChanged]) -> int:
        """Add the changes of one step. Returns how many are dropped because too many wait."""
        dropped = 0
        self.steps.update(change.cursor for change in changes)
        for change in changes:
            earlier = self.by_user.get(change.user_id)
            if earlier is None and len(self.by_user) >= CHANGES_WAITING_MAX:
                dropped += 1
            else:
                self.by_user[change.user_id] = coalesce(earlier, change)
        return dropped

    def put_before(self, later: PendingChanges) -> PendingChanges:
        """Add ``later`` changes to these, which could not be sent, and return them."""
        self.steps |= later.steps
        for change in later.by_user.values():
            self.by_user[change.user_id] = coalesce(self.by_user.get(change.user_id), change)
        return self


def unseen(changes: Sequence[ScoreChanged], page: Page, changes_max: int) -> list[ScoreChanged]:
    """Return the changes that the top does not show, those of the best ranks if there are too many."""
    shown = {row.user_id for row in page.rows}
    others = [change for change in changes if change.user_id not in shown]
    if len(others) > changes_max:
        others.sort(key=lambda change: change.rank or POINTS_MAX)  # players that were taken off the board come last
        del others[changes_max:]
    return others
