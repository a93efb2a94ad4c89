"""`scoreboard reset`: take a player, or everyone, back to nothing by ledger entries of their own. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
import typer

from cli.confirmation import OperatorOption, ReasonOption, YesOption, ask, operator_of
from cli.context import Stores, Surroundings, surroundings
from cli.exit_codes import FOUND_WRONG, UNREACHABLE, Stop
from cli.output import JsonFlag, counted, print_json, remark, show
from scoreboard.boundaries import StaleBoard, StoreUnavailable
from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.values import Standing

app = typer.Typer(no_args_is_help=True)

_KEPT: Final = "Nothing is deleted from the history."
#: How long players are waited for whose rows another session holds, and how often they are tried.
HELD_S_MAX: Final = 4.5
RETRY_S: Final = 0.1
_NAMES_MAX: Final = 10

Told = Callable[[Stores, Sequence[Standing]], Awaitable[object]]


@app.command("user")
def reset_user(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The player's user id.")],
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Take one player off the board: points 0, no rank, until the next award.

    The player's history stays; the reset is an entry of its own. Works while the
    server runs, and its viewers see it at once.

    \b
    Examples:
      scoreboard reset user user-123 --reason "cheated in quest-7, ticket 4711"
    """
    around = surroundings(ctx)
    order = _order(around, (user,), operator, reason)

    async def work(stores: Stores, reactor: Any) -> Sequence[Standing]:
        account = await stores.ledger.account(user)
        if account is None:
            raise Stop(FOUND_WRONG, f"the ledger has no player {user}")
        if not yes:
            ask(f"{user} ({account.username}) has {account.points:,} points. Take this player back to nothing? {_KEPT}")
        return await _reset(around, stores, reactor, order, around.load_root().project)

    _report(order, around.visit(work, need_board=True), as_json)


@app.command("board")
def reset_board(
    ctx: typer.Context,
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Take every player off the board: an empty board, and everyone starts from 0.

    The history stays; each player's reset is an entry of its own. Works while the
    server runs, and its viewers see it at once.

    \b
    Examples:
      scoreboard reset board --reason "season 4 begins"
    """
    around = surroundings(ctx)
    order = _order(around, None, operator, reason)

    async def work(stores: Stores, reactor: Any) -> Sequence[Standing]:
        players = await stores.ledger.ranked_count()
        if not yes:
            ask(f"{counted(players, 'player')} on the board. Take ALL of them back to nothing? {_KEPT}")
        return await _reset(around, stores, reactor, order, lambda stores, standings: around.load_root().redraw(stores))

    _report(order, around.visit(work, need_board=True), as_json)


def _order(around: Surroundings, users: tuple[str, ...] | None, operator: str | None, reason: str) -> ResetOrder:
    who = operator_of(around, operator, reason)
    return ResetOrder(reset_id=str(uuid4()), user_ids=users, operator=who, reason=reason, at_ms=around.now_ms)


async def _reset(around: Surroundings, stores: Stores, reactor: Any, order: ResetOrder, tell: Told) -> Sequence[Standing]:
    """Commit, then tell. If we stop between the two, the ledger is ahead of the board, and the server's next look draws it.

    The reset's time is that of the commit, not of the question before it: awards that came while somebody thought about the
    answer stand before the reset in the history.
    """
    changed, held = await _commit(around, stores, reactor, order)
    trouble = [_left_out(changed, held), await _board_behind(stores, changed, tell) if changed else ""]
    if any(trouble):
        raise Stop(UNREACHABLE, "; ".join(filter(None, trouble)))
    return changed


def _left_out(changed: Sequence[Standing], held: Sequence[str]) -> str:
    """Who could not be reset beside how many who were, or "" when that is no one."""
    if not held:
        return ""
    names = ", ".join(held[:_NAMES_MAX]) + (", ..." if len(held) > _NAMES_MAX else "")
    done = f"{counted(len(changed), 'player')} taken back to nothing; " if changed else ""
    return f"{done}{counted(len(held), 'player')} not reset; another session of the database holds: {names}"


async def _commit(
    around: Surroundings, stores: Stores, reactor: Any, order: ResetOrder
) -> tuple[Sequence[Standing], Sequence[str]]:
    """Who was taken back, and who could not be. An award holds its player for milliseconds: those are tried again, by name.

    If we stop between two tries, the rest were not reset; the same command resets them.
    """
    from twisted.internet.task import deferLater

    changed: list[Standing] = []
    until_s = reactor.seconds() + HELD_S_MAX
    while True:
        done = await stores.ledger.reset(msgspec.structs.replace(order, at_ms=around.now_ms))
        changed += done.standings
        if not done.held or reactor.seconds() >= until_s:
            return changed, done.held
        order = msgspec.structs.replace(order, user_ids=done.held)
        await deferLater(reactor, RETRY_S)


async def _board_behind(stores: Stores, changed: Sequence[Standing], tell: Told) -> str:
    """Set the board; why it does not show the reset yet, or "" when it does."""
    try:
        await tell(stores, changed)
    except (StoreUnavailable, StaleBoard) as error:
        return f"the reset is in the ledger, but the board could not be told ({error}); it catches up by itself"
    if stores.board is None:
        remark("The server is not running; its board shows the reset from its next start on.")
    return ""


def _report(order: ResetOrder, changed: Sequence[Standing], as_json: bool) -> None:
    if as_json:
        print_json({"reset_id": order.reset_id, "operator": order.operator, "reason": order.reason, "players": len(changed)})
    elif changed:
        show(f"Taken back to nothing: {counted(len(changed), 'player')} (reset {order.reset_id}).")
    else:
        show("Nothing to do: already off the board.")
