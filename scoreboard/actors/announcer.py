"""The announcer: rooms and ticks. Screens get the latest state at our pace, never every state at theirs.

Scores that change are only noted; at most once a tick the newest of each becomes events, each event is framed once for each
wire format, and all that a tick owes a socket leaves in one piece. Everything in a tick carries the tick's cursor, and who
joins while one is told hears nothing more of it, so no client sees (epoch, seq) go back. The first change after a quiet time
is told at once.

The top is told with what was told before, so that a wire may say only how they differ. Whoever came in with another top than
the room was told is a *newcomer* until the next tick, which tells it from there.

A socket that has not taken what it was last offered is *stalled*: it is offered nothing, nothing is kept for it, and when
it has drained it gets the newest snapshot. Stalled too long, it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.actors.missed import achieved, missed
from scoreboard.boundaries import Failpoint, Listener, Meter, Parting, Ranking, Return, StoreUnavailable, Wire, no_failpoint
from scoreboard.domain.news import follow
from scoreboard.domain.values import POINTS_MAX, BoardChanged, Cursor, Event, Page, Row, ScoreChanged

TOP_ROWS = 10
STALLED_S_MAX = 10.0
SLOW = Parting(code=4008, reason="too slow: nothing was read for 10 seconds")
#: Players whose latest change waits for a tick; beyond it only the board itself is told.
CHANGES_WAITING_MAX = 10_000
#: Between two fan-outs there is a tick, and at least so many times what the first took (a sixth of the reactor is theirs at
#: most), up to what is still within a blink.
PAUSE_PER_FAN_OUT = 5
PAUSE_S_MAX = 0.25
#: Sockets served before the reactor gets a turn, so that a big room never stalls it (hardening P6).
SOCKETS_PER_TURN = 500


class Announcer:
    """Implements boundaries.Announcer."""

    _log = Logger()

    def __init__(
        self,
        *,
        ranking: Ranking,
        clock: IReactorTime,
        tick_ms: int,
        score_updates_per_tick_max: int,
        meter: Meter,
        failpoint: Failpoint = no_failpoint,
    ) -> None:
        self._ranking = ranking
        self._clock = clock
        self._tick_s = tick_ms / 1000
        self._score_updates_max = score_updates_per_tick_max
        self._meter = meter
        self._failpoint = failpoint
        self._room: dict[Wire, dict[Listener, None]] = {}
        self._own: dict[str, dict[Listener, None]] = {}
        self._stalled: dict[Listener, float] = {}
        self._newcomers: dict[Listener, tuple[Row, ...]] = {}
        #: Who is still to hear the tick under way, and what single sockets get besides.
        self._audiences: list[dict[Listener, None]] = []
        self._extra: dict[Listener, bytes] = {}
        self._changes: dict[str, ScoreChanged] = {}
        self._told: tuple[Row, ...] | None = None
        self._told_at = self._shown_at = Cursor(epoch=0, seq=0)
        self._next: IDelayedCall | None = None
        self._ticking = False
        self._began_s = 0.0
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

    async def join(self, listener: Listener) -> Page:
        """Into the leaderboard room; the top of the board, not older than anything the room is told later."""
        page = await self._ranking.page(0, TOP_ROWS)
        self._let_in(listener, page)
        return page

    async def resume(self, listener: Listener, since: Cursor) -> Return:
        """Into the leaderboard room, with what was missed since a cursor if that is still known."""
        history = await self._ranking.since(since, TOP_ROWS)
        self._let_in(listener, history.page)
        return Return(page=history.page, missed=missed(history, listener.player.user_id))

    def _let_in(self, listener: Listener, page: Page) -> None:
        if listener not in self._own.get(listener.player.user_id, ()):  # it has gone while we asked
            return
        self._shown_at = max(self._shown_at, page.cursor)
        extra = self._extra.pop(listener, None)
        self.quit(listener)
        if extra is not None and listener.drained:
            listener.offer(extra)  # of a tick that is not newer than the page
        self._room.setdefault(listener.wire, {})[listener] = None
        if self._told is None:
            self._told = page.rows
        elif page.rows != self._told:
            self._newcomers[listener] = page.rows
            self._wake()  # perhaps nothing else will: a degraded top may differ from the board's, which does not change

    def quit(self, listener: Listener) -> None:
        """Out of the leaderboard room."""
        room = self._room.get(listener.wire)
        if room is not None:
            room.pop(listener, None)
            if not room:
                del self._room[listener.wire]
        for audience in self._audiences:
            audience.pop(listener, None)
        self._stalled.pop(listener, None)
        self._newcomers.pop(listener, None)

    # News

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        """Scores changed, or (with nothing in hand) the board may have: the next tick tells."""
        waiting = self._changes
        for change in changes:
            earlier = waiting.get(change.user_id)
            if earlier is None and len(waiting) >= CHANGES_WAITING_MAX:
                self._meter.count("announcements_dropped_total")
                continue
            waiting[change.user_id] = follow(earlier, change)
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
        self._began_s = self._clock.seconds()
        ensureDeferred(self._tick()).addErrback(self._tick_failed).addBoth(self._end_tick)

    def _tick_failed(self, failure: object) -> None:
        self._log.error("a tick failed: {failure}", failure=failure)

    def _end_tick(self, _: object) -> None:
        self._ticking = False
        # A big room slows its own pace before it slows submissions.
        now_s = self._clock.seconds()
        self._not_before_s = now_s + max(self._tick_s, min(PAUSE_PER_FAN_OUT * (now_s - self._began_s), PAUSE_S_MAX))
        self._audiences, self._extra = [], {}
        if self._changes or self._stalled or self._newcomers or self._ranking.cursor > self._told_at:
            self._wake()

    async def _tick(self) -> None:
        changes, self._changes = self._changes, {}
        page = await self._top()
        if page is None:
            later, self._changes = self._changes, changes
            self.tell(tuple(later.values()))
            return
        self._told_at = page.cursor
        self._failpoint("telling")
        news = [msgspec.structs.replace(change, cursor=page.cursor) for change in changes.values()]
        unseen = self._unseen(page, news)
        self._extra = self._for_players(news, unseen)
        for audience, frames in self._parts(page, unseen):
            await self._offer(audience, frames)
        self._offer_rest()
        self._see_to_the_stalled(page)

    async def _top(self) -> Page | None:
        """The top as the board has it, or None while that cannot be asked: then what changed waits for a later tick.

        A degraded top has no cursor to tell it by. But whoever joined meanwhile may have been shown one, with the newest cursor
        that was heard of: what the board answered before that is too old for them.
        """
        try:
            page = await self._ranking.page(0, TOP_ROWS)
        except StoreUnavailable:
            return None
        return None if page.degraded or page.cursor < self._shown_at else page

    def _unseen(self, page: Page, news: Sequence[ScoreChanged]) -> list[ScoreChanged]:
        """What everyone in the room is told besides the top: the moves that it does not show, best first if there are many."""
        shown = {row.user_id for row in page.rows}
        unseen = [change for change in news if change.user_id not in shown]
        if len(unseen) > self._score_updates_max:
            unseen.sort(key=lambda change: change.rank or POINTS_MAX)  # those taken off the board come last
            del unseen[self._score_updates_max :]
        return unseen

    def _parts(self, page: Page, unseen: Sequence[ScoreChanged]) -> list[tuple[dict[Listener, None], bytes]]:
        """Everyone in the room with what they are offered: the moves, and the top if it reads otherwise than what they know."""
        newcomers, self._newcomers = self._newcomers, {}
        told, self._told = self._told, page.rows
        audiences: dict[tuple[Wire, tuple[Row, ...] | None], dict[Listener, None]] = {}
        for wire, room in self._room.items():
            audiences[wire, told] = {one: None for one in room if one not in newcomers} if newcomers else room.copy()
        for listener, top in newcomers.items():
            audiences.setdefault((listener.wire, top), {})[listener] = None
        parts: list[tuple[dict[Listener, None], bytes]] = []
        for (wire, known), audience in audiences.items():
            events: list[Event] = [*unseen]
            if known != page.rows:
                events.append(BoardChanged(page=page, before=known))
            if events and audience:
                parts.append((audience, b"".join(map(wire.frame, events))))
        self._audiences = [audience for audience, _ in parts]
        return parts

    def _for_players(self, news: Sequence[ScoreChanged], unseen: Sequence[ScoreChanged]) -> dict[Listener, bytes]:
        """What single sockets get besides: their player's own news, if the room does not hear it, and ranks achieved."""
        extra: dict[Listener, bytes] = {}
        heard = {change.user_id for change in unseen}
        for change in news:
            for listener in self._own.get(change.user_id, ()):
                in_room = listener in self._room.get(listener.wire, ())
                events: list[Event] = [] if in_room and change.user_id in heard else [change]
                events += achieved(change)
                if events:
                    extra[listener] = b"".join(map(listener.wire.frame, events))
        return extra

    async def _offer(self, audience: dict[Listener, None], frames: bytes) -> None:
        extra = self._extra
        listeners = list(audience)
        for turn in _turns(listeners):
            for listener in turn:
                if listener not in audience or listener in self._stalled:
                    continue
                if listener.drained:
                    listener.offer(frames + extra.pop(listener) if listener in extra else frames)
                else:
                    self._stalled[listener] = self._clock.seconds()
            if turn[-1] is not listeners[-1]:
                await deferLater(self._clock, 0, lambda: None)

    def _offer_rest(self) -> None:
        for listener, frames in self._extra.items():
            if listener in self._own.get(listener.player.user_id, ()) and listener not in self._stalled and listener.drained:
                listener.offer(frames)

    def _see_to_the_stalled(self, page: Page) -> None:
        now_s = self._clock.seconds()
        snapshots: dict[Wire, bytes] = {}
        for listener, since_s in list(self._stalled.items()):
            if listener.drained:
                del self._stalled[listener]
                wire = listener.wire
                if wire not in snapshots:
                    snapshots[wire] = wire.frame(BoardChanged(page=page, reset=True))
                listener.offer(snapshots[wire])
            elif now_s - since_s >= STALLED_S_MAX:
                self._meter.count("sockets_closed_slow_total")
                self.leave(listener)
                listener.part(SLOW)


def _turns(listeners: list[Listener]) -> Iterator[list[Listener]]:
    for start in range(0, len(listeners), SOCKETS_PER_TURN):
        yield listeners[start : start + SOCKETS_PER_TURN]
