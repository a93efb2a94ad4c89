"""Boards: which rankings there are."""

from __future__ import annotations

from typing import Final

BOARD_ID: Final = "global"
