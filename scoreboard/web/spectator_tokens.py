"""Handler of /auth/spectator: it issues tokens that may read without an account, if the operator opened the board."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.http.bearer import bearer
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.request_guard import RequestGuard
from scoreboard.web.schemas import Success, TokenData, encode

SPECTATOR_LIFE_S: Final = 600
#: The ids of spectators that this server issued. A token of a login service does not keep its id here, whatever its role.
_NAME: Final = re.compile(r"spectator-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NOT_PUBLIC: Final = Refusal(reason=Reason.NOT_FOUND, message="This board is not open to spectators")


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
        """A new id; but a valid spectator's token keeps its own, so that its open socket can go on."""
        shown = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        known = self.guard.authenticator.authenticate(shown) if isinstance(shown, str) else shown
        kept = isinstance(known, Player) and known.role == "spectator" and _NAME.fullmatch(known.user_id) is not None
        return known.user_id if isinstance(known, Player) and kept else f"spectator-{self.new_id()}"
