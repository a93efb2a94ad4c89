"""Request guard: authenticates requests and counts them against the limits, in one round trip to the rate limiter.

Handlers get their player from here alone, so none can forget a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, TypeVar

from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit, RateVerdict
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal, Refused, too_many_requests
from scoreboard.domain.token_faults import TokenFault
from scoreboard.domain.value import Value
from scoreboard.net.http.bearer import UNAUTHORIZED, bearer
from scoreboard.net.http.refusals import rate_lines
from scoreboard.net.http.request import Request
from scoreboard.net.http.slow_down import SlowDown

EVERYONE: Final = "*"
_FORBIDDEN: Final = Refusal(reason=Reason.FORBIDDEN, message="This token may watch, not play")

PlayerLimit = Literal["submit", "initialize", "settings"]
Read = TypeVar("Read")


class Limits(Value, frozen=True, kw_only=True):
    """The limits of requests: of an address, of everyone together, of a player by kind of request, and of open actions.

    ``probes`` and ``pages`` are kept in each process's memory, all others in all processes together.
    """

    address: Limit
    everyone: Limit
    players: Mapping[PlayerLimit, Limit]
    open_actions_max: int
    #: Of an address at routes that need no token: health checks and metrics, and the files of the pages.
    probes: Limit
    pages: Limit

    def common_hits(self, address: str) -> list[Hit]:
        """What every request and every handshake counts against: its address, and everyone."""
        return [Hit(limit=self.address, subject=address), Hit(limit=self.everyone, subject=EVERYONE)]


class Charge(Value, frozen=True, kw_only=True):
    """How much a request uses of its player's limit, and the concurrency slot that it takes, if any."""

    cost: int = 1
    slot: ConcurrencySlot | None = None


ONE: Final = Charge()


@dataclass(frozen=True, eq=False)
class RequestGuard:
    """Guard of every route with a token. Unless a limit refuses a request, it counts against its address and everyone."""

    authenticator: Authenticator
    rate_limiter: RateLimiter
    limits: Limits
    slow_down: SlowDown

    async def require_viewer(self, request: Request) -> Player:
        """The player that the request's token proves, of any role. Raises Refused."""
        player = await self._authenticated(request)
        await self.count(request)
        self.recheck(request)
        return player

    async def require_player(
        self, request: Request, limit: PlayerLimit, read: Callable[[Request, Player], tuple[Read, Charge]], complaint: str
    ) -> tuple[Player, Read]:
        """The player that the request's token proves, and what ``read`` read of the request. Raises Refused.

        The request counts against the player's ``limit`` as well. ``read`` returns the units that the request costs; the response
        says how many are left. ``complaint`` is the message when there were too many. If ``read`` raises, nothing is counted: a
        reader returns the refusal of a bad body, which counts, and raises only for what the client cannot help.
        """
        player = await self._authenticated(request)
        if not player.may_play:
            await self.count(request)
            raise Refused(_FORBIDDEN)
        result, charge = read(request, player)
        hit = Hit(limit=self.limits.players[limit], subject=player.user_id, cost=charge.cost)
        hits = [*self.limits.common_hits(request.counted_as), hit]
        verdict = await self.rate_limiter.check(hits, charge.slot)
        if verdict.refused is not None:
            await self._refuse(hits, verdict, complaint)
        request.rate_lines = rate_lines(hit.limit, verdict.remaining, -(-verdict.reset_ms // 1000))
        self.recheck(request)
        return player, result

    async def count(self, request: Request) -> None:
        """Count a request of this address and of everyone. Raises Refused when there were too many."""
        hits = self.limits.common_hits(request.counted_as)
        verdict = await self.rate_limiter.check(hits)
        if verdict.refused is not None:
            await self._refuse(hits, verdict)

    def set_player(self, request: Request, player: Player) -> Player:
        """Record that a ticket proved this player, and return it. Raises Refused if it is suspended or its token has ended."""
        request.player = player
        self.recheck(request)
        return player

    def recheck(self, request: Request) -> None:
        """Raise Refused if the request's player is suspended, or if the player's token has ended."""
        refusal = None if request.player is None else self.authenticator.recheck(request.player)
        if refusal is not None:
            raise Refused(refusal)

    async def _authenticated(self, request: Request) -> Player:
        """The player that the request's token proves. Raises Refused, having counted the request."""
        token = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        player = token if isinstance(token, Refusal) else self.authenticator.authenticate(token)
        if isinstance(player, Refusal):
            if player is token:
                self.authenticator.note_refusal(TokenFault.NO_TOKEN if token is UNAUTHORIZED else TokenFault.NOT_ONE_TOKEN)
            await self.count(request)
            raise Refused(player)
        request.player = player
        return player

    async def _refuse(self, hits: Sequence[Hit], verdict: RateVerdict, complaint: str = "") -> NoReturn:
        """Raise Refused for the limit that refused the request, for an address after a moment.

        A limit that no hit has is the number of open actions.
        """
        limit = verdict.limit_in(hits)
        if limit == self.limits.address:
            await self.slow_down.wait()
        if limit in (self.limits.address, self.limits.everyone):
            raise Refused(too_many_requests(verdict.retry_after_ms, limit))
        limit = limit or Limit(name=verdict.refused or "", quota=self.limits.open_actions_max, window_ms=0)
        raise Refused(too_many_requests(verdict.retry_after_ms, limit, complaint))
