"""Board diagnosis: decides from the states of board and ledger what must be done. Pure.

The board names its owner (a ledger and the place of this copy), and the ledger names the run of the Redis on which its newest
epoch began. So a board and a ledger that do not belong together are recognised.
"""

from __future__ import annotations

from typing import Final, Literal

from scoreboard.domain.board_state import BoardState
from scoreboard.domain.ledger_state import LedgerState
from scoreboard.domain.value import Value

#: The owner of a board has gone if no server has followed it for this many seconds. A running server follows every two seconds.
SILENT_S_MAX: Final = 4
#: The seconds for servers that follow the ledger on another Redis. The ledger notes these servers every ten seconds.
ELSEWHERE_SILENT_S_MAX: Final = 25


class Diagnosis(Value, frozen=True, kw_only=True):
    """What must be done.

    ``follow``: set what changed. ``begin``: begin a new epoch first. ``rebuild``: make the board anew. ``refuse``: neither read
    nor set it. ``reason`` is a sentence for the operator, "" to follow. ``kind`` is what anyone may read of a refusal.
    """

    action: Literal["follow", "begin", "rebuild", "refuse"]
    reason: str = ""
    kind: str = ""


FOLLOW: Final = Diagnosis(action="follow")


def owner_of(ledger: LedgerState) -> str:
    """The owner of a board that is made from this ledger: the id of the ledger and the place of this copy."""
    return f"{ledger.ledger_id}/{ledger.instance}"


def diagnose(board: BoardState | None, ledger: LedgerState, *, store_is_shared: bool) -> Diagnosis:
    """What to do. ``store_is_shared`` says that other ledgers may have boards in this Redis: it is not the server's own."""
    if board is None:
        return _rebuild("there is no board")
    if board.owner != owner_of(ledger):
        return _of_another_ledger(board, ledger, store_is_shared)
    if board.damage:
        return _rebuild(f"the board lost a part: {board.damage}")
    if board.cursor.epoch != ledger.epoch:
        return _of_another_epoch(board, ledger)
    if not board.position:
        return _rebuild("the board does not say its position in the ledger")
    if board.epoch_run != board.run:
        return Diagnosis(action="begin", reason="Redis was restarted and may have lost its last changes")
    return FOLLOW


def _rebuild(reason: str) -> Diagnosis:
    return Diagnosis(action="rebuild", reason=reason)


def _of_another_ledger(board: BoardState, ledger: LedgerState, store_is_shared: bool) -> Diagnosis:
    if not board.owner or not store_is_shared:
        return _rebuild("the board is of an earlier release or of another ledger")
    if board.owner.partition("/")[0] != ledger.ledger_id:
        return Diagnosis(
            action="refuse",
            kind="Redis holds the board of another ledger",
            reason=f"this Redis holds the board of another ledger ({board.owner}, ours is {owner_of(ledger)}): "
            "give each ledger its own REDIS_URL, or take it over with `scoreboard replay verify --repair --take-over`",
        )
    if board.followed_s_ago > SILENT_S_MAX:
        return _rebuild("the ledger was moved or restored")
    return Diagnosis(
        action="refuse",
        kind="A copy of this ledger keeps its board in the same Redis",
        reason=f"a copy of this ledger keeps its board in the same Redis ({board.owner}, ours is {owner_of(ledger)}): "
        "give each copy its own REDIS_URL",
    )


def _of_another_epoch(board: BoardState, ledger: LedgerState) -> Diagnosis:
    if not ledger.epoch:
        return _rebuild("the ledger has no epoch of it: its standings were filled in anew")
    if board.cursor.epoch > ledger.epoch:
        return _rebuild(f"the ledger went back: its epoch is {ledger.epoch}, the board's {board.cursor.epoch}")
    unharmed = board.epoch_run == board.run
    if unharmed and ledger.epoch_run != board.run and ledger.followed_s_ago <= ELSEWHERE_SILENT_S_MAX:
        return Diagnosis(
            action="refuse",
            kind="Another server keeps this ledger's board in another Redis",
            reason=f"another server keeps this ledger's board in another Redis (run {ledger.epoch_run}, ours is {board.run}): "
            "all servers of one ledger need the same REDIS_URL",
        )
    return _rebuild(f"the board is of epoch {board.cursor.epoch}, the ledger's is {ledger.epoch}")
