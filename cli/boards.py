"""`scoreboard board`: the boards that the ledger feeds, and what a changed file of boards would do."""

from __future__ import annotations

from typing import Any, Final

import typer

from cli.context import Stores, cli_context
from cli.exit_codes import BAD_SETTINGS, CliError
from cli.output import JsonOption, cell, one_line, print_json, print_line, show, table, utc_time
from scoreboard.domain.board_changes import BoardChange, changes_between
from scoreboard.domain.boards import BoardDefinition, FedBoard
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.periods import Bucket
from scoreboard.domain.value import Value

app = typer.Typer(no_args_is_help=True)

#: What each change does, for an operator who has to decide.
_EFFECTS: Final = {
    "added": "is added; its standings are filled in from all entries while the server runs",
    "changed": "gets another title, keep_closed or seasons",
    "removed": "is removed with its standings; the entries stay, so it can be declared again",
}


class _BoardInLedger(Value, frozen=True, kw_only=True):
    """A board as the ledger has it. ``players`` is None while the board is filled in."""

    board: str
    title: str
    bucket: str | None = None
    ends_at_ms: int | None = None
    players: int | None


@app.command("list")
def list_boards(typer_context: typer.Context, as_json: JsonOption = False) -> None:
    """Show all boards, their present buckets and how many players are on them.

    \b
    Examples:
      scoreboard board list
    """
    ctx = cli_context(typer_context)
    title = ctx.load_admin().declared_boards(ctx.settings())[0].title
    found = ctx.with_stores(lambda stores, _: _boards(stores, title), need_board=False)
    if as_json:
        print_json(found)
        return
    names = ("Board", "Title", "Bucket", "Ends (UTC)", "Players")
    rows = table(*names, right=("Players",), no_wrap=("Board", "Bucket", "Ends (UTC)"))
    for one in found:
        rows.add_row(
            cell(one.board),
            one_line(one.title),
            cell(one.bucket or "", "dim"),
            cell("" if one.ends_at_ms is None else utc_time(one.ends_at_ms), "dim"),
            "being filled" if one.players is None else f"{one.players:,}",
        )
    show(rows)


@app.command("plan")
def plan(typer_context: typer.Context, as_json: JsonOption = False) -> None:
    """Show what the file of boards would change at the next start.

    It changes nothing. Exit code 78 if the file has a mistake, or changes a board
    that cannot change.

    \b
    Examples:
      scoreboard board plan
      SCOREBOARD_BOARDS_FILE=new.toml scoreboard board plan
    """
    ctx = cli_context(typer_context)
    api = ctx.load_admin()
    try:
        declared = api.declared_boards(ctx.settings())[1:]
        changes = ctx.with_stores(lambda stores, _: _changes(stores, declared), need_board=False)
    except (api.BadSettings, BoardCannotChange) as wrong:
        raise CliError(BAD_SETTINGS, str(wrong)) from wrong
    if as_json:
        print_json([{"board": one.definition.board_id, "change": one.kind} for one in changes])
        return
    print_line(f"With {ctx.settings().boards_file}" + (":" if changes else " nothing would change."))
    for one in changes:
        print_line(f"{one.definition.board_id} {_EFFECTS[one.kind]}.")


async def _changes(stores: Stores, declared: Any) -> list[BoardChange]:
    return changes_between(await stores.ledger.fed_boards(), declared, await stores.ledger.clock_ms())


async def _boards(stores: Stores, title: str) -> list[_BoardInLedger]:
    """All boards. ``title`` is that of the global one, which the ledger does not keep."""
    at_ms = await stores.ledger.clock_ms()
    players = await stores.standings.ranked_count()
    found = [_BoardInLedger(board=stores.standings.bucket.board_id, title=title, players=players)]
    return found + [await _board(stores, fed, at_ms) for fed in await stores.ledger.fed_boards()]


async def _board(stores: Stores, fed: FedBoard, at_ms: int) -> _BoardInLedger:
    definition = fed.definition
    bucket = definition.period.bucket_at(at_ms)
    return _BoardInLedger(
        board=definition.board_id,
        title=definition.title,
        bucket=None if bucket is None else bucket.name or None,
        ends_at_ms=None if bucket is None else bucket.ends_ms,
        players=None if fed.filled_through is not None else await _players(stores, definition, bucket),
    )


async def _players(stores: Stores, definition: BoardDefinition, bucket: Bucket | None) -> int:
    if bucket is None:
        return 0
    return await stores.ledger.board(definition.key_of(bucket)).ranked_count()
