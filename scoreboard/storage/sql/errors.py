"""Errors of the SQL stores that an operator has to mend."""

from __future__ import annotations


class LedgerUnusable(Exception):
    """The ledger can be reached and is not one that this program can use. The message is one line for the operator."""


class TargetUnusable(LedgerUnusable):
    """A file that has to be written cannot be written. The ledger that is read is not at fault."""
