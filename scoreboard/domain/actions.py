"""Actions: what a client submits, and the receipt of its award."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from scoreboard.domain.value import Value

#: The only accepted spelling of a version-4 UUID.
ACTION_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)

#: The metadata of an action: (key, canonical JSON of the value), sorted by key, each key once.
Metadata = tuple[tuple[str, bytes], ...]


class ClientInfo(Value, frozen=True, kw_only=True):
    """The source of a request: the client's address and its User-Agent (the first 256 characters)."""

    address: str
    agent: str


class Submission(Value, frozen=True, kw_only=True):
    """What a player submits: that an action is done. Its form is checked, its signature is not."""

    action_id: str
    action_type: str
    issued_at_ms: int
    metadata: Metadata
    signature: str


class BoardRank(Value, frozen=True, kw_only=True):
    """A player's rank in a bucket of a board that an award moved. ``previous_rank`` is null for one who was not on the board."""

    board_id: str
    bucket: str
    rank: int
    previous_rank: int | None


class Receipt(Value, frozen=True, kw_only=True):
    """The result of an award. Ranks are null when the board could not be read (``degraded``).

    ``boards`` are the ranks on other boards; a receipt that is kept has none.
    """

    points: int
    total: int
    rank: int | None
    previous_rank: int | None
    degraded: bool = False
    boards: tuple[BoardRank, ...] = ()


#: A receipt with known ranks and the key of its action: (user id, action id, receipt).
PlacedReceipt = tuple[str, str, Receipt]


class AwardSummary(Value, frozen=True, kw_only=True):
    """The public part of one award: the action, its points and the new total. No address, metadata or signature."""

    action_type: str
    points: int
    total: int
    at_ms: int


def metadata_json(metadata: Metadata) -> bytes:
    """The metadata as one JSON object, keys in their canonical order."""
    return b"{" + b",".join(msgspec.json.encode(key) + b":" + value for key, value in metadata) + b"}"
