"""Scores of boards: how one award changes a player's score in a bucket of a board. Pure.

A score is *reached* when it changes, so of equal scores the one that was there first ranks higher, whatever else the player did
since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from scoreboard.domain.boards import BoardBucket, BoardDefinition
from scoreboard.domain.entries import RESET
from scoreboard.domain.periods import bucket_at
from scoreboard.domain.value import Value


class BoardScore(Value, frozen=True, kw_only=True):
    """A player's score in one bucket, as the ledger has it.

    ``reached_at_ms`` is None for a player who is off the board. ``version`` is the player's number of entries when the score last
    changed, and ``actions`` the number of awards that count in the bucket.
    """

    bucket: BoardBucket
    score: int
    reached_at_ms: int | None
    version: int
    actions: int


def counted(
    board: BoardDefinition, bucket: BoardBucket, earlier: BoardScore | None, *, value: int, at_ms: int, version: int
) -> BoardScore:
    """The score after an award that counts. ``value`` are its points."""
    if earlier is None or earlier.reached_at_ms is None:
        score = 1 if board.score == "count" else value
        return BoardScore(bucket=bucket, score=score, reached_at_ms=at_ms, version=version, actions=1)
    score = _score(board, earlier.score, value)
    reached_at_ms = earlier.reached_at_ms if score == earlier.score else at_ms
    return BoardScore(bucket=bucket, score=score, reached_at_ms=reached_at_ms, version=version, actions=earlier.actions + 1)


def _score(board: BoardDefinition, earlier: int, value: int) -> int:
    match board.score:
        case "sum":
            return earlier + value
        case "count":
            return earlier + 1
        case "latest":
            return value
        case "best":
            return max(earlier, value)


def off_board(earlier: BoardScore, version: int) -> BoardScore:
    """The score after a reset."""
    return msgspec.structs.replace(earlier, score=0, reached_at_ms=None, version=version, actions=0)


class Counted(NamedTuple):
    """What a board counts of a ledger entry."""

    action_type: str
    points: int
    at_ms: int


def fold(board: BoardDefinition, entries: Iterable[Counted]) -> dict[str, BoardScore]:
    """A player's scores on a board, by bucket, from all entries of the player in their order: what the awards wrote one by one.

    A reset takes the player off the bucket of its moment; buckets that were over by then keep what was reached in them.
    """
    scores: dict[str, BoardScore] = {}
    for version, entry in enumerate(entries, 1):
        bucket = bucket_at(board.period, entry.at_ms)
        if bucket is None:
            continue
        earlier = scores.get(bucket.name)
        if entry.action_type == RESET:
            if earlier is not None:
                scores[bucket.name] = off_board(earlier, version)
        elif board.counts_for(entry.action_type):
            scores[bucket.name] = counted(
                board, board.key_of(bucket), earlier, value=entry.points, at_ms=entry.at_ms, version=version
            )
    return scores
