"""The warden: knows who is suspended, and follows the register so that every process knows within a second of the order.

It starts knowing all of them, before any door opens. Then it asks for the turns that came after the last one it followed: the
number is taken before the first page is read, so a change during the start is followed once more rather than missed. While the
register is away it keeps what it knows: who is suspended stays so, and nobody else is turned away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scoreboard.boundaries import Meter, Register, StoreUnavailable
from scoreboard.domain.players import Turn

LOOK_S: Final = 0.5
SUSPENDED_PER_PAGE: Final = 500
TURNS_PER_PAGE: Final = 500


class Warden:
    """``on_suspended`` is told of each player who is suspended from now on, ``on_private`` of who will not be watched any more.

    Both are told of what happens after ``start``, at least once each, and must not wait for anything.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        register: Register,
        clock: IReactorTime,
        meter: Meter,
        on_suspended: Callable[[str], None],
        on_private: Callable[[str], None],
    ) -> None:
        self._register = register
        self._meter = meter
        self._on_suspended = on_suspended
        self._on_private = on_private
        self._suspended: set[str] = set()
        self._followed = 0
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def bars(self, user_id: str) -> bool:
        """Whether the player is suspended, as far as we have heard."""
        return user_id in self._suspended

    async def start(self) -> None:
        """Learn who is suspended and go on following. Raises StoreUnavailable: without that knowledge no door should open."""
        self._followed = await self._register.turn()
        after = ""
        while page := await self._register.suspended(after, SUSPENDED_PER_PAGE):
            self._suspended.update(page)
            after = page[-1]
        self._loop.start(LOOK_S, now=False)

    async def stop(self) -> None:
        """Follow no more."""
        if self._loop.running:
            self._loop.stop()

    async def _look(self) -> None:
        try:
            while turns := await self._register.turns(self._followed, TURNS_PER_PAGE):
                for turn in turns:
                    self._followed = turn.number
                    self._follow(turn)
        except StoreUnavailable as away:
            self._meter.count("register_unavailable_total")
            self._log.debug("the register could not be followed: {away}", away=str(away))

    def _follow(self, turn: Turn) -> None:
        if turn.suspended is True:
            self._suspended.add(turn.user_id)
            self._tell(self._on_suspended, turn.user_id)
        elif turn.suspended is False:
            self._suspended.discard(turn.user_id)
        if turn.spectators is False:
            self._tell(self._on_private, turn.user_id)

    def _tell(self, told: Callable[[str], None], user_id: str) -> None:
        try:
            told(user_id)
        except Exception:  # whatever hinders one who is told must not keep us from following
            self._log.failure("{user_id}'s change could not be told", user_id=user_id)
