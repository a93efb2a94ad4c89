"""Base of fake announcers: it refuses nothing and records what is asked."""

from __future__ import annotations

from scoreboard.boundaries.announcer import Listener
from scoreboard.domain.board_pages import View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.refusals import Refusal


class RecordingAnnouncer:
    """Views and spectators of a fake announcer. ``refusal`` is the answer if it is set."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.fault: Exception | None = None
        self.followed: list[View] = []
        self.spectated: list[str] = []

    def follow(self, listener: Listener, view: View) -> Cursor | Refusal:
        self.followed.append(view)
        return self.refusal or Cursor(epoch=3, seq=17)

    def unfollow(self, listener: Listener, view: View) -> None:
        if view in self.followed:
            self.followed.remove(view)

    def spectate(self, listener: Listener, user_id: str) -> Refusal | None:
        if self.fault is not None:
            raise self.fault
        if self.refusal is None:
            self.spectated.append(user_id)
        return self.refusal

    def unspectate(self, listener: Listener, user_id: str) -> None:
        if user_id in self.spectated:
            self.spectated.remove(user_id)

    def end_spectating(self, user_id: str) -> None: ...

    def close_listeners_of(self, user_id: str) -> None: ...
