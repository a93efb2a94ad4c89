"""Handler of /auth/ticket: a client exchanges its token for a ticket where it cannot send a header. A ticket is for one use."""

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
    """Handler of /auth/ticket, and the authentication of routes that accept a ticket."""

    guard: RequestGuard
    tickets: Tickets
    now_ms: Callable[[], int]

    async def issue(self, request: Request) -> Response:
        """Issue a ticket for the token's player."""
        player = await self.guard.require_viewer(request)
        ticket = await self.tickets.issue(player)
        data = TicketData(ticket=ticket, expires_at=self.now_ms() + 1000 * TICKET_LIFE_S)
        return Response(200, encode(Success(data=data)), JSON + NO_STORE)

    async def viewer(self, request: Request, ticket: str | None) -> Player:
        """The player that the ticket or, without one, the token proves. The request is counted either way. Raises Refused."""
        if ticket is None:
            return await self.guard.require_viewer(request)
        await self.guard.count(request)
        player = await self.tickets.redeem(ticket)
        if player is None:
            raise Refused(INVALID_TOKEN)
        return self.guard.set_player(request, player)
