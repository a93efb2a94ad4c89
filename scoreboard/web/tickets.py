"""Tickets: for clients that cannot send a header. A token buys one, and one is good for one stream or one question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scoreboard.boundaries.authentication import Tickets
from scoreboard.domain.players import TICKET_LIFE_S, Player
from scoreboard.domain.refusals import Refused
from scoreboard.net.http.bearer import INVALID_TOKEN
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.request_guard import RequestGuard
from scoreboard.web.schemas import Success, TicketData, encode


@dataclass(frozen=True, eq=False)
class TicketHandlers:
    """The handler of /auth/ticket, and who is asking wherever a ticket will do."""

    guard: RequestGuard
    tickets: Tickets
    now_ms: Callable[[], int]

    async def issue(self, request: Request) -> Response:
        """A ticket for whoever shows a token."""
        player = await self.guard.require_viewer(request)
        ticket = await self.tickets.issue(player)
        data = TicketData(ticket=ticket, expires_at=self.now_ms() + 1000 * TICKET_LIFE_S)
        return Response(200, encode(Success(data=data)), JSON + NO_STORE)

    async def viewer(self, request: Request, ticket: str | None) -> Player:
        """Whoever brings a ticket or, without one, shows a token; the request is counted either way. Raises Refused."""
        if ticket is None:
            return await self.guard.require_viewer(request)
        await self.guard.count(request)
        player = await self.tickets.redeem(ticket)
        if player is None:
            raise Refused(INVALID_TOKEN)
        return self.guard.set_player(request, player)
