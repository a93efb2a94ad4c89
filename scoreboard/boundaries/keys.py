"""Key roster: the keys of the servers that run now."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.rotation import ServerKeys


class KeyRoster(Protocol):
    """Which keys the live servers know, so that no server signs with a key that another would refuse."""

    async def exchange(self, own: ServerKeys) -> list[ServerKeys]:
        """Enter our keys for some seconds; those of the other live servers. Raises StoreUnavailable."""

    async def leave(self) -> None:
        """Take our keys out. Never raises: what is not taken out ends by itself."""
