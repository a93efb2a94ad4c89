"""Membership: which listeners the announcer has, and what each of them subscribed to."""

from __future__ import annotations

from collections.abc import Callable, Collection

from typing_extensions import override

from scoreboard.actors.fan_out import FanOut
from scoreboard.actors.members import Groups, Member
from scoreboard.actors.room import Room
from scoreboard.actors.spectators import Spectators
from scoreboard.actors.views import Views
from scoreboard.boundaries import announcer as boundary
from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.board_pages import View
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED
from scoreboard.domain.events import Event, PlayerSuspended, SpectatingEnded
from scoreboard.domain.refusals import Refusal


class Membership(boundary.Announcer):
    """The part of the announcer that neither reads the board nor waits. ``forbids_spectators`` is that of Announcer."""

    def __init__(self, *, forbids_spectators: Callable[[str], bool], fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._members: dict[Listener, Member] = {}
        self._own: Groups[str] = Groups()
        self._room = Room()
        self._spectators = Spectators(forbids_spectators)
        self._views = Views()

    @override
    def enter(self, listener: Listener) -> None:
        if listener not in self._members:
            member = self._members[listener] = Member(listener)
            self._own.add(listener.player.user_id, member)

    @override
    def leave(self, listener: Listener) -> None:
        self.quit(listener)
        member = self._members.pop(listener, None)
        if member is not None:
            self._own.remove(listener.player.user_id, member)
            self._spectators.leave(member)
            self._fan_out.end_stall(member)
            member.extra = None

    @override
    def quit(self, listener: Listener) -> None:
        member = self._members.get(listener)
        if member is not None:
            self._views.drop_all(member)
            self._room.leave(member)

    @override
    def unfollow(self, listener: Listener, view: View) -> None:
        member = self._members.get(listener)
        if member is not None:
            self._views.drop(member, view)

    @override
    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        member = self._members.get(listener)
        return None if member is None else self._spectators.add(member, user_id)

    @override
    def unspectate(self, listener: Listener, user_id: str) -> None:
        member = self._members.get(listener)
        if member is not None:
            self._spectators.remove(member, user_id)

    @override
    def end_spectating(self, user_id: str) -> None:
        ended = SpectatingEnded(user_id=user_id)
        for member in self._spectators.remove_all(user_id):
            _notify(member.listener, ended)

    @override
    def close_listeners_of(self, user_id: str) -> None:
        suspended = PlayerSuspended(user_id=user_id)
        for member in list(self._own.of(user_id)):
            _notify(member.listener, suspended)
            self.leave(member.listener)
            member.listener.close(ACCOUNT_SUSPENDED)

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._members)

    @property
    def members(self) -> int:
        """Number of listeners in the leaderboard room."""
        return len(self._room)

    @property
    def views(self) -> int:
        """Number of different views that are followed."""
        return len(self._views)

    @property
    def stalled(self) -> int:
        """Number of listeners that have not taken what they were last offered."""
        return len(self._fan_out.stalled)

    def _watched_by(self, listener: Listener) -> Collection[str]:
        member = self._members.get(listener)
        return () if member is None else member.watched


def _notify(listener: Listener, event: Event) -> None:
    if listener.drained:
        listener.offer(listener.encoder.encode((event,)))
