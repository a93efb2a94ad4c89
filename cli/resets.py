"""`scoreboard reset`: reset one player or all to 0 points by entries of type RESET. Nothing is deleted from the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
import typer

from cli.confirmation import OperatorOption, ReasonOption, YesOption, confirm, operator_name
from cli.context import CliContext, Stores, cli_context
from cli.exit_codes import FOUND_WRONG, UNREACHABLE, CliError
from cli.output import JsonOption, counted, note, print_json_or
from cli.reactor import sleep
from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.standings import Standing

app = typer.Typer(no_args_is_help=True)

_HISTORY_KEPT: Final = "Nothing is deleted from the history."
#: How long the command waits for players whose rows another session has locked, and how often it tries.
HELD_S_MAX: Final = 4.5
RETRY_S: Final = 0.1
_NAMES_MAX: Final = 10

UpdateBoard = Callable[[Stores, Sequence[Standing]], Awaitable[object]]


@app.command("user")
def reset_user(
    typer_context: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The player's user id.")],
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reset one player to 0 points, without a rank until the next award.

    It takes the player off the global board, and off the present buckets of all
    other boards; closed buckets keep what was reached in them.

    The player's history stays; the reset is an entry of its own. It works while
    the server runs, and its viewers see it at once.

    \b
    Examples:
      scoreboard reset user user-123 --reason "cheated in quest-7, ticket 4711"
    """
    ctx = cli_context(typer_context)
    order = _order(ctx, (user,), operator, reason)

    async def work(stores: Stores, reactor: Any) -> Sequence[Standing]:
        account = await stores.standings.account(user)
        if account is None:
            raise CliError(FOUND_WRONG, f"the ledger has no player {user}")
        if not yes:
            confirm(f"{user} ({account.username}) has {account.points:,} points. Reset this player to 0 points? {_HISTORY_KEPT}")
        return await _reset(ctx, stores, reactor, order, ctx.load_admin().project)

    _report(order, ctx.with_stores(work, need_board=True), as_json)


@app.command("board")
def reset_board(
    typer_context: typer.Context,
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reset every player to 0 points: the boards are empty until the next award.

    It empties the global board, and the present buckets of all other boards;
    closed buckets keep what was reached in them.

    The history stays; each player's reset is an entry of its own. It works while
    the server runs, and its viewers see it at once.

    \b
    Examples:
      scoreboard reset board --reason "the beta is over"
    """
    ctx = cli_context(typer_context)
    order = _order(ctx, None, operator, reason)

    async def rebuild(stores: Stores, _: Sequence[Standing]) -> None:
        if stores.board is not None:
            await ctx.load_admin().rebuild_board(stores, stores.standings, stores.board)

    async def work(stores: Stores, reactor: Any) -> Sequence[Standing]:
        players = await stores.standings.ranked_count()
        if not yes:
            confirm(f"{counted(players, 'player')} on the board. Reset ALL of them to 0 points, on all boards? {_HISTORY_KEPT}")
        return await _reset(ctx, stores, reactor, order, rebuild)

    _report(order, ctx.with_stores(work, need_board=True), as_json)


def _order(ctx: CliContext, users: tuple[str, ...] | None, operator: str | None, reason: str) -> ResetOrder:
    name = operator_name(ctx, operator, reason)
    return ResetOrder(reset_id=str(uuid4()), user_ids=users, operator=name, reason=reason, at_ms=ctx.now_ms)


async def _reset(ctx: CliContext, stores: Stores, reactor: Any, order: ResetOrder, update: UpdateBoard) -> Sequence[Standing]:
    """Commit, then update the board. After a crash between the two, the ledger is ahead, and the server updates the board.

    The reset has the time of its commit, not of the prompt before it: an award committed during the prompt comes before the
    reset in the history.
    """
    changed, held = await _commit(ctx, stores, reactor, order)
    problems = [_held_message(changed, held), await _update_board(stores, changed, update) if changed else ""]
    if any(problems):
        raise CliError(UNREACHABLE, "; ".join(filter(None, problems)))
    return changed


def _held_message(changed: Sequence[Standing], held: Sequence[str]) -> str:
    """The error message about players who could not be reset; "" if there are none."""
    if not held:
        return ""
    names = ", ".join(held[:_NAMES_MAX]) + (", ..." if len(held) > _NAMES_MAX else "")
    done = f"{counted(len(changed), 'player')} reset to 0 points; " if changed else ""
    return f"{done}{counted(len(held), 'player')} not reset; another session of the database holds: {names}"


async def _commit(ctx: CliContext, stores: Stores, reactor: Any, order: ResetOrder) -> tuple[Sequence[Standing], Sequence[str]]:
    """Reset in the ledger: the new standings, and the players still locked. An award locks its player for milliseconds: we retry.

    After a crash between two tries, the remaining players are not reset; the same command resets them.
    """
    changed: list[Standing] = []
    until_s = reactor.seconds() + HELD_S_MAX
    while True:
        done = await stores.ledger.reset(msgspec.structs.replace(order, at_ms=ctx.now_ms))
        changed += done.standings
        if not done.held or reactor.seconds() >= until_s:
            return changed, done.held
        order = msgspec.structs.replace(order, user_ids=done.held)
        await sleep(reactor, RETRY_S)


async def _update_board(stores: Stores, changed: Sequence[Standing], update: UpdateBoard) -> str:
    """Update the board, and return the error message if that failed, else ""."""
    try:
        await update(stores, changed)
    except (StoreUnavailable, StaleBoard) as error:
        later = "a running server updates it within two seconds"
        return f"the reset is in the ledger, but the board could not be updated ({error}); {later}"
    if stores.board is None:
        note("The server is not running; its board shows the reset from its next start on.")
    return ""


def _report(order: ResetOrder, changed: Sequence[Standing], as_json: bool) -> None:
    done = f"Reset to 0 points: {counted(len(changed), 'player')} (reset {order.reset_id})."
    obj = {"reset_id": order.reset_id, "operator": order.operator, "reason": order.reason, "players": len(changed)}
    print_json_or(as_json, obj, done if changed else "Nothing to do: not on the board.")
