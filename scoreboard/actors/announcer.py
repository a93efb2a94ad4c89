"""Announcer: sends the newest state of the board to all live clients, at most once a tick.

A changed score is only noted. The next tick makes events of the newest change of each player, encodes each event once for each
encoder, and offers every listener all that it gets in one piece. All events of a tick carry the tick's cursor, and a listener
that joins during a tick gets nothing more of it, so no client sees (epoch, seq) go back. The first change after a quiet time is
sent at once.

The views that single listeners follow, the awards of spectated players and a player's own events leave in the same piece.

A stalled listener gets the newest top when it has drained. One that is stalled too long is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from typing_extensions import override

from scoreboard.actors.fan_out import FanOut
from scoreboard.actors.fan_out_pace import FanOutPace, Ticker
from scoreboard.actors.listener_events import missed, missed_own, player_events, spectator_events
from scoreboard.actors.members import Member
from scoreboard.actors.membership import Membership
from scoreboard.actors.pending_changes import PendingChanges, unseen
from scoreboard.boundaries.announcer import Listener
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ranking import Ranking
from scoreboard.domain.board_pages import TOP_ROWS, Page, RankRange, View
from scoreboard.domain.close_reasons import STALLED
from scoreboard.domain.coalesce import every_step
from scoreboard.domain.cursor import NO_CURSOR, Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import Event, ScoreChanged
from scoreboard.domain.refusals import TOO_MANY_VIEWS, Refusal
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.failpoints import Failpoint, no_failpoint

TOP: Final = RankRange(offset=0, limit=TOP_ROWS)


class Announcer(Membership):
    """Announcer of one board. Both callbacks read memory: ``is_awarding`` says whether an award is being stored, and
    ``forbids_spectators`` whether a player forbids spectators (it may raise StoreUnavailable)."""

    def __init__(
        self,
        *,
        ranking: Ranking,
        forbids_spectators: Callable[[str], bool],
        clock: IReactorTime,
        tick_ms: int,
        score_updates_per_tick_max: int,
        meter: Meter,
        is_awarding: Callable[[], bool] = lambda: False,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        pace = FanOutPace(clock=clock, tick_s=tick_ms / 1000, is_awarding=is_awarding)
        super().__init__(forbids_spectators=forbids_spectators, fan_out=FanOut(clock=clock, pace=pace))
        self._ranking = ranking
        self._score_updates_max = score_updates_per_tick_max
        self._meter = meter
        self._failpoint = failpoint
        self._ticker = Ticker(clock=clock, pace=pace, meter=meter, tick=self._tick, ended=self._end_tick)
        self._pending = PendingChanges()
        self._sent_at = self._shown_at = NO_CURSOR

    async def stop(self) -> None:
        """Begin no more ticks."""
        self._ticker.stop()

    @override
    async def join(self, listener: Listener) -> Page:
        page = await self._ranking.page(0, TOP_ROWS)
        self._join(listener, page)
        return page

    @override
    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        history = await self._ranking.since(since, TOP_ROWS)
        self._join(listener, history.page)
        return ResumeResult(page=history.page, missed=missed(history, listener.player.user_id, self._watched_by(listener)))

    @override
    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        history = await self._ranking.since(since, TOP_ROWS)
        member = self._members.get(listener)
        if member is not None and member.extra is not None:  # of a tick that is not newer than the history
            member.extra = None
            self._views.renew(member)
        return missed_own(history, listener.player.user_id, self._watched_by(listener))

    def _join(self, listener: Listener, page: Page) -> None:
        member = self._members.get(listener)
        if member is None:  # the listener left while the page was read
            return
        self._shown_at = max(self._shown_at, page.cursor)
        extra = self._fan_out.take_extra(member)
        self._room.leave(member)
        self._room.join(member, page.rows)
        # If it was stalled, the page is newer than what a tick under way would send it.
        if self._fan_out.end_stall(member) or (extra and not listener.drained):
            self._views.renew(member)
        if self._room.has_newcomers:
            self._ticker.wake()  # no change may come: a degraded top can differ from the top of a board that does not change
        if extra and listener.drained:
            listener.offer(extra)  # of a tick that is not newer than the page

    @override
    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        member = self._members.get(listener)
        if member is not None:  # otherwise the listener left while its session was restored
            if not self._views.follow(member, view):
                return TOO_MANY_VIEWS
            self._ticker.wake()
        return max(self._ranking.cursor, self._shown_at)

    # Ticks

    @override
    def publish(self, changes: Sequence[ScoreChanged]) -> None:
        self._views.note(changes)
        dropped = self._pending.add(changes)
        if dropped:
            self._meter.count("announcements_dropped_total", dropped)
        self._ticker.wake()

    def _end_tick(self) -> bool:
        self._fan_out.end_tick()
        unsent = self._pending.by_user or self._fan_out.stalled or self._room.has_newcomers or self._views.waiting
        return bool(unsent) or self._ranking.cursor > self._sent_at

    async def _tick(self) -> None:
        changes, self._pending = self._pending, PendingChanges()
        views = self._views.take()
        pages = await self._read([TOP, *views])
        if pages is None:
            self._views.put_back(views)
            self._pending = changes.put_before(self._pending)
            return
        page = pages[0]
        if not every_step(self._sent_at, page.cursor, changes.steps):
            self._views.note_all(views)
        self._sent_at = page.cursor
        self._failpoint("announcing")
        news = [msgspec.structs.replace(change, cursor=page.cursor) for change in changes.by_user.values()]
        for_room = unseen(news, page, self._score_updates_max)
        self._add_extras(news, for_room, zip(views, pages[1:], strict=True))
        for audience in self._room.begin_tick(page, for_room):
            await self._fan_out.offer(audience, self._room.tick)
        self._fan_out.offer_rest()
        self._fan_out.check_stalled(page, drained=self._views.renew, expired=self._close_stalled)

    async def _read(self, views: Sequence[View]) -> list[Page] | None:
        """Read the top and views from the board, all at one cursor. None if the board cannot be read: then everything waits.

        A degraded top has no cursor of its own. A listener that joined during this read may have got a degraded top, with the
        newest cursor that this process knew. What the board answered before that cursor is too old for this listener.
        """
        try:
            if len(views) == 1:  # the usual case: the top is remembered and shared with the listeners that join
                pages = [await self._ranking.page(TOP.offset, TOP.limit)]
            else:
                pages = await self._ranking.read_views(views)
        except StoreUnavailable:
            return None
        return None if pages[0].degraded or pages[0].cursor < self._shown_at else pages

    def _add_extras(
        self, news: Sequence[ScoreChanged], for_room: Sequence[ScoreChanged], views: Iterable[tuple[View, Page]]
    ) -> None:
        """Add what single listeners get: their player's own events, the awards of spectated players, the followed views."""
        add = self._fan_out.add_extra
        sent_to_room = {change.user_id for change in for_room}
        for change in news:
            for member in self._own.of(change.user_id):
                own = () if member.in_room and change.user_id in sent_to_room else (change,)
                add(member, [*own, *player_events(change)])
            spectators = self._spectators.of(change.user_id)
            if spectators:
                awards = spectator_events(change)
                for member in spectators:
                    add(member, awards)
        for view, page in views:
            for member, event in self._views.news(view, page):
                add(member, (event,))

    def _close_stalled(self, member: Member) -> None:
        self._meter.count("sockets_closed_slow_total")
        self.leave(member.listener)
        member.listener.close(STALLED)
