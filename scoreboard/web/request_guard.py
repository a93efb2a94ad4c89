"""The door: who is asking, and whether they may ask so often. One question to the gate for every request that passes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit, RateVerdict
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.domain.value import Value
from scoreboard.net.http.bearer import bearer
from scoreboard.net.http.request import Request

EVERYONE: Final = "*"
_FORBIDDEN: Final = Refusal(reason=Reason.FORBIDDEN, message="This token may watch, not play")
_TOO_MANY: Final = "Too many requests. Please try again later."


class Limits(Value, frozen=True, kw_only=True):
    """How often: an address, everyone together, and one user each kind of thing; and how many actions may be open at once.

    ``probes`` and ``pages`` are kept in each process's memory, all others in all processes together.
    """

    address: Limit
    everyone: Limit
    submit: Limit
    initialize: Limit
    settings: Limit
    open_actions_max: int
    #: For an address at routes that need no token: what machines ask, and what pages are made of.
    probes: Limit
    pages: Limit


@dataclass(frozen=True, eq=False)
class RequestGuard:
    """Knows the doorkeeper and the gate, and the two limits that everybody meets."""

    authenticator: Authenticator
    rate_limiter: RateLimiter
    limits: Limits

    async def require_viewer(self, request: Request) -> Player:
        """Whoever shows a good token; the request is counted either way. Raises Refused."""
        player = await self._admitted(request)
        await self.count(request)
        self.recheck(request)
        return player

    async def require_player(self, request: Request) -> Player:
        """Whoever may play. Raises Refused, having counted the request; if it returns, the caller counts it."""
        player = await self._admitted(request)
        if not player.may_play:
            await self.count(request)
            raise Refused(_FORBIDDEN)
        return player

    async def count(self, request: Request) -> None:
        """Count one request of this address and of everyone. Raises Refused when there were too many."""
        verdict = await self.rate_limiter.check(self._common_hits(request))
        if verdict.refused is not None:
            raise Refused(self._slow_down(request, verdict, _TOO_MANY))

    async def count_play(self, request: Request, hit: Hit, slot: ConcurrencySlot | None, complaint: str) -> None:
        """Count it against a user's limit, too, and say how much of that is left.

        Raises Refused when there were too many, or when the player was suspended or the token ended meanwhile.
        """
        verdict = await self.rate_limiter.check([*self._common_hits(request), hit], slot)
        if verdict.refused is not None:
            raise Refused(self._slow_down(request, verdict, complaint))
        request.header_lines += rate_lines(policy_of(hit.limit), hit.limit.name, verdict.remaining, verdict.reset_ms)
        self.recheck(request)

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

    async def _admitted(self, request: Request) -> Player:
        """The player that the request's token proves. Raises Refused, having counted the request."""
        token = bearer(request.requestHeaders.getRawHeaders(b"Authorization", ()))
        player = token if isinstance(token, Refusal) else self.authenticator.authenticate(token)
        if isinstance(player, Refusal):
            await self.count(request)
            raise Refused(player)
        request.player = player
        return player

    def _common_hits(self, request: Request) -> list[Hit]:
        return [
            Hit(limit=self.limits.address, subject=request.counted_as),
            Hit(limit=self.limits.everyone, subject=EVERYONE),
        ]

    def _slow_down(self, request: Request, verdict: RateVerdict, complaint: str) -> Refusal:
        """The refusal by whichever limit it was; one that is none of ours here is the number of open actions."""
        limits = self.limits
        name = verdict.refused or ""
        limit = next(
            (
                one
                for one in (limits.address, limits.everyone, limits.submit, limits.initialize, limits.settings)
                if one.name == name
            ),
            None,
        )
        policy = b'"%b";q=%d' % (name.encode(), limits.open_actions_max) if limit is None else policy_of(limit)
        request.header_lines += rate_lines(policy, name, 0, verdict.retry_after_ms)
        return Refusal(
            reason=Reason.RATE_LIMIT_EXCEEDED,
            message=_TOO_MANY if limit in (limits.address, limits.everyone) else complaint,
            retry_after_s=max(1, _seconds(verdict.retry_after_ms)),
        )


def rate_lines(policy: bytes, name: str, remaining: int, reset_ms: int) -> bytes:
    """RateLimit fields as draft-ietf-httpapi-ratelimit-headers spells them: quota and window, what is left and for how long."""
    return b'RateLimit-Policy: %b\r\nRateLimit: "%b";r=%d;t=%d\r\n' % (policy, name.encode(), remaining, _seconds(reset_ms))


def policy_of(limit: Limit) -> bytes:
    """A limit as RateLimit-Policy names it."""
    return b'"%b";q=%d;w=%d' % (limit.name.encode(), limit.quota, _seconds(limit.window_ms))


def _seconds(ms: int) -> int:
    return -(-ms // 1000)
