"""`scoreboard player`: everything that is known of one player, and who may not come in."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from rich.table import Table

from cli.confirmation import OperatorOption, ReasonOption, YesOption, ask, operator_of
from cli.context import Stores, Surroundings, surroundings
from cli.exit_codes import FOUND_WRONG, Stop
from cli.output import JsonFlag, cell, complain, facts, moment, print_json, sheet, show
from scoreboard.boundaries import StaleBoard, StoreUnavailable
from scoreboard.domain.players import Achievement, PlayerSettings, SuspensionOrder
from scoreboard.domain.values import USER_ID, Place, Standing, Value

ORDERS_SHOWN_MAX: Final = 100

app = typer.Typer(no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The player's user id.")]


class _Known(Value, frozen=True, kw_only=True):
    """What there is about one player; ``place`` is None while Redis cannot be asked."""

    user_id: str
    account: Standing | None
    place: Place | None
    settings: PlayerSettings
    achievements: list[Achievement]
    suspensions: list[SuspensionOrder]

    @property
    def suspended(self) -> bool:
        return bool(self.suspensions) and self.suspensions[0].suspended

    @property
    def nothing(self) -> bool:
        return self.account is None and self.settings == PlayerSettings() and not self.achievements and not self.suspensions


@app.command("show")
def show_player(ctx: typer.Context, user: UserArgument, as_json: JsonFlag = False) -> None:
    """Show a player: points and place, settings, achievements, and every suspension.

    The place is left out while Redis does not answer. Exit code 1 if nothing is
    known of the player.

    \b
    Examples:
      scoreboard player show user-123
    """

    async def read(stores: Stores, _: Any) -> _Known:
        return await _look_up(stores, user)

    known = surroundings(ctx).visit(read, need_board=True, board_optional=True)
    if as_json:
        print_json(_as_object(known))
    elif not known.nothing:
        _show(known)
    if known.nothing:
        complain(f"nothing is known of a player {user}")
        raise typer.Exit(FOUND_WRONG)


@app.command("suspend")
def suspend(
    ctx: typer.Context,
    user: UserArgument,
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a player in nowhere any more, until the suspension is lifted.

    Works while the server runs: every server process refuses the player within
    a second. Points and place stay; `reset user` takes those. The player need
    not have scored yet. Exit code 1 if the player is suspended already.

    \b
    Examples:
      scoreboard player suspend user-123 --reason "cheated, ticket 4711"
    """
    around = surroundings(ctx)
    order = _order(around, user, True, operator, reason)
    _carry_out(around, order, yes, as_json)


@app.command("reinstate")
def reinstate(
    ctx: typer.Context,
    user: UserArgument,
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Lift a player's suspension.

    Works while the server runs: the player is let in again within a second.
    Exit code 1 if the player is not suspended.

    \b
    Examples:
      scoreboard player reinstate user-123 --reason "appeal granted, ticket 4712"
    """
    around = surroundings(ctx)
    order = _order(around, user, False, operator, reason)
    _carry_out(around, order, yes, as_json)


def _order(around: Surroundings, user: str, suspended: bool, operator: str | None, reason: str) -> SuspensionOrder:
    if USER_ID.fullmatch(user) is None:
        raise typer.BadParameter("must be 1 to 64 of A-Z a-z 0-9 _ . : -", param_hint="USER")
    return SuspensionOrder(
        suspension_id=str(uuid4()),
        user_id=user,
        suspended=suspended,
        operator=operator_of(around, operator, reason),
        reason=reason,
        at_ms=around.now_ms,
    )


def _carry_out(around: Surroundings, order: SuspensionOrder, yes: bool, as_json: bool) -> None:
    async def work(stores: Stores, _: Any) -> bool:
        newest = await stores.register.suspensions(order.user_id, 1)
        stands = bool(newest) and newest[0].suspended
        if not yes and stands != order.suspended:
            ask(await _question(stores, order))
        try:
            return await stores.register.suspend(order)
        except StoreUnavailable as away:
            again = f"see `scoreboard player show {order.user_id}`, and try again"
            raise StoreUnavailable(f"{away}: it is not known whether the order was entered; {again}") from away

    if not around.visit(work, need_board=False):
        raise Stop(FOUND_WRONG, f"{order.user_id} is {'suspended already' if order.suspended else 'not suspended'}")
    if as_json:
        print_json(order)
    else:
        done = "Suspended" if order.suspended else "Reinstated"
        show(f"{done}: {order.user_id} (order {order.suspension_id}).")


async def _question(stores: Stores, order: SuspensionOrder) -> str:
    account = await stores.ledger.account(order.user_id)
    if account is None:
        who = f"The ledger has no player {order.user_id} (yet)."
    else:
        who = f"{order.user_id} ({account.username}) has {account.points:,} points."
    return f"{who} {'Suspend' if order.suspended else 'Reinstate'} this player?"


async def _look_up(stores: Stores, user: str) -> _Known:
    place = None
    if stores.board is not None:
        with suppress(StoreUnavailable, StaleBoard):  # Redis is away or about to be rebuilt; all else is in SQL
            place = await stores.board.place(user)
    return _Known(
        user_id=user,
        account=await stores.ledger.account(user),
        place=place,
        settings=await stores.register.settings(user),
        achievements=await stores.register.achievements(user),
        suspensions=await stores.register.suspensions(user, ORDERS_SHOWN_MAX),
    )


def _as_object(known: _Known) -> dict[str, Any]:
    """For programs. ``rank`` and ``players`` (how many are on the board) are null while Redis cannot be asked."""
    return {
        "user_id": known.user_id,
        "account": known.account,
        "rank": known.place and known.place.rank,
        "players": known.place and known.place.total,
        "suspended": known.suspended,
        "settings": known.settings,
        "achievements": known.achievements,
        "suspensions": known.suspensions,
    }


def _show(known: _Known) -> None:
    parts: list[Any] = [_facts(known)]
    if known.achievements:
        parts += ["", _achievement_table(known.achievements)]
    if known.suspensions:
        parts += ["", _order_table(known.suspensions)]
    show(*parts)


def _facts(known: _Known) -> Table:
    account = known.account
    return facts(
        player=known.user_id,
        name="–" if account is None else account.username,
        points="none: no award yet" if account is None else f"{account.points:,}",
        rank=_rank(known),
        changed="–" if account is None else f"{moment(account.updated_at_ms)} UTC",
        spectators="may follow" if known.settings.spectators else "may not follow",
        suspended="YES" if known.suspended else "no",
    )


def _rank(known: _Known) -> str:
    if known.place is None:
        return "unknown: Redis does not answer"
    return "not on the board" if known.place.rank is None else f"{known.place.rank:,} of {known.place.total:,}"


def _achievement_table(achievements: list[Achievement]) -> Table:
    table = sheet("Milestone", "Unlocked (UTC)", "Action", right=("Milestone",), whole=("Unlocked (UTC)", "Action"))
    for one in achievements:
        table.add_row(f"{one.milestone:,}", moment(one.at_ms), cell(one.action_id))
    return table


def _order_table(orders: list[SuspensionOrder]) -> Table:
    table = sheet("When (UTC)", "Order", "By", "Reason", whole=("When (UTC)", "Order"))
    for order in orders:
        table.add_row(
            moment(order.at_ms), "suspended" if order.suspended else "reinstated", cell(order.operator), cell(order.reason)
        )
    return table
