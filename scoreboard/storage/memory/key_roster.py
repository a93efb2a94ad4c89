"""Key roster in memory, for tests."""

from __future__ import annotations

from typing_extensions import override

from scoreboard.boundaries.keys import KeyRoster
from scoreboard.domain.rotation import ServerKeys


class MemoryKeyRoster(KeyRoster):
    """The rosters of several servers share ``entered``; tests may set ``trouble``, which `exchange` then raises."""

    def __init__(self, server_id: str, entered: dict[str, ServerKeys]) -> None:
        self.trouble: Exception | None = None
        self._server_id = server_id
        self._entered = entered

    @override
    async def exchange(self, own: ServerKeys) -> list[ServerKeys]:
        if self.trouble is not None:
            raise self.trouble
        self._entered[self._server_id] = own
        return [keys for server_id, keys in self._entered.items() if server_id != self._server_id]

    @override
    async def leave(self) -> None:
        self._entered.pop(self._server_id, None)
