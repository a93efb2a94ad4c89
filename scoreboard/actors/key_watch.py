"""Key watch: each server signs with a key that all live servers know, if it has one.

Each server writes the ids of its keys to the roster every 5 s and reads those of the others. While another server does not know
the key that this server is set to sign with, this server signs with one that all know. So a rolling restart with new secrets
refuses no honest action, in any order of servers. The log names what cannot be solved this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from scoreboard.background import Loop
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.keys import KeyRoster
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.grants import Keyring
from scoreboard.domain.rotation import KnownKeys, ServerKeys, agreed, known_keys

EXCHANGE_S: Final = 5.0
_WHERE: Final = "see docs/operations.md, Changing secrets"


class SigningKeys:
    """One of the server's two key rings, with the key that all servers know. ``setting`` names its secret to operators."""

    _log = Logger()

    def __init__(self, setting: str, ring: Keyring) -> None:
        self.setting = setting
        self.known = known_keys(ring)
        self._ring = ring
        self._agreed = ring
        self._logged = ""

    def ring(self) -> Keyring:
        """The ring with which to sign now."""
        return self._agreed

    def agree(self, others: Sequence[KnownKeys]) -> int:
        """Choose a key that all know; returns the larger count: servers that lack our key, or servers whose key we lack."""
        behind = sum(self._ring.current not in other.verifies for other in others)
        ahead = sum(other.signs not in self._ring.secrets for other in others)
        self._agreed = agreed(self._ring, others)
        self._log_change(behind, ahead)
        return max(behind, ahead)

    def _log_change(self, behind: int, ahead: int) -> None:
        common = self._agreed.current != self._ring.current
        if behind and common:
            said = (
                f"other servers ({behind}) do not know this server's {self.setting} yet; it signs with an older one until they do"
            )
        elif behind:
            said = (
                f"other servers ({behind}) do not know this server's {self.setting} nor an older one: they refuse what it signs"
            )
        elif ahead:
            said = f"other servers ({ahead}) have a {self.setting} that this server does not know: it refuses what that signs"
        else:
            said = ""
        if said == self._logged:
            return
        self._logged = said
        if said:
            self._log.warn("{said} ({where})", said=said, where=_WHERE)
        else:
            self._log.info("all servers know this server's {setting}", setting=self.setting)


class KeyWatch:
    """Exchanges key ids with the other servers. While the roster does not answer, the keys that were read last count."""

    def __init__(self, *, roster: KeyRoster, clock: IReactorTime, meter: Meter, actions: Keyring, tokens: Keyring) -> None:
        self.actions = SigningKeys("ACTION_SIGNATURE_SECRET", actions)
        self.tokens = SigningKeys("JWT_SECRET", tokens)
        self._own = ServerKeys(actions=self.actions.known, tokens=self.tokens.known)
        self._roster = roster
        self._meter = meter
        self._loop = Loop("key_watch", self._exchange, EXCHANGE_S, clock=clock, meter=meter)

    async def start(self) -> None:
        """Exchange keys once, and then every 5 s. The server starts even if the roster does not answer."""
        await self._loop.call()
        self._loop.start()

    async def stop(self) -> None:
        """Stop exchanging keys, and take ours out of the roster."""
        if self._loop.running:
            self._loop.stop()
            await self._roster.leave()

    async def _exchange(self) -> None:
        try:
            others = await self._roster.exchange(self._own)
        except StoreUnavailable:  # the Redis client counts it
            return
        apart = self.actions.agree([other.actions for other in others])
        apart = max(apart, self.tokens.agree([other.tokens for other in others]))
        self._meter.gauge("servers_with_other_keys", apart)
