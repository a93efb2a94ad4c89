"""Suspension watcher: knows which players are suspended and which forbid spectators, in each process within a second.

It reads all of them before the server listens. Then it reads the changes after the revision that it has. It takes that revision
before it reads the first page, so a change during the start is read twice rather than missed. While the player store does not
answer, it keeps what it knows: suspended players stay suspended, and no other player is refused. But after a few seconds it no
longer says that a player allows spectators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.background import Loop, report_failure
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerChange, PlayerSettings

POLL_S: Final = 0.5
#: If the store has not answered for this many seconds, we no longer assume that any player allows spectators.
KNOWN_S_MAX: Final = 3.0
PLAYERS_PER_PAGE: Final = 500
CHANGES_PER_PAGE: Final = 500


class SuspensionWatcher:
    """Set of the suspended players and of those who forbid spectators.

    After ``start``, ``on_suspended`` is called for each player who becomes suspended and ``on_private`` for each who begins to
    forbid spectators, at least once each. Neither may wait for anything.
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
        #: The revisions of settings that were changed in this process and were not read from the store yet, by user id.
        self._noted: dict[str, int] = {}
        self._followed = 0
        self._known_s = float("-inf")
        self._loop = Loop("suspension_watcher", self._poll, POLL_S, clock=clock, meter=meter, on_failure=self._count_failure)

    def is_suspended(self, user_id: str) -> bool:
        """Whether the player is suspended, as far as this process knows."""
        return user_id in self._suspended

    def forbids_spectators(self, user_id: str) -> bool:
        """Whether the player forbids spectators. Raises StoreUnavailable if the store has not answered for some seconds."""
        if user_id not in self._private and self._clock.seconds() - self._known_s > KNOWN_S_MAX:
            raise StoreUnavailable("the player store has not answered of late")
        return user_id in self._private

    def note_settings(self, user_id: str, settings: PlayerSettings, revision: int) -> None:
        """Apply a change of settings that was made in this process at once, before it is read from the store."""
        if revision > self._followed and revision > self._noted.get(user_id, 0):
            self._noted[user_id] = revision
            self._set_spectators(user_id, settings.spectators)

    async def start(self) -> None:
        """Read who is suspended or forbids spectators, and follow changes. If this raises, the server must not listen."""
        self._known_s = self._clock.seconds()
        self._followed = await self._player_store.revision()
        store = self._player_store
        for read, found in ((store.suspended, self._suspended), (store.private, self._private)):
            after = ""
            while page := await read(after, PLAYERS_PER_PAGE):
                found.update(page)
                after = page[-1]
        self._loop.start()

    async def stop(self) -> None:
        """Stop following."""
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
            self._log.debug("the player store could not be followed: {away}", away=str(away))

    def _count_failure(self) -> None:
        self._meter.count("player_store_unavailable_total")

    def _follow(self, change: PlayerChange) -> None:
        if change.suspended is True:
            self._suspended.add(change.user_id)
            self._log.info("{user_id} was suspended", user_id=change.user_id, revision=change.revision)
            self._notify(self._on_suspended, change.user_id)
        elif change.suspended is False:
            self._suspended.discard(change.user_id)
            self._log.info("{user_id} was reinstated", user_id=change.user_id, revision=change.revision)
        if change.spectators is not None and change.revision >= self._noted.get(change.user_id, 0):
            self._noted.pop(change.user_id, None)  # an older change was replaced in this process already
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
        except Exception:  # a callback that fails must not prevent us from following
            said = "{user_id}'s change could not be reported"
            report_failure("suspension_watcher", self._meter, message=said, user_id=user_id)
