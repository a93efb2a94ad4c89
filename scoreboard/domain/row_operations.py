"""Row operations: the changes that turn a client's rows into the new rows, so that the server sends a few rows and not all.

The rows are a list. In the top of the board a row's rank is its index plus 1; in a page further down it is the index plus 1 plus
the page's ``offset``. A client applies the operations in order. After each one the rows below move up or down.
docs/protocol-live.md describes the same to clients.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from scoreboard.domain.board_pages import Row
from scoreboard.domain.value import Value


class Enter(Value, frozen=True, kw_only=True):
    """Insert a row at its rank. The rows at and below it move down."""

    row: Row


class Leave(Value, frozen=True, kw_only=True):
    """Remove a player's row. The rows below it move up."""

    user_id: str


class Move(Value, frozen=True, kw_only=True):
    """Remove a player's row and insert it at a rank."""

    user_id: str
    rank: int


class Score(Value, frozen=True, kw_only=True):
    """Change the points of a player's row, which stays where it is."""

    user_id: str
    points: int
    updated_at_ms: int


Operation = Enter | Leave | Move | Score


def offset_of(rows: Sequence[Row]) -> int:
    """The number of players above these rows."""
    return rows[0].rank - 1 if rows else 0


def diff(before: Sequence[Row], after: Sequence[Row]) -> tuple[Operation, ...]:
    """The operations that turn ``before`` into ``after``: first Leave, then as few Move as possible, then Enter and Score.

    A player whose name or picture changed leaves and enters. Ranks are those of ``after``, also if ``before`` had another offset.
    """
    faces = {row.user_id: (row.username, row.avatar) for row in after}
    staying = [row for row in before if faces.get(row.user_id) == (row.username, row.avatar)]
    known = {row.user_id: row for row in staying}
    operations: list[Operation] = [Leave(user_id=row.user_id) for row in before if row.user_id not in known]
    order = [row.user_id for row in staying]
    operations += _moves(order, [row.user_id for row in after if row.user_id in known], offset_of(after))
    operations += [Enter(row=row) for row in after if row.user_id not in known]
    for row in after:
        was = known.get(row.user_id)
        if was is not None and (was.points, was.updated_at_ms) != (row.points, row.updated_at_ms):
            operations.append(Score(user_id=row.user_id, points=row.points, updated_at_ms=row.updated_at_ms))
    return tuple(operations)


def _moves(order: list[str], wanted: Sequence[str], offset: int) -> Iterable[Move]:
    """Bring ``order`` into the wanted order: each row that moves goes behind its new neighbour, and as many as possible stay."""
    if order == wanted:
        return
    still = _longest_increasing([order.index(user_id) for user_id in wanted])
    for at, user_id in enumerate(wanted):
        if at not in still:
            order.remove(user_id)
            index = order.index(wanted[at - 1]) + 1 if at else 0
            order.insert(index, user_id)
            yield Move(user_id=user_id, rank=offset + index + 1)


def _longest_increasing(numbers: Sequence[int]) -> set[int]:
    """The indexes of a longest increasing subsequence of distinct numbers."""
    ends: list[int] = []  # the smallest number that ends a subsequence of each length, and its index
    indexes: list[int] = []
    before: list[int | None] = []
    for at, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(indexes[length - 1] if length else None)
        ends[length:], indexes[length:] = [number, *ends[length + 1 :]], [at, *indexes[length + 1 :]]
    chosen: set[int] = set()
    index = indexes[-1] if indexes else None
    while index is not None:
        chosen.add(index)
        index = before[index]
    return chosen
