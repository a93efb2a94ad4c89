"""Player store: achievements, settings and suspensions of players in SQL."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder


class PlayerStore(Protocol):
    """Achievements, settings and suspensions of players, with or without a score. Every method may raise StoreUnavailable.

    Changes of settings and suspensions are numbered in the order of their commits (the revision), so any process can follow them
    without a gap and without a clock. Pages of players are by shard and user id, and begin after a user id ("": at the first).
    """

    async def achievements(self, user_id: str) -> list[Achievement]:
        """The player's achievements, oldest first: at most one for each milestone that the operator set."""

    async def settings(self, user_id: str) -> PlayerSettings:
        """The player's settings, or the defaults."""

    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        """Store the player's settings; returns the revision of the change."""

    async def suspend(self, order: SuspensionOrder) -> bool:
        """Store a suspension or its end; False, and nothing is stored, if the player is in that state already."""

    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        """At most ``limit`` suspensions of a player and their ends, newest first."""

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        """At most ``limit`` suspended players after the given one."""

    async def private(self, after_user_id: str, limit: int) -> list[str]:
        """At most ``limit`` players who forbid spectators, after the given one."""

    async def revision(self) -> int:
        """The revision of the newest change, 0 before the first."""

    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        """At most ``limit`` changes after a revision, in order. It holds only the newest change of each player's settings."""
