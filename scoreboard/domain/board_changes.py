"""Changes of the declared boards: what a file of boards changes in the boards that the ledger feeds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.value import Value

#: What decides the standings. It stays as it is as long as the board exists.
_FIXED: Final = ("score", "order", "counts", "period")


class BoardChange(Value, frozen=True, kw_only=True):
    """A board that is added (and filled in from the entries), removed (with its standings), or changed in place."""

    kind: Literal["added", "removed", "changed"]
    definition: BoardDefinition


def changes_between(fed: Sequence[BoardDefinition], declared: Sequence[BoardDefinition]) -> list[BoardChange]:
    """What must change so that the declared boards are fed and no others. Raises BoardCannotChange."""
    before = {board.board_id: board for board in fed}
    changes = []
    for board in declared:
        earlier = before.pop(board.board_id, None)
        if earlier is None:
            changes.append(BoardChange(kind="added", definition=board))
        elif board != earlier:
            for member in _FIXED:
                if getattr(board, member) != getattr(earlier, member):
                    raise BoardCannotChange(board.board_id, member)
            changes.append(BoardChange(kind="changed", definition=board))
    return changes + [BoardChange(kind="removed", definition=board) for board in before.values()]
