"""Key roster: the keys of the servers that run now."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.rotation import ServerKeys


class KeyRoster(Protocol):
    """The keys that each live server knows, so that no server signs with a key that another one refuses."""

    async def exchange(self, own: ServerKeys) -> list[ServerKeys]:
        """Store our keys for some seconds, and return those of the other live servers. Raises StoreUnavailable."""

    async def leave(self) -> None:
        """Remove our keys. Never raises: keys that are not removed expire."""
