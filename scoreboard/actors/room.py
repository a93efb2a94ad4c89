"""Leaderboard room: its members, the top that each of them knows, and the events of a tick for each of them.

An event with the top also holds the top that its readers know, so that an encoder can send the difference alone. A member that
joined with another top than the room's is a *newcomer* until the next tick, which sends it the difference to its own top.
"""

from __future__ import annotations

from collections.abc import Sequence

from scoreboard.actors.members import Groups, Member
from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.board_pages import Page, Row
from scoreboard.domain.events import BoardChanged, Event, ScoreChanged

#: The members that get the same bytes, as a tuple: their encoder, the members, their events.
Audience = tuple[EventEncoder, list[Member], list[Event]]


class Room:
    """Members by encoder, because an event is encoded once for all that have the same encoder. ``tick`` counts the ticks."""

    def __init__(self) -> None:
        self._members: Groups[EventEncoder] = Groups()
        self._newcomers: dict[Member, tuple[Row, ...]] = {}
        self._sent: tuple[Row, ...] | None = None
        self.tick = 0

    def __len__(self) -> int:
        return sum(map(len, self._members.by_name.values()))

    @property
    def has_newcomers(self) -> bool:
        """Whether a member knows another top than the room's."""
        return bool(self._newcomers)

    def join(self, member: Member, top: tuple[Row, ...]) -> None:
        """Add a member that knows this top. It gets nothing of a tick that has begun."""
        self._members.add(member.listener.encoder, member)
        member.in_room, member.joined_tick = True, self.tick
        if self._sent is None:
            self._sent = top
        elif top != self._sent:
            self._newcomers[member] = top

    def leave(self, member: Member) -> None:
        """Remove a member, if it is one. It gets nothing more of a tick that has begun."""
        if member.in_room:
            member.in_room = False
            self._members.remove(member.listener.encoder, member)
            self._newcomers.pop(member, None)

    def begin_tick(self, page: Page, unseen: Sequence[ScoreChanged]) -> list[Audience]:
        """Return the events for each member: the moves ``unseen``, and the top if it differs from what the member knows."""
        self.tick += 1
        newcomers, self._newcomers = self._newcomers, {}
        known, self._sent = self._sent, page.rows
        audiences: dict[tuple[EventEncoder, tuple[Row, ...] | None], list[Member]] = {}
        for encoder, members in self._members.by_name.items():
            audiences[encoder, known] = [one for one in members if one not in newcomers] if newcomers else list(members)
        for member, top in newcomers.items():
            audiences.setdefault((member.listener.encoder, top), []).append(member)
        parts: list[Audience] = []
        for (encoder, top_known), audience in audiences.items():
            events: list[Event] = [*unseen]
            if top_known != page.rows:
                events.append(BoardChanged(page=page, before=top_known))
            if events and audience:
                parts.append((encoder, audience, events))
        return parts
