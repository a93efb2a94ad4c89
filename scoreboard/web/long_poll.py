"""What changed since: answered at once, or when something does, or when patience ends. And streams, which never end.

Whoever waits is a listener in the announcer's room like any socket: the first thing it is offered wakes it. So a busy board
answers once a tick, and a quiet one costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from scoreboard.boundaries.announcer import Announcer, EventEncoder, Listener
from scoreboard.boundaries.ranking import Ranking
from scoreboard.domain.board_state import History
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal, unavailable
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.query_params import read_changes_query
from scoreboard.web.schemas import Success, changes_data, encode
from scoreboard.web.tickets import TicketHandlers

TOP_ROWS: Final = 10
WAITING_MAX: Final = 2_000

#: From here nothing is known: there is no epoch 0.
_NOWHERE: Final = Cursor(epoch=0, seq=0)
_CROWDED: Final = unavailable("Too many requests are waiting for changes", retry_after_s=5)
_NO_HISTORY: Final = unavailable("The board's history cannot be read now")
_STREAM: Final = b"Content-Type: text/event-stream\r\n" + NO_STORE


class _NullEncoder:
    """A wire that says only that there is something."""

    def frame(self, event: Event) -> bytes:
        return b"!"


_NULL_ENCODER: Final = _NullEncoder()


class _LongPollListener:
    """Implements boundaries.Listener for one request: anything that it is offered, and any goodbye, ends its wait."""

    drained = True

    def __init__(self, player: Player) -> None:
        self.encoder: EventEncoder = _NULL_ENCODER
        self.player = player
        self.woken: Deferred[None] = Deferred()

    def offer(self, frames: bytes) -> None:
        self.wake()

    def close(self, close_reason: CloseReason) -> None:
        self.wake()

    def wake(self, _: object = None) -> None:
        if not self.woken.called:
            self.woken.callback(None)


@dataclass(eq=False)
class LongPollHandlers:
    """Handlers of /scores/changes and /scores/stream. ``open_stream`` gives what takes a connection over."""

    ticket_handlers: TicketHandlers
    ranking: Ranking
    announcer: Announcer
    open_stream: Callable[[Player, str, Cursor | None, bytes], IResource]
    clock: IReactorTime
    _waiting: set[_LongPollListener] = field(default_factory=set, init=False)
    _closing: bool = field(default=False, init=False)

    async def changes(self, request: Request) -> Response | Refusal:
        """What changed since the client's cursor, perhaps nothing; or the top, where that is not known any more."""
        wanted = read_changes_query(request.query)
        player = await self.ticket_handlers.viewer(request, wanted.ticket)
        since = wanted.since or _NOWHERE
        history = await self.ranking.since(since, TOP_ROWS)
        if history.changes == () and wanted.wait_s and not self._closing:
            if len(self._waiting) >= WAITING_MAX:
                return _CROWDED
            await self._news(request, player, since, wanted.wait_s)
            history = await self.ranking.since(since, TOP_ROWS)
        return _NO_HISTORY if history.degraded else _changes_response(history)

    async def stream(self, request: Request) -> Response | IResource:
        """Everything from the client's cursor on, as it happens."""
        wanted = read_changes_query(request.query, request.getHeader(b"Last-Event-ID"))
        address, header_lines = (
            request.counted_as,
            request.channel.site.header_lines,
        )  # now: the client may go while we ask who it is
        player = await self.ticket_handlers.viewer(request, wanted.ticket)
        if request.for_head:
            return Response(200, b"", _STREAM)
        return self.open_stream(player, address, wanted.since, header_lines + request.header_lines)

    def release(self) -> None:
        """We are closing: whoever waits is answered now, and nobody waits any more."""
        self._closing = True
        for waiter in tuple(self._waiting):
            waiter.wake()

    async def _news(self, request: Request, player: Player, since: Cursor, wait_s: int) -> None:
        """Return when there may be something newer than the cursor, when the time is up, or when the client has gone."""
        if request.channel is None:  # it has gone already, and nobody would tell us
            return
        waiter = _LongPollListener(player)
        self._waiting.add(waiter)
        token_s = player.expires_at_s - self.ticket_handlers.now_ms() / 1000  # the wait ends with the token, whose answer is 401
        alarm = self.clock.callLater(max(0.0, min(wait_s, token_s)), waiter.wake)
        request.notifyFinish().addErrback(waiter.wake)
        self.announcer.enter(waiter)
        try:
            back = await self.announcer.resume(waiter, since)
            if back.missed == ():
                await waiter.woken
        finally:
            self.announcer.leave(waiter)
            self._waiting.remove(waiter)
            if alarm.active():
                alarm.cancel()


def _changes_response(history: History) -> Response:
    return Response(200, encode(Success(data=changes_data(history))), JSON + NO_STORE)


_conforms: tuple[type[Listener], type[EventEncoder]] = (_LongPollListener, _NullEncoder)
