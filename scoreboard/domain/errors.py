"""Errors of stores: a store that did not answer, and a ledger or a board that cannot be what it should be."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """A store did not answer in time or could not do it. Nothing is known to have changed unless the contract says so."""


class StoreAway(StoreUnavailable):
    """The store was not asked, because it did not answer others or because too many wait: nothing has changed."""


class StoreMisconfigured(StoreUnavailable):
    """The store answers and refuses us: a setting is wrong, and no second try can help before an operator has mended it."""


class LedgerWentBack(Exception):
    """The ledger is behind what was seen of it: it was restored from a copy, or another one took its place."""


class StaleBoard(Exception):
    """The board cannot be read or set now: it is lost, damaged, of another epoch or of another ledger, or behind the ledger."""


class DamagedBoard(StaleBoard):
    """Something on the board cannot be read as what we wrote: it must be rebuilt, whatever its state says."""
