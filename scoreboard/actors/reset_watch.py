"""Reset watch: logs the resets that operators make by the CLI, with the operator and the reason that the ledger has of them.

A reset reaches a server as players who leave the board, or as an epoch that another process began. Then the newest entries of
resets are read. A rebuild by another process causes such a read as well, and finds no new reset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from twisted.logger import Logger

from scoreboard.background import run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.boundaries.ledger import Ledger
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.entries import RESET, Entry, EntryFilter
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import ScoreChanged

#: Only entries of this age are searched: the index is on their times.
SEARCHED_MS: Final = 600_000
#: No epoch: the next call reads.
_UNREAD: Final = 0
#: The pause after a read that failed.
RETRY_MS: Final = 1_000

_metadata = msgspec.json.Decoder(dict[str, Any]).decode


class ResetWatch:
    """Logs each reset that is made while the server runs. ``now_ms`` is the ledger's clock."""

    _log = Logger()

    def __init__(self, *, ledger: Ledger, now_ms: Callable[[], int], meter: Meter) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._meter = meter
        self._epoch = _UNREAD
        #: The id of the newest reset that was logged, or that is older than this server; "" if there is none, None before a read.
        self._newest: str | None = None
        self._reading = False
        self._retry_ms = 0

    def note(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        """Look for a reset if a change, or a new epoch, may come from one. Returns at once; the ledger is read in the background.

        It is called at least once a second.
        """
        if cursor.epoch == self._epoch:
            for change in changes:
                if change.rank is None:
                    break
            else:
                return
        if self._reading or self._now_ms() < self._retry_ms:  # a read may have begun before the reset: a later call reads again
            self._epoch = _UNREAD
            return
        self._epoch = cursor.epoch
        self._reading = True
        run_in_background("reset_watch", self._read(), self._meter)

    async def _read(self) -> None:
        try:
            for entry in reversed(await self._new_resets()):
                reset = _metadata(entry.metadata)
                if self._newest is not None:
                    await self._log_reset(entry, reset)
                self._newest = reset["resetId"]
            self._newest = self._newest or ""
        except Exception as fault:
            self._epoch, self._retry_ms = _UNREAD, self._now_ms() + RETRY_MS
            if not isinstance(fault, StoreUnavailable):
                raise
            self._log.debug("resets could not be read: {away}", away=str(fault))
        finally:
            self._reading = False

    async def _new_resets(self) -> list[Entry]:
        """One entry of each reset since the newest that is known, newest first; at the first read only the newest of all."""
        found: list[Entry] = []
        searched = EntryFilter(action_type=RESET, since_ms=self._now_ms() - SEARCHED_MS)
        while page := await self._ledger.entries(searched, None, 1, newest_first=True):
            if _metadata(page[0].metadata)["resetId"] == self._newest:
                break
            found.append(page[0])
            if self._newest is None:
                break
            searched = msgspec.structs.replace(searched, until_ms=page[0].at_ms)  # all entries of a reset have the same time
        return found

    async def _log_reset(self, entry: Entry, reset: dict[str, Any]) -> None:
        same = EntryFilter(action_type=RESET, since_ms=entry.at_ms, until_ms=entry.at_ms + 1)
        players = await self._ledger.count_entries(same)
        self._log.info(
            "{operator} reset players to 0 points ({players}): {reason}",
            operator=reset["operator"],
            players=players,
            reason=reset["reason"],
            reset_id=reset["resetId"],
            user_id=entry.user_id if players == 1 else None,
        )
