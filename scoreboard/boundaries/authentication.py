"""Authentication: tokens and single-use tickets of players."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal


class Authenticator(Protocol):
    """Who is asking: tokens to players."""

    def authenticate(self, token: str) -> Player | Refusal:
        """The player that a token proves, or UNAUTHORIZED / INVALID_TOKEN, or FORBIDDEN while the player is suspended.

        Remembered for as long as it is good.
        """

    def recheck(self, player: Player) -> Refusal | None:
        """Why a player who was admitted earlier is no longer: INVALID_TOKEN when the token has ended, FORBIDDEN while the player
        is suspended, else None. A read that waited is checked with this before it is answered.
        """

    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        """A token of our own that `authenticate` accepts for ``life_s`` seconds."""


class Tickets(Protocol):
    """Who asks now may come once, a moment later, by a ticket in place of a token (a browser's EventSource sends no headers)."""

    async def issue(self, player: Player) -> str:
        """A ticket for this player, good for 30 seconds and one use in any server process. Raises StoreUnavailable."""

    async def redeem(self, ticket: str) -> Player | None:
        """Whose ticket it is, and it is no more; None if it is nobody's (any more). Raises StoreUnavailable."""
