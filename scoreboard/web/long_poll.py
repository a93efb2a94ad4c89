"""Long poll: a request for changes is answered at once if there are any, else when something changes or its time is up.

A waiting request is a listener in the announcer's room like any socket, and the first event ends its wait. So a busy board
answers it at the next tick, and a quiet one costs nothing. The event stream's handler is here as well: it reads the same query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from typing_extensions import override

from scoreboard.boundaries.announcer import Announcer, EventEncoder, Listener
from scoreboard.boundaries.ranking import Ranking
from scoreboard.domain.board_pages import TOP_ROWS
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import NO_CURSOR, Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal, unavailable
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.credentials import TicketHandlers
from scoreboard.web.query_params import read_changes_query
from scoreboard.web.schemas import Success, changes_data, encode

WAITING_MAX: Final = 2_000

_CROWDED: Final = unavailable("Too many requests are waiting for changes", retry_after_s=5)
_NO_HISTORY: Final = unavailable("The board's history cannot be read now")
_STREAM: Final = b"Content-Type: text/event-stream\r\n" + NO_STORE


class _NullEncoder(EventEncoder):
    """Encoder that says only that there is an event: the response is read from the ranking."""

    @override
    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        return b"!"


_NULL_ENCODER: Final = _NullEncoder()


class _LongPollListener(Listener):
    """Listener of one request: any event and any close ends its wait."""

    drained = True

    def __init__(self, player: Player) -> None:
        self.encoder: EventEncoder = _NULL_ENCODER
        self.player = player
        self.woken: Deferred[None] = Deferred()

    @override
    def offer(self, frames: bytes) -> None:
        self.wake()

    @override
    def close(self, close_reason: CloseReason) -> None:
        self.wake()

    def wake(self) -> None:
        if not self.woken.called:
            self.woken.callback(None)


@dataclass(eq=False)
class LongPollHandlers:
    """Handlers of /scores/changes and /scores/stream. ``open_stream`` makes the resource that takes a connection over."""

    ticket_handlers: TicketHandlers
    ranking: Ranking
    announcer: Announcer
    open_stream: Callable[[Player, str, Cursor | None, bytes, bytes], IResource]
    clock: IReactorTime
    _waiting: set[_LongPollListener] = field(default_factory=set, init=False)
    _closing: bool = field(default=False, init=False)

    async def changes(self, request: Request) -> Response | Refusal:
        """Answer what changed since the client's cursor, perhaps nothing; or the top, if the history does not reach so far."""
        wanted = read_changes_query(request.query)
        player = await self.ticket_handlers.viewer(request, wanted.ticket)
        since = wanted.since or NO_CURSOR  # whose response is the top
        history = await self.ranking.since(since, TOP_ROWS)
        if history.changes == () and wanted.wait_s and not self._closing:
            if len(self._waiting) >= WAITING_MAX:
                return _CROWDED
            await self._wait(request, player, since, wanted.wait_s)
            history = await self.ranking.since(since, TOP_ROWS)
        if history.degraded:
            return _NO_HISTORY
        return Response(200, encode(Success(data=changes_data(history))), JSON + NO_STORE)

    async def stream(self, request: Request) -> Response | IResource:
        """Open a stream of the events from the client's cursor on."""
        wanted = read_changes_query(request.query, b", ".join(request.requestHeaders.getRawHeaders(b"Last-Event-ID", ())))
        # Read now: the client may disconnect while its ticket is redeemed.
        address, header_lines = request.counted_as, request.channel.site.header_lines
        player = await self.ticket_handlers.viewer(request, wanted.ticket)
        if request.for_head:
            return Response(200, b"", _STREAM)
        return self.open_stream(player, address, wanted.since, header_lines + request.header_lines, request.clientproto)

    def release(self) -> None:
        """Answer all waiting requests, and let no later one wait: the server stops."""
        self._closing = True
        for waiter in tuple(self._waiting):
            waiter.wake()

    async def _wait(self, request: Request, player: Player, since: Cursor, wait_s: int) -> None:
        """Return when there may be a newer state than the cursor, when the time is up, or when the client has disconnected."""
        waiter = _LongPollListener(player)
        self._waiting.add(waiter)
        token_s = player.expires_at_s - self.ticket_handlers.now_ms() / 1000  # the wait ends with the token, whose answer is 401
        alarm = self.clock.callLater(max(0.0, min(wait_s, token_s)), waiter.wake)
        request.when_client_ends(waiter.wake)
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
