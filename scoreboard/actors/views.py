"""The views: stretches of the board that single clients follow, beside the top that the room is told.

A view is *due* when something moved in it; due views are read a tick at a time, oldest first and so many rows at most, in the
very call that reads the top. So everything of a tick is of one cursor, and what views cost is bounded however many there are: a
look at each once a tick, and ``ROWS_PER_TICK_MAX`` rows. A step moves nobody outside the ranks that its players came from and
went to; a step that nobody told of makes every view due.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.board_pages import Around, Page, RankRange, Row, View
from scoreboard.domain.events import ScoreChanged, ViewChanged
from scoreboard.domain.standings import POINTS_MAX

VIEWS_MAX: Final = 10_000
VIEWS_PER_LISTENER_MAX: Final = 4
ROWS_PER_TICK_MAX: Final = 2_000
#: More ranges than this in one tick are not looked through: everything is due.
_RANGES_MAX: Final = 1_000

Range = tuple[int, int]
_NOWHERE: Final[Range] = (0, 0)
_EVERYWHERE: Final[Range] = (1, POINTS_MAX)


class Views:
    """Who follows which view, and what each was told of it last (None: nothing, so that a snapshot is owed)."""

    def __init__(self) -> None:
        self._sent: dict[View, dict[Listener, tuple[Row, ...] | None]] = {}
        self._of: dict[Listener, dict[View, None]] = {}
        self._ranges: dict[View, Range] = {}
        self._due: dict[View, None] = {}
        self._moved: list[Range] = []
        self._movers: set[str] = set()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def waiting(self) -> bool:
        """Whether a tick has something to read."""
        return bool(self._due)

    def of(self, listener: Listener) -> tuple[View, ...]:
        """What a listener follows."""
        return tuple(self._of.get(listener, ()))

    def follow(self, listener: Listener, view: View) -> bool:
        """Owe the listener a snapshot of the view and all that happens in it; False if there are too many views."""
        views = self._of.get(listener, {})
        if view not in views and len(views) >= VIEWS_PER_LISTENER_MAX:
            return False
        if view not in self._sent:
            if len(self._sent) >= VIEWS_MAX:
                return False
            self._ranges[view] = _range(view, ())
        self._of.setdefault(listener, views)[view] = None
        self._sent.setdefault(view, {})[listener] = None
        self._due[view] = None
        return True

    def drop(self, listener: Listener, view: View) -> None:
        """The listener follows this view no more."""
        views = self._of.get(listener)
        if views is None or view not in views:
            return
        del views[view]
        if not views:
            del self._of[listener]
        followers = self._sent[view]
        del followers[listener]
        if not followers:
            del self._sent[view], self._ranges[view]
            self._due.pop(view, None)

    def drop_all(self, listener: Listener) -> None:
        """The listener follows nothing any more."""
        for view in self.of(listener):
            self.drop(listener, view)

    def renew(self, listener: Listener) -> None:
        """The listener may have missed something: it is owed snapshots."""
        for view in self.of(listener):
            self._sent[view][listener] = None
            self._due[view] = None

    # What moves

    def note(self, changes: Iterable[ScoreChanged]) -> None:
        """A step of the board moved these players."""
        if not self._sent:
            return
        for change in changes:
            ranks = (change.rank or POINTS_MAX, change.previous_rank or POINTS_MAX)
            self._moved.append((min(ranks), max(ranks)))
            self._movers.add(change.user_id)
        if len(self._moved) > _RANGES_MAX:
            self._moved = [_EVERYWHERE]

    def note_all(self, read: Collection[View] = ()) -> None:
        """Nobody knows who moved; but these views were read since."""
        self._due.update({view: None for view in self._sent if view not in read})

    def take(self) -> list[View]:
        """The views that are to be read now; what is beyond the limit stays due."""
        if self._moved:
            self._see_what_moved()
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
        """They could not be read."""
        self._due.update({view: None for view in views if view in self._sent})

    def news(self, view: View, page: Page, reads: Callable[[Listener], bool]) -> Iterator[tuple[Listener, ViewChanged]]:
        """What the page tells those who follow the view and read what they are told, if it is anything new to them."""
        if view not in self._sent:  # nobody follows it any more
            return
        self._ranges[view] = _range(view, page.rows)
        followers = self._sent[view]
        events: dict[int, ViewChanged] = {}  # those who were told the same are told the same
        for listener, listener_state in followers.items():
            if listener_state != page.rows and reads(listener):
                followers[listener] = page.rows
                known = events.get(id(listener_state))
                if known is None:
                    known = events[id(listener_state)] = ViewChanged(view=view, page=page, before=listener_state)
                yield listener, known

    def _see_what_moved(self) -> None:
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
    """The ranks that a view shows or would show if there were more players; none around who is not on the board."""
    match view:
        case RankRange(offset=offset, limit=limit):
            return offset + 1, offset + limit
        case Around(user_id=user_id, rows=reach):
            for row in rows:
                if row.user_id == user_id:
                    return max(1, row.rank - reach), row.rank + reach
            return _NOWHERE


def _merged(ranges: Iterable[Range]) -> tuple[list[int], list[int]]:
    """The ranges in order, those that overlap as one: where each begins, and where it ends."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts
