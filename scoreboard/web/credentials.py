"""Handlers of /auth: tickets in place of tokens, and tokens of spectators, who may read without an account."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scoreboard.boundaries.authentication import Tickets
from scoreboard.domain.players import TICKET_LIFE_S, Player
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.domain.token_faults import TokenFault
from scoreboard.net.http.bearer import UNAUTHORIZED, bearer
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.request_guard import RequestGuard
from scoreboard.web.schemas import Success, TicketData, TokenData, encode

SPECTATOR_LIFE_S: Final = 600
#: The ids of spectators that this server issued. A token of a login service does not keep its id here, whatever its role.
_NAME: Final = re.compile(r"spectator-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NEITHER: Final = Refusal(
    reason=Reason.UNAUTHORIZED,
    message="Send Authorization: Bearer and a token, or ?ticket= and a ticket that POST /api/v1/auth/ticket gives for a token",
)
_BAD_TICKET: Final = Refusal(
    reason=Reason.INVALID_TOKEN,
    message="The ticket is not valid: it serves once, for 30 seconds; POST /api/v1/auth/ticket gives another one",
)
_NOT_PUBLIC: Final = Refusal(reason=Reason.NOT_FOUND, message="This board is not open to spectators")


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
        """The player that the ticket or, without one, the token proves. It counts in both cases. Raises Refused."""
        if ticket is None:
            try:
                return await self.guard.require_viewer(request)
            except Refused as refused:
                raise Refused(_NEITHER) if refused.refusal is UNAUTHORIZED else refused from None
        await self.guard.count(request)
        player = await self.tickets.redeem(ticket)
        if player is None:
            self.guard.authenticator.note_refusal(TokenFault.TICKET)
            raise Refused(_BAD_TICKET)
        return self.guard.set_player(request, player)


@dataclass(frozen=True, eq=False)
class SpectatorHandlers:
    """Handler of /auth/spectator. ``life_s`` is the lifetime of its tokens, None when the board is not open."""

    guard: RequestGuard
    life_s: int | None
    now_ms: Callable[[], int]
    new_id: Callable[[], str]

    async def enter(self, request: Request) -> Response | Refusal:
        """Issue a spectator's token."""
        await self.guard.count(request)
        if self.life_s is None:
            return _NOT_PUBLIC
        token = self.guard.authenticator.issue_token(self._name(request), "spectator", "spectator", self.life_s)
        data = TokenData(token=token, expires_at=1000 * (self.now_ms() // 1000 + self.life_s))
        return Response(200, encode(Success(data=data)), JSON + NO_STORE)

    def _name(self, request: Request) -> str:
        """The id in a valid spectator's token, so that the open socket can use the new token. Otherwise a new id."""
        shown = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        known = self.guard.authenticator.authenticate(shown) if isinstance(shown, str) else shown
        kept = isinstance(known, Player) and known.role == "spectator" and _NAME.fullmatch(known.user_id) is not None
        return known.user_id if isinstance(known, Player) and kept else f"spectator-{self.new_id()}"
