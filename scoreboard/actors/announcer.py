"""The announcer: rooms and ticks. Screens get the latest state at our pace, never every state at theirs.

Scores that change are only noted; at most once a tick the newest of each becomes events, each event is framed once for each
wire format, and all that a tick owes a socket leaves in one piece. Everything in a tick carries the tick's cursor, and who
joins while one is told hears nothing more of it, so no client sees (epoch, seq) go back. The first change after a quiet time
is told at once.

Views that single sockets follow, spectators of single players, and a player's own news go out in the same piece.

A socket that has not taken what it was last offered is *stalled*: it is offered nothing, nothing is kept for it, and when
it has drained it gets the newest snapshot. Stalled too long, it is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from scoreboard.actors.catch_up import missed, missed_own, player_events, spectator_events
from scoreboard.actors.fan_out_pace import FanOutPace
from scoreboard.actors.frame_cache import FrameCache
from scoreboard.actors.room import Room
from scoreboard.actors.spectators import Spectators
from scoreboard.actors.views import Views
from scoreboard.boundaries.announcer import Listener
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ranking import Ranking
from scoreboard.domain.board_pages import Page, RankRange, View
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED, STALLED
from scoreboard.domain.coalesce import coalesce, every_step
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event, PlayerSuspended, ScoreChanged, SpectatingEnded
from scoreboard.domain.refusals import TOO_MANY_VIEWS, Refusal
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.domain.standings import POINTS_MAX
from scoreboard.failpoints import Failpoint, no_failpoint

TOP_ROWS = 10
TOP = RankRange(offset=0, limit=TOP_ROWS)
STALLED_S_MAX = 10.0
#: Players whose latest change waits for a tick; beyond it only the board itself is told.
CHANGES_WAITING_MAX = 10_000
#: Sockets served before the reactor gets a turn: two milliseconds of it, or thirty on a machine fifteen times as slow.
SOCKETS_PER_TURN = 200


def _no_awards() -> bool:
    """Without a scorekeeper."""
    return False


class Announcer:
    """Implements boundaries.Announcer. ``forbids_spectators`` answers from memory whether a player does (or StoreUnavailable),
    ``is_awarding`` whether an award is being kept."""

    _log = Logger()

    def __init__(
        self,
        *,
        ranking: Ranking,
        forbids_spectators: Callable[[str], bool],
        clock: IReactorTime,
        tick_ms: int,
        score_updates_per_tick_max: int,
        meter: Meter,
        is_awarding: Callable[[], bool] = _no_awards,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        self._ranking = ranking
        self._clock = clock
        self._pace = FanOutPace(clock=clock, tick_s=tick_ms / 1000, is_awarding=is_awarding)
        self._score_updates_max = score_updates_per_tick_max
        self._meter = meter
        self._failpoint = failpoint
        self._room = Room()
        self._own: dict[str, dict[Listener, None]] = {}
        self._spectators = Spectators(forbids_spectators)
        self._views = Views()
        self._stalled: dict[Listener, float] = {}
        #: What single sockets are still to hear of the tick under way besides the room.
        self._extra: dict[Listener, bytes] = {}
        self._changes: dict[str, ScoreChanged] = {}
        self._steps: set[Cursor] = set()
        self._sent_at = self._shown_at = Cursor(epoch=0, seq=0)
        self._next: IDelayedCall | None = None
        self._ticking = False
        self._not_before_s = float("-inf")

    # Rooms

    def enter(self, listener: Listener) -> None:
        """From now on the socket hears what is its player's own."""
        self._own.setdefault(listener.player.user_id, {})[listener] = None

    def leave(self, listener: Listener) -> None:
        """The socket is gone, from every room."""
        user_id = listener.player.user_id
        mine = self._own.get(user_id)
        if mine is not None:
            mine.pop(listener, None)
            if not mine:
                del self._own[user_id]
        self.quit(listener)
        self._spectators.leave(listener)
        self._stalled.pop(listener, None)
        self._extra.pop(listener, None)

    async def join(self, listener: Listener) -> Page:
        """Into the leaderboard room; the top of the board, not older than anything the room is told later."""
        page = await self._ranking.page(0, TOP_ROWS)
        self._let_in(listener, page)
        return page

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        """Into the leaderboard room, with what was missed since a cursor if that is still known."""
        history = await self._ranking.since(since, TOP_ROWS)
        self._let_in(listener, history.page)
        watched = self._spectators.watched_by(listener)
        return ResumeResult(page=history.page, missed=missed(history, listener.player.user_id, watched))

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        """What a player in no room missed of its own news since a cursor, if that is still known."""
        history = await self._ranking.since(since, TOP_ROWS)
        if self._extra.pop(listener, None) is not None:  # of a tick that is not newer than the history
            self._views.renew(listener)
        return missed_own(history, listener.player.user_id, self._spectators.watched_by(listener))

    def _let_in(self, listener: Listener, page: Page) -> None:
        if not self._is_here(listener):  # it has gone while we asked
            return
        self._shown_at = max(self._shown_at, page.cursor)
        extra = self._extra.pop(listener, None)
        self._room.leave(listener)
        if self._stalled.pop(listener, None) is not None:  # the page is newer than what a tick under way would tell it
            self._views.renew(listener)
        if extra is not None:
            if listener.drained:
                listener.offer(extra)  # of a tick that is not newer than the page
            else:
                self._views.renew(listener)
        self._room.let_in(listener, page.rows)
        if self._room.has_newcomers:
            self._wake()  # perhaps nothing else will: a degraded top may differ from the board's, which does not change

    def quit(self, listener: Listener) -> None:
        """Out of the leaderboard room, and no view is followed any more."""
        self._views.drop_all(listener)
        self._room.leave(listener)

    def _is_here(self, listener: Listener) -> bool:
        return listener in self._own.get(listener.player.user_id, ())

    # Views and spectators

    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        """The next tick shows the view, and those after it what changes in it; a cursor that none of them is older than."""
        if self._is_here(listener):  # it may have gone while it was being taken back
            if not self._views.follow(listener, view):
                return TOO_MANY_VIEWS
            self._wake()
        return max(self._ranking.cursor, self._shown_at)

    def unfollow(self, listener: Listener, view: View) -> None:
        """No more of this view."""
        self._views.drop(listener, view)

    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        """From now on the listener hears of each of the player's awards, unless the player forbade it."""
        if not self._is_here(listener):  # it has gone while it was being taken back
            return None
        return self._spectators.admit(listener, user_id)

    def unspectate(self, listener: Listener, user_id: str) -> None:
        """Nothing more of this player's actions."""
        self._spectators.unseat(listener, user_id)

    def shut_out(self, user_id: str) -> None:
        """The player forbade spectators: those there are hear so, and no more."""
        ended = SpectatingEnded(user_id=user_id)
        for listener in self._spectators.shut_out(user_id):
            self._notify(listener, ended)

    def expel(self, user_id: str) -> None:
        """The player was suspended: the player's sockets are told so, and closed."""
        suspended = PlayerSuspended(user_id=user_id)
        for listener in list(self._own.get(user_id, ())):
            self._notify(listener, suspended)
            self.leave(listener)
            listener.close(ACCOUNT_SUSPENDED)

    def _notify(self, listener: Listener, event: Event) -> None:
        if listener.drained:
            listener.offer(listener.encoder.frame(event))

    @property
    def listeners(self) -> int:
        """How many sockets have a player."""
        return sum(map(len, self._own.values()))

    @property
    def members(self) -> int:
        """How many are in the leaderboard room."""
        return len(self._room)

    @property
    def views(self) -> int:
        """How many views of the board are followed."""
        return len(self._views)

    @property
    def stalled(self) -> int:
        """How many of these have not taken what they were last offered."""
        return len(self._stalled)

    # News

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        """One step changed these scores, or (with nothing in hand) the board may have changed: the next tick tells."""
        self._views.note(changes)
        self._steps.update(change.cursor for change in changes)
        waiting = self._changes
        for change in changes:
            earlier = waiting.get(change.user_id)
            if earlier is None and len(waiting) >= CHANGES_WAITING_MAX:
                self._meter.count("announcements_dropped_total")
                continue
            waiting[change.user_id] = coalesce(earlier, change)
        self._wake()

    async def stop(self) -> None:
        """No more ticks."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._ticking = True

    def _wake(self) -> None:
        if self._next is None and not self._ticking:
            wait_s = max(0.0, self._not_before_s - self._clock.seconds())
            self._next = self._clock.callLater(wait_s, self._begin_tick)

    def _begin_tick(self) -> None:
        self._next = None
        self._ticking = True
        self._pace.begin()
        ensureDeferred(self._tick()).addErrback(self._tick_failed).addBoth(self._end_tick)

    def _tick_failed(self, failure: object) -> None:
        self._log.error("a tick failed: {failure}", failure=failure)

    def _end_tick(self, _: object) -> None:
        self._ticking = False
        self._not_before_s = self._pace.next_s()  # a big room slows its own pace before it slows submissions
        self._room.end_tick()
        self._extra = {}
        unsaid = self._changes or self._stalled or self._room.has_newcomers or self._views.waiting
        if unsaid or self._ranking.cursor > self._sent_at:
            self._wake()

    async def _tick(self) -> None:
        changes, self._changes = self._changes, {}
        steps, self._steps = self._steps, set()
        views = self._views.take()
        pages = await self._read([TOP, *views])
        if pages is None:
            self._views.put_back(views)
            self._steps |= steps
            later, self._changes = self._changes, changes
            for change in later.values():
                self._changes[change.user_id] = coalesce(self._changes.get(change.user_id), change)
            return
        page = pages[0]
        if not every_step(self._sent_at, page.cursor, steps):
            self._views.note_all(views)
        self._sent_at = page.cursor
        self._failpoint("telling")
        news = [msgspec.structs.replace(change, cursor=page.cursor) for change in changes.values()]
        unseen = self._unseen(page, news)
        self._extra = self._for_single_sockets(news, unseen, zip(views, pages[1:], strict=True))
        for audience, frames in self._room.parts(page, unseen):
            await self._offer(audience, frames)
        self._offer_rest()
        self._see_to_the_stalled(page)

    async def _read(self, views: Sequence[View]) -> list[Page] | None:
        """The top and views as the board has them, all at one cursor, or None while it cannot be asked: all waits then.

        A degraded top has no cursor to tell it by. But whoever joined meanwhile may have been shown one, with the newest cursor
        that was heard of: what the board answered before that is too old for them.
        """
        try:
            if len(views) == 1:  # mostly: the top is remembered and shared with those who join
                pages = [await self._ranking.page(TOP.offset, TOP.limit)]
            else:
                pages = await self._ranking.read_views(views)
        except StoreUnavailable:
            return None
        return None if pages[0].degraded or pages[0].cursor < self._shown_at else pages

    def _unseen(self, page: Page, news: Sequence[ScoreChanged]) -> list[ScoreChanged]:
        """What everyone in the room is told besides the top: the moves that it does not show, best first if there are many."""
        shown = {row.user_id for row in page.rows}
        unseen = [change for change in news if change.user_id not in shown]
        if len(unseen) > self._score_updates_max:
            unseen.sort(key=lambda change: change.rank or POINTS_MAX)  # those taken off the board come last
            del unseen[self._score_updates_max :]
        return unseen

    def _for_single_sockets(
        self, news: Sequence[ScoreChanged], unseen: Sequence[ScoreChanged], views: Iterable[tuple[View, Page]]
    ) -> dict[Listener, bytes]:
        """What single sockets get besides: their player's own news, whom they spectate, and the views that they follow."""
        extra: defaultdict[Listener, list[Event]] = defaultdict(list)
        changed_users = {change.user_id for change in unseen}
        for change in news:
            for listener in self._own.get(change.user_id, ()):
                if not (listener in self._room and change.user_id in changed_users):
                    extra[listener].append(change)
                extra[listener] += player_events(change)
            spectators = self._spectators.of(change.user_id)
            if spectators:
                awards = spectator_events(change)
                for listener in spectators:
                    extra[listener] += awards
        for view, page in views:
            for listener, event in self._views.news(view, page, self._reads):
                extra[listener].append(event)
        frame = FrameCache()
        return {
            listener: b"".join([frame(listener.encoder, event) for event in events])
            for listener, events in extra.items()
            if events
        }

    def _reads(self, listener: Listener) -> bool:
        return listener not in self._stalled

    async def _offer(self, audience: dict[Listener, None], frames: bytes) -> None:
        extra = self._extra
        listeners = list(audience)
        for batch in _batches(listeners):
            self._pace.begin_slice()
            for listener in batch:
                if listener not in audience or listener in self._stalled:
                    continue
                if listener.drained:
                    listener.offer(frames + extra.pop(listener) if listener in extra else frames)
                else:
                    self._stalled[listener] = self._clock.seconds()
            self._pace.end_slice()
            if batch[-1] is not listeners[-1]:
                await self._pace.rest()

    def _offer_rest(self) -> None:
        for listener, frames in list(self._extra.items()):  # whoever is offered too much is gone at once
            if listener in self._stalled or not self._is_here(listener):
                continue
            if listener.drained:
                listener.offer(frames)
            else:
                self._stalled[listener] = self._clock.seconds()

    def _see_to_the_stalled(self, page: Page) -> None:
        now_s = self._clock.seconds()
        frame = FrameCache()
        snapshot = BoardChanged(page=page, reset=True)
        for listener, since_s in list(self._stalled.items()):
            if listener.drained:
                del self._stalled[listener]
                self._views.renew(listener)
                if listener in self._room:
                    listener.offer(frame(listener.encoder, snapshot))
            elif now_s - since_s >= STALLED_S_MAX:
                self._meter.count("sockets_closed_slow_total")
                self.leave(listener)
                listener.close(STALLED)


def _batches(listeners: list[Listener]) -> Iterator[list[Listener]]:
    for start in range(0, len(listeners), SOCKETS_PER_TURN):
        yield listeners[start : start + SOCKETS_PER_TURN]
