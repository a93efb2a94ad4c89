"""Views: ranges of the board that single listeners follow, beside the top that the room follows.

A view is *due* when a player in it moved. A tick reads due views, oldest first and ``ROWS_PER_TICK_MAX`` rows at most, in the
same call as the top, so all events of a tick have one cursor. Views cost a tick no more than these rows and a check of each view.
A step of the board moves only players between the old and the new ranks of the players that it changes. A step that this process
does not know makes every view due.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from scoreboard.actors.members import Member
from scoreboard.domain.board_pages import Around, Page, RankRange, Row, View
from scoreboard.domain.events import ScoreChanged, ViewChanged
from scoreboard.domain.standings import POINTS_MAX

VIEWS_MAX: Final = 10_000
VIEWS_PER_LISTENER_MAX: Final = 4
ROWS_PER_TICK_MAX: Final = 2_000
#: After more moves than this in one tick, all views are due without a check.
_RANGES_MAX: Final = 1_000

Range = tuple[int, int]
_NOWHERE: Final[Range] = (0, 0)
_EVERYWHERE: Final[Range] = (1, POINTS_MAX)


class Views:
    """Which members follow which view, and the rows that each was sent last (None: none, so that it gets all rows)."""

    def __init__(self) -> None:
        self._sent: dict[View, dict[Member, tuple[Row, ...] | None]] = {}
        self._ranges: dict[View, Range] = {}
        self._due: dict[View, None] = {}
        self._moved: list[Range] = []
        self._movers: set[str] = set()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def waiting(self) -> bool:
        """Whether the next tick has a view to read."""
        return bool(self._due)

    def follow(self, member: Member, view: View) -> bool:
        """Send the member the view and all its later changes. False if there are too many views."""
        if view not in member.views and len(member.views) >= VIEWS_PER_LISTENER_MAX:
            return False
        if view not in self._sent:
            if len(self._sent) >= VIEWS_MAX:
                return False
            self._ranges[view] = _range(view, ())
        member.views[view] = None
        self._sent.setdefault(view, {})[member] = None
        self._due[view] = None
        return True

    def drop(self, member: Member, view: View) -> None:
        """Let the member follow this view no longer."""
        if view not in member.views:
            return
        del member.views[view]
        followers = self._sent[view]
        del followers[member]
        if not followers:
            del self._sent[view], self._ranges[view]
            self._due.pop(view, None)

    def drop_all(self, member: Member) -> None:
        """Let the member follow no view."""
        for view in tuple(member.views):
            self.drop(member, view)

    def renew(self, member: Member) -> None:
        """Send the member its views whole: it may have missed changes of them."""
        for view in member.views:
            self._sent[view][member] = None
            self._due[view] = None

    # What moves

    def note(self, changes: Iterable[ScoreChanged]) -> None:
        """Note the ranks between which a step of the board moved these players."""
        if not self._sent:
            return
        for change in changes:
            ranks = (change.rank or POINTS_MAX, change.previous_rank or POINTS_MAX)
            self._moved.append((min(ranks), max(ranks)))
            self._movers.add(change.user_id)
        if len(self._moved) > _RANGES_MAX:
            self._moved = [_EVERYWHERE]

    def note_all(self, read: Collection[View] = ()) -> None:
        """Make all views due, because a step is not known, except those that were ``read`` after it."""
        self._due.update({view: None for view in self._sent if view not in read})

    def take(self) -> list[View]:
        """Return the views that a tick reads. Views beyond the limit of rows stay due."""
        if self._moved:
            self._mark_moved()
        taken, rows = [], 0
        for view in self._due:
            rows += _rows_of(view)
            if rows > ROWS_PER_TICK_MAX:
                break
            taken.append(view)
        for view in taken:
            del self._due[view]
        return taken

    def put_back(self, views: Iterable[View]) -> None:
        """Make views due again that could not be read."""
        self._due.update({view: None for view in views if view in self._sent})

    def news(self, view: View, page: Page) -> Iterator[tuple[Member, ViewChanged]]:
        """Yield an event for each member that follows the view, does not stall, and knows other rows than the page's."""
        if view not in self._sent:  # the last follower has left
            return
        self._ranges[view] = _range(view, page.rows)
        followers = self._sent[view]
        events: dict[int, ViewChanged] = {}  # members that know the same rows share an event
        for member, known in followers.items():
            if known != page.rows and member.stalled_since_s is None:
                followers[member] = page.rows
                event = events.get(id(known))
                if event is None:
                    event = events[id(known)] = ViewChanged(view=view, page=page, before=known)
                yield member, event

    def _mark_moved(self) -> None:
        firsts, lasts = _merged(self._moved)
        for view, (first, last) in self._ranges.items():
            at = bisect_right(firsts, last) - 1  # the last range that begins within the view or above it
            moved_within = at >= 0 and lasts[at] >= first
            if moved_within or (isinstance(view, Around) and view.user_id in self._movers):
                self._due[view] = None
        self._moved.clear()
        self._movers.clear()


def _rows_of(view: View) -> int:
    match view:
        case RankRange(limit=limit):
            return limit
        case Around(rows=rows):
            return 2 * rows + 1


def _range(view: View, rows: Sequence[Row]) -> Range:
    """The ranks that a view shows, or would show if there were more players; none around a player that is not on the board."""
    match view:
        case RankRange(offset=offset, limit=limit):
            return offset + 1, offset + limit
        case Around(user_id=user_id, rows=reach):
            for row in rows:
                if row.user_id == user_id:
                    return max(1, row.rank - reach), row.rank + reach
            return _NOWHERE


def _merged(ranges: Iterable[Range]) -> tuple[list[int], list[int]]:
    """The first and the last ranks of the ranges, in order; ranges that overlap count as one."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts
