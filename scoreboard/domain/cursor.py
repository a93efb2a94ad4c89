"""Cursor: the position of a board's state in the order of its changes."""

from __future__ import annotations

import re
from typing import Final

from scoreboard.domain.value import Value

#: How clients write a cursor: two whole numbers in canonical form, of at most 15 digits.
_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})", re.ASCII)


class Cursor(Value, frozen=True, kw_only=True, order=True):
    """Names one state of the board: ``epoch`` rises with each rebuild or restart of Redis, ``seq`` with each change."""

    epoch: int
    seq: int

    @property
    def text(self) -> str:
        """``<epoch>.<seq>``, as clients send it back."""
        return f"{self.epoch}.{self.seq}"

    @staticmethod
    def read(text: str) -> Cursor | None:
        """The cursor in the text, or None if the text is not a cursor."""
        found = _CURSOR.fullmatch(text)
        return None if found is None else Cursor(epoch=int(found[1]), seq=int(found[2]))


#: This cursor is before every state of a board: there is no epoch 0.
NO_CURSOR: Final = Cursor(epoch=0, seq=0)
