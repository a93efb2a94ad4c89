"""Session store: sessions of clients that lost their connection."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.saved_session import SavedSession


class SessionStore(Protocol):
    """Keeps the sessions of lost clients, so that they can resume in any server process."""

    def persist(self, saved_session: SavedSession) -> None:
        """Keep a session for two minutes, or until it is restored, without waiting. A failed write loses it."""

    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        """Take a session out of the store; None if there is none or the store fails. Never raises. ``pid`` may be any text."""
