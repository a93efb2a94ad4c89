"""Spectators: which listeners follow the awards of which players. A listener follows few, and only players that allow it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from scoreboard.actors.members import Groups, Member
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED, Refusal

SPECTATED_PER_LISTENER_MAX: Final = 32


class Spectators:
    """Spectators by player. ``forbids`` answers whether a player forbids spectators; it may raise StoreUnavailable."""

    def __init__(self, forbids: Callable[[str], bool]) -> None:
        self._forbids = forbids
        self._watching: Groups[str] = Groups()

    def add(self, member: Member, user_id: str) -> Refusal | None:
        """Let a member follow a player, or refuse it. An admin may follow every player, and a player may follow themselves.

        If this raises StoreUnavailable, nothing has changed.
        """
        if len({*member.watched, user_id}) > SPECTATED_PER_LISTENER_MAX:
            return TOO_MANY_SPECTATED
        if not _may_always(member, user_id) and self._forbids(user_id):
            self.remove(member, user_id)
            return NO_SPECTATORS
        member.watched[user_id] = None
        self._watching.add(user_id, member)
        return None

    def remove_all(self, user_id: str) -> list[Member]:
        """Remove and return the spectators of a player who forbids them now, except those who always may."""
        removed = [member for member in self.of(user_id) if not _may_always(member, user_id)]
        for member in removed:
            self.remove(member, user_id)
        return removed

    def remove(self, member: Member, user_id: str) -> None:
        """Let a member no longer follow a player."""
        member.watched.pop(user_id, None)
        self._watching.remove(user_id, member)

    def leave(self, member: Member) -> None:
        """Let a member follow no player."""
        for user_id in tuple(member.watched):
            self.remove(member, user_id)

    def of(self, user_id: str) -> Collection[Member]:
        """Return the members that follow a player."""
        return self._watching.of(user_id)


def _may_always(member: Member, user_id: str) -> bool:
    player = member.listener.player
    return player.role == "admin" or player.user_id == user_id
