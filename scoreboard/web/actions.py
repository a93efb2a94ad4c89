"""Handlers of /actions: the list of action types, and the signature of what an action will bring, before the player begins it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scoreboard.boundaries.health import Health
from scoreboard.domain.grants import Grant, Keyring, sign
from scoreboard.domain.limits import ConcurrencySlot
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal, Refused, malformed, unavailable
from scoreboard.domain.rules import Catalogue, check_metadata, points_for
from scoreboard.net.http.request import Request
from scoreboard.net.http.response import JSON, NO_STORE, Response
from scoreboard.web.action_schemas import action_types_data
from scoreboard.web.conditional import TaggedResponse, tagged_by_content
from scoreboard.web.request_bodies import read_initialize
from scoreboard.web.request_guard import ONE, Charge, RequestGuard
from scoreboard.web.schemas import Success, encode, grant_data

_TOO_MANY: Final = "Too many actions begun or open. Complete some, or try again later."
_NO_LEDGER: Final = unavailable("The ledger keeps no awards now; no action was begun")
_HEADER_LINES: Final = JSON + NO_STORE
#: The catalogue changes only when the server restarts.
_LIST: Final = JSON + b"Cache-Control: private, max-age=60\r\n"


@dataclass(frozen=True, eq=False)
class ActionHandlers:
    """Handlers of /actions. ``action_ttl_ms`` is the lifetime of a signed action; ``signing_ring`` gives the present keys."""

    guard: RequestGuard
    health: Health
    catalogue: Catalogue
    signing_ring: Callable[[], Keyring]
    action_ttl_ms: int
    now_ms: Callable[[], int]
    new_id: Callable[[], str]

    async def list_types(self, request: Request) -> Response:
        """The public action types of the catalogue, or 304 to a client that has them."""
        await self.guard.require_viewer(request)
        return self._types.answer(request)

    @cached_property
    def _types(self) -> TaggedResponse:
        data = action_types_data(self.catalogue, self.action_ttl_ms, self.guard.limits.open_actions_max)
        return tagged_by_content(encode(Success(data=data)), _LIST)

    async def initialize(self, request: Request) -> Response | Refusal:
        """Sign an action. A refused request counts against the limit, but takes no slot of the player's open actions.

        While the ledger cannot keep awards, every request is refused and none is counted: no player could complete an action.
        """
        _, grant = await self.guard.require_player(request, "initialize", self._read, _TOO_MANY)
        if isinstance(grant, Refusal):
            return grant
        return Response(200, encode(Success(data=grant_data(grant, sign(grant, self.signing_ring())))), _HEADER_LINES)

    def _read(self, request: Request, player: Player) -> tuple[Grant | Refusal, Charge]:
        if not self.health.ledger_serves:
            raise Refused(_NO_LEDGER)
        grant = self._grant(request, player)
        if isinstance(grant, Refusal):
            return grant, ONE
        quota = self.guard.limits.open_actions_max
        slot = ConcurrencySlot(user_id=player.user_id, holder=grant.action_id, quota=quota, ttl_ms=self.action_ttl_ms)
        return grant, Charge(slot=slot)

    def _grant(self, request: Request, player: Player) -> Grant | Refusal:
        try:
            wish = read_initialize(request.content_type, request.body)
        except Refused as refused:
            return refused.refusal
        rule = self.catalogue.get(wish.action_type)
        if rule is None:
            return malformed("actionType", "there is no such action; GET /api/v1/actions lists them")
        fault = check_metadata(rule, wish.values)
        if fault is not None:
            return fault
        now_ms = self.now_ms()
        return Grant(
            action_id=self.new_id(),
            user_id=player.user_id,
            action_type=rule.action_type,
            issued_at_ms=now_ms,
            not_before_ms=now_ms + rule.duration_ms_min,
            expires_at_ms=now_ms + self.action_ttl_ms,
            points=points_for(rule, wish.values),
            metadata=wish.metadata,
        )
