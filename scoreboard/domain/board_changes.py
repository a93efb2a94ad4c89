"""Changes of the declared boards: what a file of boards changes in the boards that the ledger feeds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, Literal

from scoreboard.domain.boards import BoardDefinition, FedBoard
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.periods import Bucket, Seasons
from scoreboard.domain.value import Value

#: A season that begins or ends sooner cannot change: awards of that moment may be under way.
SEASON_CHANGES_AHEAD_MS: Final = 60_000


class BoardChange(Value, frozen=True, kw_only=True):
    """A board that is added (and filled in from the entries), removed (with its standings), or changed in place."""

    kind: Literal["added", "removed", "changed"]
    definition: BoardDefinition


def changes_between(fed: Sequence[FedBoard], declared: Sequence[BoardDefinition], now_ms: int) -> list[BoardChange]:
    """What must change so that the declared boards are fed and no others. Raises BoardCannotChange."""
    before = {one.definition.board_id: one.definition for one in fed}
    changes = []
    for board in declared:
        earlier = before.pop(board.board_id, None)
        if earlier is None:
            changes.append(BoardChange(kind="added", definition=board))
        elif board != earlier:
            _require_same_standings(earlier, board, now_ms)
            changes.append(BoardChange(kind="changed", definition=board))
    return changes + [BoardChange(kind="removed", definition=board) for board in before.values()]


def _require_same_standings(earlier: BoardDefinition, later: BoardDefinition, now_ms: int) -> None:
    """Raise BoardCannotChange if standings that exist would be others: what decides them stays as long as the board exists."""
    for member in ("score", "counts"):
        if getattr(later, member) != getattr(earlier, member):
            raise BoardCannotChange(f"[{later.board_id}] {member} cannot be changed")
    if later.period == earlier.period:
        return
    if not (isinstance(earlier.period, Seasons) and isinstance(later.period, Seasons)):
        raise BoardCannotChange(f"[{later.board_id}] period cannot be changed")
    if not _continues(earlier.period, later.period, now_ms + SEASON_CHANGES_AHEAD_MS):
        raise BoardCannotChange(f"[{later.board_id}] seasons can be changed only from a minute after now on")


def _continues(earlier: Seasons, later: Seasons, until_ms: int) -> bool:
    """Whether each moment before ``until_ms`` is in the same season of both."""

    def begun(seasons: Seasons) -> list[Bucket]:
        return [season for season in seasons.seasons if season.begins_ms < until_ms]

    def same(one: Bucket | None, other: Bucket | None) -> bool:
        if one is None or other is None or (one.name, one.begins_ms) != (other.name, other.begins_ms):
            return False
        return one.ends_ms == other.ends_ms or all(
            season.ends_ms is not None and season.ends_ms >= until_ms for season in (one, other)
        )

    return all(same(*pair) for pair in zip_longest(begun(earlier), begun(later)))
