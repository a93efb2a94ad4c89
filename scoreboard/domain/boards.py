"""Boards: which rankings there are."""

from __future__ import annotations

from typing import Final

from scoreboard.domain.value import Value


class BoardDefinition(Value, frozen=True, kw_only=True):
    """What makes one board another than the rest. ``board_id`` stands in keys of Redis, in rows of SQL and in signed grants."""

    board_id: str


GLOBAL_BOARD: Final = BoardDefinition(board_id="global")
