"""Authentication: tokens and single-use tickets of players."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.token_faults import TokenFault


class Authenticator(Protocol):
    """Proves by a token which player sends a request."""

    def authenticate(self, token: str) -> Player | Refusal:
        """The player of a token; UNAUTHORIZED or INVALID_TOKEN for a bad token, FORBIDDEN while the player is suspended."""

    def recheck(self, player: Player) -> Refusal | None:
        """Check a player again after a wait: INVALID_TOKEN if the token has ended, FORBIDDEN while suspended, else None."""

    def note_refusal(self, fault: TokenFault, found: str = "") -> None:
        """Count and log why a client gets INVALID_TOKEN or UNAUTHORIZED, if no token came to `authenticate`."""

    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        """A token of our own that `authenticate` accepts for ``life_s`` seconds."""


class Tickets(Protocol):
    """Single-use tickets in place of tokens, for clients that send no headers (a browser's EventSource)."""

    async def issue(self, player: Player) -> str:
        """A ticket for this player, valid for 30 seconds and one use in any server process. Raises StoreUnavailable."""

    async def redeem(self, ticket: str) -> Player | None:
        """The player of a ticket, which is valid no more; None for an unknown, used or expired one. Raises StoreUnavailable."""
