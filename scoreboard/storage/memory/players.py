"""Player store in memory, for tests: keeps every promise of a player store but durability, and can be made to fail or to wait."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from typing_extensions import override

from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.judgement import MilestoneKey
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder
from scoreboard.storage.memory.board_ledger import beyond
from scoreboard.storage.memory.faults import FaultInjection
from scoreboard.storage.sql.award_rows import sanitize_text


class MemoryPlayerStore(FaultInjection, PlayerStore):
    """A player store beside a MemoryLedger. The ledger changes ``achievements`` and reads ``suspended``."""

    def __init__(self, achievements: Mapping[MilestoneKey, Achievement] | None = None, suspended: set[str] | None = None) -> None:
        super().__init__()
        self._achievements = {} if achievements is None else achievements
        self._suspended = set() if suspended is None else suspended
        self._settings: dict[str, tuple[int, PlayerSettings]] = {}
        self._suspensions: list[tuple[int, SuspensionOrder]] = []
        self._number = 0

    @override
    async def achievements(self, user_id: str) -> list[Achievement]:
        await self.wait_or_fail()
        unlocked = [one for (owner, _), one in self._achievements.items() if owner == user_id]
        return sorted(unlocked, key=lambda one: (one.at_ms, one.milestone))

    @override
    async def settings(self, user_id: str) -> PlayerSettings:
        await self.wait_or_fail()
        return self._settings[user_id][1] if user_id in self._settings else PlayerSettings()

    @override
    async def change_settings(self, user_id: str, settings: PlayerSettings, at_ms: int) -> int:
        await self.wait_or_fail()
        self._number += 1
        self._settings[user_id] = (self._number, settings)
        return self._number

    @override
    async def suspend(self, order: SuspensionOrder) -> bool:
        await self.wait_or_fail()
        if (order.user_id in self._suspended) == order.suspended:
            return False
        (self._suspended.add if order.suspended else self._suspended.discard)(order.user_id)
        self._number += 1
        kept = msgspec.structs.replace(order, operator=sanitize_text(order.operator), reason=sanitize_text(order.reason))
        self._suspensions.append((self._number, kept))
        return True

    @override
    async def suspensions(self, user_id: str, limit: int) -> list[SuspensionOrder]:
        await self.wait_or_fail()
        return [order for _, order in reversed(self._suspensions) if order.user_id == user_id][:limit]

    @override
    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        await self.wait_or_fail()
        return beyond(self._suspended, after_user_id)[:limit]

    @override
    async def private(self, after_user_id: str, limit: int) -> list[str]:
        await self.wait_or_fail()
        private = {user_id for user_id, (_, settings) in self._settings.items() if not settings.spectators}
        return beyond(private, after_user_id)[:limit]

    @override
    async def revision(self) -> int:
        await self.wait_or_fail()
        return self._number

    @override
    async def changes_since(self, after: int, limit: int) -> list[PlayerChange]:
        await self.wait_or_fail()
        changes = [
            PlayerChange(revision=number, user_id=one.user_id, suspended=one.suspended) for number, one in self._suspensions
        ]
        changes += [
            PlayerChange(revision=number, user_id=user_id, spectators=settings.spectators)
            for user_id, (number, settings) in self._settings.items()
        ]
        later = [change for change in changes if change.revision > after]
        return sorted(later, key=lambda change: change.revision)[:limit]
