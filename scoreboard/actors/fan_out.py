"""Fan-out: offers the encoded events of one tick to the listeners, in slices, and keeps account of those that stall.

A listener that has not taken what it was last offered is *stalled*: it is offered nothing and nothing is kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IReactorTime

from scoreboard.actors.fan_out_pace import FanOutPace
from scoreboard.actors.members import Member
from scoreboard.actors.room import Audience
from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.board_pages import Page
from scoreboard.domain.events import BoardChanged, Event

STALLED_S_MAX = 10.0
#: Listeners served before the reactor gets a turn: two milliseconds of it, or thirty on a machine fifteen times as slow.
SOCKETS_PER_TURN = 200


class FrameCache:
    """Encodes each event of a tick once for each encoder. Its keys are the ids of events, so it holds the events."""

    def __init__(self) -> None:
        self._encoded: dict[tuple[EventEncoder, int, bool], tuple[Event, bytes]] = {}

    def encode(self, encoder: EventEncoder, events: Sequence[Event], *, more: bool = False) -> bytes:
        """Return what ``encoder.encode(events, more=more)`` returns."""
        last = len(events) - 1
        return b"".join([self._one(encoder, event, more or at < last) for at, event in enumerate(events)])

    def _one(self, encoder: EventEncoder, event: Event, more: bool) -> bytes:
        key = (encoder, id(event), more)
        known = self._encoded.get(key)
        if known is None:
            known = self._encoded[key] = (event, encoder.encode((event,), more=more))
        return known[1]


class FanOut:
    """Offers of one tick at a time. ``stalled`` are the members that are stalled."""

    def __init__(self, *, clock: IReactorTime, pace: FanOutPace) -> None:
        self._clock = clock
        self._pace = pace
        self._frames = FrameCache()
        self._with_extra: list[Member] = []
        self.stalled: dict[Member, None] = {}

    def add_extra(self, member: Member, events: Sequence[Event]) -> None:
        """Add events for one member alone to the tick; they leave in one piece with the room's."""
        if events:
            if member.extra is None:
                member.extra = []
                self._with_extra.append(member)
            member.extra += events

    def take_extra(self, member: Member) -> bytes:
        """Encode a member's own events of the tick under way, which are not offered again; empty if there are none."""
        extra, member.extra = member.extra, None
        return self._frames.encode(member.listener.encoder, extra) if extra else b""

    async def offer(self, audience: Audience, tick: int) -> None:
        """Offer the events of a tick to the members of the room that were there when it began."""
        encoder, members, events = audience
        frames = self._frames.encode(encoder, events)
        open_frames = b""
        for batch in _batches(members):
            self._pace.begin_slice()
            for member in batch:
                if member.stalled_since_s is not None or not member.in_room or member.joined_tick == tick:
                    continue
                listener = member.listener
                if not listener.drained:
                    self._stall(member)
                elif member.extra is None:
                    listener.offer(frames)
                else:
                    open_frames = open_frames or self._frames.encode(encoder, events, more=True)
                    listener.offer(open_frames + self.take_extra(member))
            self._pace.end_slice()
            if batch[-1] is not members[-1]:
                await self._pace.rest()

    def offer_rest(self) -> None:
        """Offer the events of single members that are in no room, or for which the tick had nothing else."""
        for member in self._with_extra:  # a member that left meanwhile has none
            if member.extra is None or member.stalled_since_s is not None:
                continue
            if member.listener.drained:
                member.listener.offer(self.take_extra(member))
            else:
                self._stall(member)

    def check_stalled(self, page: Page, *, drained: Callable[[Member], None], expired: Callable[[Member], None]) -> None:
        """Send the newest top to the stalled members that have drained. ``expired`` gets those that were stalled too long."""
        now_s = self._clock.seconds()
        snapshot = BoardChanged(page=page, reset=True)
        for member in list(self.stalled):
            listener, since_s = member.listener, member.stalled_since_s
            if listener.drained:
                self.end_stall(member)
                drained(member)
                if member.in_room:
                    listener.offer(self._frames.encode(listener.encoder, (snapshot,)))
            elif since_s is not None and now_s - since_s >= STALLED_S_MAX:
                expired(member)

    def end_stall(self, member: Member) -> bool:
        """Take a member as not stalled, and return whether it was stalled."""
        was_stalled = member.stalled_since_s is not None
        member.stalled_since_s = None
        self.stalled.pop(member, None)
        return was_stalled

    def end_tick(self) -> None:
        """Drop what was not offered."""
        for member in self._with_extra:
            member.extra = None
        self._with_extra.clear()
        self._frames = FrameCache()

    def _stall(self, member: Member) -> None:
        member.stalled_since_s = self._clock.seconds()
        self.stalled[member] = None


def _batches(members: list[Member]) -> Iterator[list[Member]]:
    for start in range(0, len(members), SOCKETS_PER_TURN):
        yield members[start : start + SOCKETS_PER_TURN]
