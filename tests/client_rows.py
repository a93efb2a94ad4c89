"""What a client does with the operations that it receives (docs/protocol-live.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from scoreboard.domain.board_pages import Row
from scoreboard.domain.row_operations import Enter, Leave, Move, Operation, Score


def apply(rows: Iterable[Row], operations: Iterable[Operation], offset: int = 0) -> tuple[Row, ...]:
    """The rows after the operations; ``offset`` players now stand above them.

    Raises ValueError if an operation names a player who is not in these rows.
    """
    top, first = list(rows), offset + 1
    for operation in operations:
        match operation:
            case Enter(row=row):
                top.insert(row.rank - first, row)
            case Leave(user_id=user_id):
                del top[_index_of(top, user_id)]
            case Move(user_id=user_id, rank=rank):
                top.insert(rank - first, top.pop(_index_of(top, user_id)))
            case Score(user_id=user_id, points=points, updated_at_ms=updated_at_ms):
                at = _index_of(top, user_id)
                top[at] = msgspec.structs.replace(top[at], points=points, updated_at_ms=updated_at_ms)
    return tuple([row if row.rank == rank else msgspec.structs.replace(row, rank=rank) for rank, row in enumerate(top, first)])


def _index_of(top: Sequence[Row], user_id: str) -> int:
    for at, row in enumerate(top):
        if row.user_id == user_id:
            return at
    raise ValueError(f"{user_id} is not in this top")
