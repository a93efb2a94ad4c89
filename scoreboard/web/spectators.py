"""Spectators: whoever may watch without being anybody, when the operator says so."""

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
#: The names that we give. A player's token keeps no name here, whatever role its login service says.
_NAME: Final = re.compile(r"spectator-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NO_SPECTATORS: Final = Refusal(reason=Reason.NOT_FOUND, message="This board is not open to spectators")


@dataclass(frozen=True, eq=False)
class SpectatorHandlers:
    """The handler of /auth/spectator. ``life_s`` is how long its tokens live, None when there are none."""

    guard: RequestGuard
    life_s: int | None
    now_ms: Callable[[], int]
    new_id: Callable[[], str]

    async def enter(self, request: Request) -> Response | Refusal:
        """A token that may watch for a while."""
        await self.guard.count(request)
        if self.life_s is None:
            return _NO_SPECTATORS
        token = self.guard.authenticator.issue_token(self._name(request), "spectator", "spectator", self.life_s)
        data = TokenData(token=token, expires_at=1000 * (self.now_ms() // 1000 + self.life_s))
        return Response(200, encode(Success(data=data)), JSON + NO_STORE)

    def _name(self, request: Request) -> str:
        """A new one; but who still shows a spectator's token keeps its name, so that an open socket can go on."""
        shown = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        known = self.guard.authenticator.authenticate(shown) if isinstance(shown, str) else shown
        kept = isinstance(known, Player) and known.role == "spectator" and _NAME.fullmatch(known.user_id) is not None
        return known.user_id if isinstance(known, Player) and kept else f"spectator-{self.new_id()}"
