"""Errors of stores: no answer, a wrong setting, or a ledger or board in a wrong state."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """A store did not answer in time, or failed. Whether it changed anything is unknown, unless the contract says so."""


class StoreAway(StoreUnavailable):
    """The store was not called, because it did not answer other calls or too many calls wait. Nothing has changed."""


class StoreFull(StoreUnavailable):
    """The store has no space left on its disk: an operator has to make room."""


class StoreMisconfigured(StoreUnavailable):
    """The store refuses our settings. A retry cannot succeed before an operator has corrected them."""


class LedgerWentBack(Exception):
    """The ledger is behind a state that was read before: it was restored from a copy, or replaced by another one."""


class StaleBoard(Exception):
    """The board cannot be used now: it is lost, damaged, of another epoch or ledger, or behind the ledger."""


class DamagedBoard(StaleBoard):
    """Data on the board has a wrong form: the board must be rebuilt, whatever its state says."""


class BoardCannotChange(Exception):
    """What decides a board's standings cannot change in place: a board of another name can have it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}: declare a board of another name, and remove this one")
