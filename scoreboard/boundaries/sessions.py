"""Session store: sessions of clients that lost their connection."""

from __future__ import annotations

from typing import Protocol

from scoreboard.domain.saved_session import SavedSession


class SessionStore(Protocol):
    """Clients that were lost: what is kept of them until they come back, in whichever server process."""

    def persist(self, saved_session: SavedSession) -> None:
        """Keep it for two minutes, or until it is taken; told, not asked. What cannot be written down is not kept."""

    async def restore(self, pid: str, user_id: str) -> SavedSession | None:
        """What is kept under a pid of this user's, and it is no more; None if nothing is, or nobody can say. Never raises.

        ``pid`` may be anything that a client says.
        """
