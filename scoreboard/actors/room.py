"""The leaderboard room: who is in it, which top each of them knows, and who is to hear what of a tick.

The top is told with what was told before, so that a wire may say only how they differ. Whoever came in with another top than
the room was told is a *newcomer* until the next tick, which tells it from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from scoreboard.boundaries.announcer import EventEncoder, Listener
from scoreboard.domain.board_pages import Page, Row
from scoreboard.domain.events import BoardChanged, Event, ScoreChanged

#: Who is still to hear something, and what.
Audience = tuple[dict[Listener, None], bytes]


class Room:
    """Members by wire, because each wire frames an event once for all of its own."""

    def __init__(self) -> None:
        self._members: dict[EventEncoder, dict[Listener, None]] = {}
        self._newcomers: dict[Listener, tuple[Row, ...]] = {}
        self._sent: tuple[Row, ...] | None = None
        self._audiences: list[dict[Listener, None]] = []

    def __contains__(self, listener: Listener) -> bool:
        return listener in self._members.get(listener.encoder, ())

    def __len__(self) -> int:
        return sum(map(len, self._members.values()))

    @property
    def has_newcomers(self) -> bool:
        """Whether somebody knows another top than the room was told."""
        return bool(self._newcomers)

    def let_in(self, listener: Listener, top: tuple[Row, ...]) -> None:
        """One more, who knows this top."""
        self._members.setdefault(listener.encoder, {})[listener] = None
        if self._sent is None:
            self._sent = top
        elif top != self._sent:
            self._newcomers[listener] = top

    def leave(self, listener: Listener) -> None:
        """One less, who hears nothing more of a tick under way either."""
        members = self._members.get(listener.encoder)
        if members is not None:
            members.pop(listener, None)
            if not members:
                del self._members[listener.encoder]
        for audience in self._audiences:
            audience.pop(listener, None)
        self._newcomers.pop(listener, None)

    def parts(self, page: Page, unseen: Sequence[ScoreChanged]) -> list[Audience]:
        """Everyone with what they are to hear: the moves, and the top if it reads otherwise than what they know."""
        newcomers, self._newcomers = self._newcomers, {}
        listener_state, self._sent = self._sent, page.rows
        audiences: dict[tuple[EventEncoder, tuple[Row, ...] | None], dict[Listener, None]] = {}
        for encoder, members in self._members.items():
            audiences[encoder, listener_state] = (
                {one: None for one in members if one not in newcomers} if newcomers else members.copy()
            )
        for listener, top in newcomers.items():
            audiences.setdefault((listener.encoder, top), {})[listener] = None
        parts: list[Audience] = []
        for (encoder, known), audience in audiences.items():
            events: list[Event] = [*unseen]
            if known != page.rows:
                events.append(BoardChanged(page=page, before=known))
            if events and audience:
                parts.append((audience, b"".join(map(encoder.frame, events))))
        self._audiences = [audience for audience, _ in parts]
        return parts

    def end_tick(self) -> None:
        """Whoever has not heard it by now will not."""
        self._audiences = []
