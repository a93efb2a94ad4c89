"""Row operations: how one top of the board becomes another, so that a screen moves a few rows instead of drawing ten.

A top is a list, and a row's rank is its place in it, counted from 1; in another stretch of the board it is counted from the
stretch's ``offset`` on. Operations are applied one after the other; after each the rows below close up or make room.
docs/protocol-live.md tells clients the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from scoreboard.domain.board_pages import Row
from scoreboard.domain.value import Value


class Enter(Value, frozen=True, kw_only=True):
    """A row comes in at its rank; those at and below it move down."""

    row: Row


class Leave(Value, frozen=True, kw_only=True):
    """A player's row goes; those below it move up."""

    user_id: str


class Move(Value, frozen=True, kw_only=True):
    """A player's row is taken out, and put in at a rank."""

    user_id: str
    rank: int


class Score(Value, frozen=True, kw_only=True):
    """A player's row reads other points, where it stands."""

    user_id: str
    points: int
    updated_at_ms: int


Operation = Enter | Leave | Move | Score


def offset_of(rows: Sequence[Row]) -> int:
    """How many players stand above these rows."""
    return rows[0].rank - 1 if rows else 0


def diff(before: Sequence[Row], after: Sequence[Row]) -> tuple[Operation, ...]:
    """The operations that make ``after`` of ``before``: who leaves, who moves (as few as can be), who enters, new scores.

    A player whose name or picture changed leaves and enters. Ranks are those of ``after``, wherever ``before`` began.
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
    """Bring ``order`` into the wanted one: a row moves right behind its new neighbour, and the most that can stay do."""
    if order == wanted:
        return
    still = _longest_rising([order.index(user_id) for user_id in wanted])
    for at, user_id in enumerate(wanted):
        if at not in still:
            order.remove(user_id)
            index = order.index(wanted[at - 1]) + 1 if at else 0
            order.insert(index, user_id)
            yield Move(user_id=user_id, rank=offset + index + 1)


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """The places of a longest rising subsequence of distinct numbers."""
    ends: list[int] = []  # the smallest number that ends a subsequence of each length, and the place of it
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
