"""Session store in memory, for tests."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.saved_session import SESSION_KEPT_S, SavedSession


class MemorySessionStore(SessionStore):
    """Sessions in a dict. While ``broken`` is set nothing is stored and nothing is found."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.broken = False
        self._now_s = now_s
        self._kept: dict[tuple[str, str], tuple[SavedSession, float]] = {}

    @override
    def persist(self, saved_session: SavedSession) -> None:
        if not self.broken:
            self._kept[saved_session.pid, saved_session.user_id] = (saved_session, self._now_s() + SESSION_KEPT_S)

    @override
    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        if self.broken:
            return None
        saved_session, until_s = self._kept.pop((pid, user_id), (None, 0.0))
        return saved_session if self._now_s() < until_s else None
