"""Player store: what SQL holds of players besides their points."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder


class PlayerStore(Protocol):
    """What SQL keeps of players besides their points. Every method may raise StoreUnavailable.

    A player may be in it before the first score and after a reset. Changes of settings and suspensions are numbered in the
    order of their commits, so that any process can follow them without a gap and without a clock.
    """

    async def achievements(self, user_id: str) -> list[Achievement]:
        """All that the player ever unlocked (there are as many as the operator set milestones), oldest first."""

    async def settings(self, user_id: str) -> PlayerSettings:
        """What the player decided, or the defaults."""

    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """Keep what the player decided; the number of the change."""

    async def suspend(self, order: SuspensionOrder) -> bool:
        """Enter a suspension or its end; False, and nothing is entered, if that is how the player stands already."""

    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """What was ever ordered about a player, newest first: at most ``limit``."""

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """Who is suspended, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def private(self, after_user_id: str, limit: int) -> list[str]:
        """Who forbids spectators, by shard and user id, from after the given one ("" for the first): at most ``limit``."""

    async def revision(self) -> int:
        """The number of the newest change, 0 before the first."""

    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """The changes after a number, in order: at most ``limit``. Of one player's settings only the newest change is told."""
