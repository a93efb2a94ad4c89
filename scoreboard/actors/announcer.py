"""The announcer: rooms and ticks. Screens get the latest state at our pace, never every state at theirs.

Scores that change are only noted; at most once a tick the newest of each becomes events, each event is framed once for each
wire format, and all that a tick owes a socket leaves in one piece. Everything in a tick carries the tick's cursor, so no
client sees (epoch, seq) go back. The first change after a quiet time is told at once.

A socket that has not taken what it was last offered is *stalled*: it is offered nothing, nothing is kept for it, and when
it has drained it gets the newest snapshot. Stalled too long, it is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.boundaries import Failpoint, Listener, Meter, Parting, Ranking, StoreUnavailable, Wire, no_failpoint
from scoreboard.domain.standings import milestone
from scoreboard.domain.values import POINTS_MAX, BoardChanged, Cursor, Event, Page, RankAchieved, Row, ScoreChanged

TOP_ROWS = 10
STALLED_S_MAX = 10.0
SLOW = Parting(code=4008, reason="too slow: nothing was read for 10 seconds")
#: Players whose latest change waits for a tick; beyond it only the board itself is told.
CHANGES_WAITING_MAX = 10_000
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
        self._changes: dict[str, ScoreChanged] = {}
        self._told: tuple[Row, ...] | None = None
        self._told_at = Cursor(epoch=0, seq=0)
        self._next: IDelayedCall | None = None
        self._ticking = False
        self._last_s = float("-inf")

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
        if listener in self._own.get(listener.player.user_id, ()):  # it may have gone while we asked
            self._room.setdefault(listener.wire, {})[listener] = None
        return page

    def quit(self, listener: Listener) -> None:
        """Out of the leaderboard room."""
        room = self._room.get(listener.wire)
        if room is not None:
            room.pop(listener, None)
            if not room:
                del self._room[listener.wire]
        self._stalled.pop(listener, None)

    # News

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        """Scores changed, or (with nothing in hand) the board may have: the next tick tells."""
        waiting = self._changes
        for change in changes:
            earlier = waiting.get(change.user_id)
            if earlier is not None:  # one move a tick: from where the player stood at the last one
                change = msgspec.structs.replace(change, previous_rank=earlier.previous_rank)
            elif len(waiting) >= CHANGES_WAITING_MAX:
                self._meter.count("announcements_dropped_total")
                continue
            waiting[change.user_id] = change
        self._wake()

    async def stop(self) -> None:
        """No more ticks."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._ticking = True

    def _wake(self) -> None:
        if self._next is None and not self._ticking:
            wait_s = max(0.0, self._last_s + self._tick_s - self._clock.seconds())
            self._next = self._clock.callLater(wait_s, self._begin_tick)

    def _begin_tick(self) -> None:
        self._next = None
        self._ticking = True
        ensureDeferred(self._tick()).addErrback(self._tick_failed).addBoth(self._end_tick)

    def _tick_failed(self, failure: object) -> None:
        self._log.error("a tick failed: {failure}", failure=failure)

    def _end_tick(self, _: object) -> None:
        self._ticking = False
        # Counted from here, a big room slows its own pace before it slows submissions.
        self._last_s = self._clock.seconds()
        if self._changes or self._stalled or self._ranking.cursor > self._told_at:
            self._wake()

    async def _tick(self) -> None:
        changes, self._changes = self._changes, {}
        try:
            page = await self._ranking.page(0, TOP_ROWS)
        except StoreUnavailable:
            return
        if page.degraded:  # no cursor to tell it by; the redraw that must follow is told as a whole
            return
        self._told_at = page.cursor
        self._failpoint("telling")
        news = [msgspec.structs.replace(change, cursor=page.cursor) for change in changes.values()]
        common = self._for_the_room(page, news)
        room = {wire: list(listeners) for wire, listeners in self._room.items()}
        extra = self._for_players(news, common)
        for wire, listeners in room.items():
            frames = b"".join(map(wire.frame, common))
            if frames:
                await self._offer(listeners, frames, extra)
        self._offer_rest(extra)
        self._see_to_the_stalled(page)

    def _for_the_room(self, page: Page, news: Sequence[ScoreChanged]) -> list[Event]:
        """What everyone in the room is told: the moves that the new top does not show, best first, and the top if it changed."""
        shown = {row.user_id for row in page.rows}
        unseen = [change for change in news if change.user_id not in shown]
        if len(unseen) > self._score_updates_max:
            unseen.sort(key=lambda change: change.rank or POINTS_MAX)  # those taken off the board come last
            del unseen[self._score_updates_max :]
        events: list[Event] = list(unseen)
        if page.rows != self._told:
            self._told = page.rows
            events.append(BoardChanged(page=page))
        return events

    def _for_players(self, news: Sequence[ScoreChanged], common: Sequence[Event]) -> dict[Listener, bytes]:
        """What single sockets get besides: their player's own news, if the room does not hear it, and ranks achieved."""
        extra: dict[Listener, bytes] = {}
        heard = {event.user_id for event in common if isinstance(event, ScoreChanged)}
        for change in news:
            for listener in self._own.get(change.user_id, ()):
                in_room = listener in self._room.get(listener.wire, ())
                events: list[Event] = [] if in_room and change.user_id in heard else [change]
                events += _achieved(change)
                if events:
                    extra[listener] = b"".join(map(listener.wire.frame, events))
        return extra

    async def _offer(self, listeners: list[Listener], frames: bytes, extra: dict[Listener, bytes]) -> None:
        room = self._room.get(listeners[0].wire, {})
        for turn in _turns(listeners):
            for listener in turn:
                if listener not in room or listener in self._stalled:
                    continue
                if listener.drained:
                    listener.offer(frames + extra.pop(listener) if listener in extra else frames)
                else:
                    self._stalled[listener] = self._clock.seconds()
            if turn[-1] is not listeners[-1]:
                await deferLater(self._clock, 0, lambda: None)

    def _offer_rest(self, extra: dict[Listener, bytes]) -> None:
        for listener, frames in extra.items():
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
                    snapshots[wire] = wire.frame(BoardChanged(page=page))
                listener.offer(snapshots[wire])
            elif now_s - since_s >= STALLED_S_MAX:
                self._meter.count("sockets_closed_slow_total")
                self.leave(listener)
                listener.part(SLOW)


def _achieved(change: ScoreChanged) -> Iterable[RankAchieved]:
    reached = milestone(change.rank, change.previous_rank)
    if reached is not None and change.rank is not None:
        yield RankAchieved(
            cursor=change.cursor,
            user_id=change.user_id,
            milestone=reached,
            rank=change.rank,
            previous_rank=change.previous_rank,
            at_ms=change.at_ms,
        )


def _turns(listeners: list[Listener]) -> Iterator[list[Listener]]:
    for start in range(0, len(listeners), SOCKETS_PER_TURN):
        yield listeners[start : start + SOCKETS_PER_TURN]
