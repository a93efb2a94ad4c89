"""Members: the announcer's record of each listener, and groups of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.board_pages import View
from scoreboard.domain.events import Event

Name = TypeVar("Name")


class Member:
    """Record of one listener. ``stalled_since_s`` is None while the listener takes what it is offered.

    ``joined_tick`` is the last tick that began before it joined the room; it gets nothing of that tick.
    ``extra`` are the events of the tick under way that are for this listener and not for the whole room.
    """

    __slots__ = ("extra", "in_room", "joined_tick", "listener", "stalled_since_s", "views", "watched")

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.in_room = False
        self.joined_tick = 0
        self.views: dict[View, None] = {}
        self.watched: dict[str, None] = {}
        self.stalled_since_s: float | None = None
        self.extra: list[Event] | None = None


class Groups(Generic[Name]):
    """Members by a name, in the order in which they were added. A name without members is not kept."""

    def __init__(self) -> None:
        self.by_name: dict[Name, dict[Member, None]] = {}

    def add(self, name: Name, member: Member) -> None:
        """Add a member to a group."""
        self.by_name.setdefault(name, {})[member] = None

    def remove(self, name: Name, member: Member) -> None:
        """Remove a member from a group, if it is in it."""
        members = self.by_name.get(name)
        if members is not None:
            members.pop(member, None)
            if not members:
                del self.by_name[name]

    def of(self, name: Name) -> Collection[Member]:
        """Return the members of a group."""
        return self.by_name.get(name, ())
