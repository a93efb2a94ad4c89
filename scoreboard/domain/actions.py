"""Actions: what a client submits, and the receipt of its award."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from scoreboard.domain.value import Value

#: The one spelling of a version-4 UUID that is accepted.
ACTION_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)

#: What a client said of an action: (key, canonical JSON of the value), sorted by key, no key twice.
Metadata = tuple[tuple[str, bytes], ...]


class ClientInfo(Value, frozen=True, kw_only=True):
    """Where a request came from: the client's address and what it calls itself (cut to 256 characters)."""

    address: str
    agent: str


class Submission(Value, frozen=True, kw_only=True):
    """A player's word that an action is done, shape-checked but not yet believed."""

    action_id: str
    action_type: str
    issued_at_ms: int
    metadata: Metadata
    signature: str


class Receipt(Value, frozen=True, kw_only=True):
    """What an award brought. Ranks are null when the board could not be asked (``degraded``)."""

    points: int
    total: int
    rank: int | None
    previous_rank: int | None
    degraded: bool = False


#: A receipt whose ranks are known, with whose action it is for: (user id, action id, receipt).
PlacedReceipt = tuple[str, str, Receipt]


class AwardSummary(Value, frozen=True, kw_only=True):
    """One award as anybody may know it: what was done, what it brought, where that led. No address, metadata or signature."""

    action_type: str
    points: int
    total: int
    at_ms: int


def metadata_json(metadata: Metadata) -> bytes:
    """The metadata as one JSON object, keys in their canonical order."""
    return b"{" + b",".join(msgspec.json.encode(key) + b":" + value for key, value in metadata) + b"}"
