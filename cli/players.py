"""`scoreboard player`: show one player, suspend and reinstate."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from rich.table import Table

from cli.confirmation import OperatorOption, ReasonOption, YesOption, confirm, operator_name
from cli.context import CliContext, Stores, cli_context
from cli.exit_codes import FOUND_WRONG, CliError
from cli.output import JsonOption, cell, fields, print_error, print_json, print_json_or, show, table, utc_time
from scoreboard.domain.board_pages import PlayerRank
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.players import USER_ID, Achievement, PlayerSettings, SuspensionOrder
from scoreboard.domain.standings import Standing
from scoreboard.domain.value import Value

SUSPENSIONS_SHOWN_MAX: Final = 100

app = typer.Typer(no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The player's user id.")]


class _PlayerDetails(Value, frozen=True, kw_only=True):
    """All data about one player; ``player_rank`` is None while Redis does not answer."""

    user_id: str
    account: Standing | None
    player_rank: PlayerRank | None
    settings: PlayerSettings
    achievements: list[Achievement]
    suspensions: list[SuspensionOrder]

    @property
    def suspended(self) -> bool:
        return bool(self.suspensions) and self.suspensions[0].suspended

    @property
    def is_unknown(self) -> bool:
        return self.account is None and self.settings == PlayerSettings() and not self.achievements and not self.suspensions


@app.command("show")
def show_player(typer_context: typer.Context, user: UserArgument, as_json: JsonOption = False) -> None:
    """Show a player: points and rank, settings, achievements, and every suspension.

    The rank is left out while Redis does not answer. Exit code 1 if nothing is
    known of the player.

    \b
    Examples:
      scoreboard player show user-123
    """
    ctx = cli_context(typer_context)
    details = ctx.with_stores(lambda stores, _: _read_details(stores, user), need_board=True, board_optional=True)
    if as_json:
        print_json(_json_object(details))
    elif not details.is_unknown:
        _show(details)
    if details.is_unknown:
        print_error(f"nothing is known of a player {user}")
        raise typer.Exit(FOUND_WRONG)


@app.command("suspend")
def suspend(
    typer_context: typer.Context,
    user: UserArgument,
    reason: ReasonOption,
    operator: OperatorOption = None,
    unknown: Annotated[
        bool, typer.Option("--unknown", metavar="", help="Suspend a player of whom nothing is known, too.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Refuse a player's requests and connections until the suspension is lifted.

    It works while the server runs: every server process refuses the player within
    a second. Points and rank stay; `reset user` takes the points away. Exit code
    1 if the player is suspended already.

    With --yes, exit code 1 also if nothing is known of the player, because the
    user id was probably typed wrongly; --unknown suspends such a player.

    \b
    Examples:
      scoreboard player suspend user-123 --reason "cheated, ticket 4711"
    """
    ctx = cli_context(typer_context)
    _execute(ctx, _order(ctx, user, True, operator, reason), yes, as_json, unknown=unknown)


@app.command("reinstate")
def reinstate(
    typer_context: typer.Context,
    user: UserArgument,
    reason: ReasonOption,
    operator: OperatorOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Lift a player's suspension.

    It works while the server runs: the player is admitted again within a second.
    Exit code 1 if the player is not suspended.

    \b
    Examples:
      scoreboard player reinstate user-123 --reason "appeal granted, ticket 4712"
    """
    ctx = cli_context(typer_context)
    _execute(ctx, _order(ctx, user, False, operator, reason), yes, as_json)


def _order(ctx: CliContext, user: str, suspended: bool, operator: str | None, reason: str) -> SuspensionOrder:
    if USER_ID.fullmatch(user) is None:
        raise typer.BadParameter("must be 1 to 64 of A-Z a-z 0-9 _ . : -", param_hint="USER")
    return SuspensionOrder(
        suspension_id=str(uuid4()),
        user_id=user,
        suspended=suspended,
        operator=operator_name(ctx, operator, reason),
        reason=reason,
        at_ms=ctx.now_ms,
    )


def _execute(ctx: CliContext, order: SuspensionOrder, yes: bool, as_json: bool, unknown: bool = False) -> None:
    async def work(stores: Stores, _: Any) -> bool:
        newest = await stores.player_store.suspensions(order.user_id, 1)
        if yes and not newest and not unknown:  # without --yes, the question says that the player has no points
            await require_known_player(stores, order.user_id)
        is_suspended = bool(newest) and newest[0].suspended
        if not yes and is_suspended != order.suspended:
            confirm(await _question(stores, order))
        try:
            return await stores.player_store.suspend(order)
        except StoreUnavailable as error:
            hint = f"see `scoreboard player show {order.user_id}`, and try again"
            raise StoreUnavailable(f"{error}: it is not known whether the order was entered; {hint}") from error

    if not ctx.with_stores(work, need_board=False):
        raise CliError(FOUND_WRONG, f"{order.user_id} is {'suspended already' if order.suspended else 'not suspended'}")
    done = "Suspended" if order.suspended else "Reinstated"
    print_json_or(as_json, order, f"{done}: {order.user_id} (order {order.suspension_id}).")


async def require_known_player(stores: Stores, user_id: str) -> None:
    """End the command if nothing is known of this player, because the user id was probably typed wrongly."""
    if (await _read_details(stores, user_id)).is_unknown:
        raise CliError(FOUND_WRONG, f"nothing is known of a player {user_id}")


async def _question(stores: Stores, order: SuspensionOrder) -> str:
    account = await stores.standings.account(order.user_id)
    if account is None:
        subject = f"The ledger has no player {order.user_id} (yet)."
    else:
        subject = f"{order.user_id} ({account.username}) has {account.points:,} points."
    return f"{subject} {'Suspend' if order.suspended else 'Reinstate'} this player?"


async def _read_details(stores: Stores, user: str) -> _PlayerDetails:
    player_rank = None
    if stores.board is not None:
        with suppress(StoreUnavailable, StaleBoard):  # without Redis or before a rebuild; the rest is in SQL
            player_rank = await stores.board.rank_of(user)
    return _PlayerDetails(
        user_id=user,
        account=await stores.standings.account(user),
        player_rank=player_rank,
        settings=await stores.player_store.settings(user),
        achievements=await stores.player_store.achievements(user),
        suspensions=await stores.player_store.suspensions(user, SUSPENSIONS_SHOWN_MAX),
    )


def _json_object(details: _PlayerDetails) -> dict[str, Any]:
    """The details for JSON. ``rank`` and ``players`` (how many are on the board) are null while Redis does not answer."""
    return {
        "user_id": details.user_id,
        "account": details.account,
        "rank": details.player_rank and details.player_rank.rank,
        "players": details.player_rank and details.player_rank.total,
        "suspended": details.suspended,
        "settings": details.settings,
        "achievements": details.achievements,
        "suspensions": details.suspensions,
    }


def _show(details: _PlayerDetails) -> None:
    renderables: list[Any] = [_fields(details)]
    if details.achievements:
        renderables += ["", _achievement_table(details.achievements)]
    if details.suspensions:
        renderables += ["", _order_table(details.suspensions)]
    show(*renderables)


def _fields(details: _PlayerDetails) -> Table:
    account = details.account
    return fields(
        player=details.user_id,
        name="–" if account is None else account.username,
        points="none: no award yet" if account is None else f"{account.points:,}",
        rank=_rank(details),
        changed="–" if account is None else f"{utc_time(account.updated_at_ms)} UTC",
        spectators="may follow" if details.settings.spectators else "may not follow",
        suspended="YES" if details.suspended else "no",
    )


def _rank(details: _PlayerDetails) -> str:
    if details.player_rank is None:
        return "unknown: Redis does not answer"
    return (
        "not on the board"
        if details.player_rank.rank is None
        else f"{details.player_rank.rank:,} of {details.player_rank.total:,}"
    )


def _achievement_table(achievements: list[Achievement]) -> Table:
    rows = table("Milestone", "Unlocked (UTC)", "Action", right=("Milestone",), no_wrap=("Unlocked (UTC)", "Action"))
    for achievement in achievements:
        rows.add_row(f"{achievement.milestone:,}", utc_time(achievement.at_ms), cell(achievement.action_id))
    return rows


def _order_table(shown_suspensions: list[SuspensionOrder]) -> Table:
    rows = table("When (UTC)", "Order", "By", "Reason", no_wrap=("When (UTC)", "Order"))
    for order in shown_suspensions:
        rows.add_row(
            utc_time(order.at_ms), "suspended" if order.suspended else "reinstated", cell(order.operator), cell(order.reason)
        )
    return rows
