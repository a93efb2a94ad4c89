"""The warden: knows who is suspended and who forbids spectators, and follows the register so that every process knows within a
second of a change.

It starts knowing all of them, before any door opens. Then it asks for the turns that came after the last one it followed: the
number is taken before the first page is read, so a change during the start is followed once more rather than missed. While the
register is away it keeps what it knows: who is suspended stays so, and no other player is turned away. But it no longer says that
a player does not forbid spectators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.background import Loop
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerChange, PlayerSettings

POLL_S: Final = 0.5
#: How old what is known of settings may be: then it is not known any more who forbids spectators.
KNOWN_S_MAX: Final = 3.0
SUSPENDED_PER_PAGE: Final = 500
PRIVATE_PER_PAGE: Final = 500
CHANGES_PER_PAGE: Final = 500


class SuspensionWatcher:
    """``on_suspended`` is told of each player who is suspended from now on, ``on_private`` of who will not be watched any more.

    Both are told of what happens after ``start``, at least once each, and must not wait for anything.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        player_store: PlayerStore,
        clock: IReactorTime,
        meter: Meter,
        on_suspended: Callable[[str], None],
        on_private: Callable[[str], None],
    ) -> None:
        self._player_store = player_store
        self._clock = clock
        self._meter = meter
        self._on_suspended = on_suspended
        self._on_private = on_private
        self._suspended: set[str] = set()
        self._private: set[str] = set()
        #: Changes of settings that were made in this process and are still to be followed, by player: their numbers.
        self._noted: dict[str, int] = {}
        self._followed = 0
        self._known_s = float("-inf")
        self._loop = Loop("suspension_watcher", self._poll, POLL_S, clock=clock, meter=meter, on_failure=self._count_failure)

    def is_suspended(self, user_id: str) -> bool:
        """Whether the player is suspended, as far as we have heard."""
        return user_id in self._suspended

    def forbids_spectators(self, user_id: str) -> bool:
        """Whether the player does, as far as we have heard. Raises StoreUnavailable if we have heard nothing of late."""
        if user_id not in self._private and self._clock.seconds() - self._known_s > KNOWN_S_MAX:
            raise StoreUnavailable("the register could not be followed of late")
        return user_id in self._private

    def note_settings(self, user_id: str, settings: PlayerSettings, revision: int) -> None:
        """A change of settings was made in this process: it holds at once, though it is still to be followed."""
        if revision > self._followed and revision > self._noted.get(user_id, 0):
            self._noted[user_id] = revision
            self._set_spectators(user_id, settings.spectators)

    async def start(self) -> None:
        """Learn who is suspended or private and go on following. Raises StoreUnavailable: without that no door should open."""
        self._known_s = self._clock.seconds()
        self._followed = await self._player_store.revision()
        after = ""
        while page := await self._player_store.suspended(after, SUSPENDED_PER_PAGE):
            self._suspended.update(page)
            after = page[-1]
        after = ""
        while page := await self._player_store.private(after, PRIVATE_PER_PAGE):
            self._private.update(page)
            after = page[-1]
        self._loop.start()

    async def stop(self) -> None:
        """Follow no more."""
        self._loop.stop()

    async def _poll(self) -> None:
        began_s = self._clock.seconds()
        try:
            while changes := await self._player_store.changes_since(self._followed, CHANGES_PER_PAGE):
                for change in changes:
                    self._followed = change.revision
                    self._follow(change)
            self._known_s = began_s
        except StoreUnavailable as away:
            self._count_failure()
            self._log.debug("the register could not be followed: {away}", away=str(away))

    def _count_failure(self) -> None:
        self._meter.count("player_store_unavailable_total")

    def _follow(self, change: PlayerChange) -> None:
        if change.suspended is True:
            self._suspended.add(change.user_id)
            self._notify(self._on_suspended, change.user_id)
        elif change.suspended is False:
            self._suspended.discard(change.user_id)
        if change.spectators is not None and change.revision >= self._noted.get(change.user_id, 0):
            self._noted.pop(change.user_id, None)  # what is older was replaced here meanwhile
            self._set_spectators(change.user_id, change.spectators)

    def _set_spectators(self, user_id: str, wanted: bool) -> None:
        if wanted:
            self._private.discard(user_id)
        else:
            self._private.add(user_id)
            self._notify(self._on_private, user_id)

    def _notify(self, callback: Callable[[str], None], user_id: str) -> None:
        try:
            callback(user_id)
        except Exception:  # whatever hinders one who is told must not keep us from following
            self._log.failure("{user_id}'s change could not be told", user_id=user_id)
