"""`scoreboard top`: the leaderboard in the terminal, refreshed as it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live

from cli.context import CliContext, Stores, cli_context
from cli.exit_codes import FOUND_WRONG, USAGE_ERROR, CliError
from cli.output import JsonOption, cell, counted, one_line, print_json_or, table, utc_time
from cli.reactor import sleep
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.board_pages import Page, Row
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.events import ScoreChanged

#: The shortest time between two refreshes.
_REFRESH_S_MIN: Final = 0.1
_LIMIT_MAX: Final = 100


def top(
    typer_context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=_LIMIT_MAX, help="How many players.")] = 10,
    interval: Annotated[
        float,
        typer.Option("--interval", min=_REFRESH_S_MIN, max=3600, metavar="SECONDS", help="The longest time between two reads."),
    ] = 2.0,
    board: Annotated[str | None, typer.Option("--board", metavar="NAME", help="Which board; else the global one.")] = None,
    once: Annotated[bool, typer.Option("--once", metavar="", help="Print the board once, as --json does.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the top of the board and follow it; Ctrl-C ends.

    An arrow marks the players that moved in the last change.

    \b
    Examples:
      scoreboard top
      scoreboard top --once --limit 100
      scoreboard top --board daily
    """
    ctx = cli_context(typer_context)
    console = Console(highlight=False, markup=False)

    if once or as_json or not console.is_terminal:
        shown, page = ctx.with_stores(lambda stores, _: _read_once(stores, board, limit, ctx), need_board=True)
        print_json_or(as_json, _with_names(shown.bucket, page), _render(shown, page, None, None))
        return
    try:
        ctx.with_stores(lambda stores, clock: _follow(stores, clock, board, limit, interval, ctx, console), need_board=True)
    except KeyboardInterrupt:
        return


class _Shown(NamedTuple):
    """A bucket of a board: in the ledger, and in Redis if that answers."""

    bucket: BoardBucket
    ledger: BoardLedger
    board: Board | None

    async def page(self, limit: int, at_ms: int) -> Page:
        """The first page of the board, or the same from the ledger if the board cannot be read."""
        if self.board is not None:
            try:
                return await self.board.page(0, limit)
            except (StoreUnavailable, StaleBoard):
                pass  # Redis does not answer or the board is about to be rebuilt; the ledger has the totals too
        standings, total = await self.ledger.top(0, limit), await self.ledger.ranked_count()
        rows = tuple(standing.row(rank) for rank, standing in enumerate(standings, 1))
        return Page(cursor=Cursor(epoch=0, seq=0), total=total, rows=rows, read_at_ms=at_ms, degraded=True)


def _with_names(bucket: BoardBucket, page: Page) -> dict[str, Any]:
    """The page as JSON, with the names of its board and bucket."""
    return {"board": bucket.board_id, "bucket": bucket.bucket or None, **msgspec.to_builtins(page)}


async def _read_once(stores: Stores, name: str | None, limit: int, ctx: CliContext) -> tuple[_Shown, Page]:
    shown = await _shown(stores, name)
    return shown, await shown.page(limit, ctx.now_ms)


async def _follow(
    stores: Stores, clock: Any, name: str | None, limit: int, interval_s: float, ctx: CliContext, console: Console
) -> None:
    """Refresh after each change and at least every ``interval_s``; while no store answers, the last page stays on the screen."""
    changes_seen: list[Cursor] = []

    def on_change(cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        changes_seen[:] = [cursor]

    shown = await _shown(stores, name)
    if shown.board is not None:
        shown.board.listen(on_change)
    page, before = await shown.page(limit, ctx.now_ms), None
    with Live(_render(shown, page, None, None), console=console, auto_refresh=False) as live:
        while True:
            waited_s = 0.0
            while waited_s < interval_s and not (changes_seen and waited_s):
                await sleep(clock, _REFRESH_S_MIN)
                waited_s += _REFRESH_S_MIN
            changes_seen.clear()
            error = None
            try:
                now_shown = await _shown(stores, name)
                if now_shown.bucket != shown.bucket:
                    if now_shown.board is not None:
                        now_shown.board.listen(on_change)
                    shown, before = now_shown, None
                now = await shown.page(limit, ctx.now_ms)
                if now.rows != page.rows:
                    before = page
                page = now
            except (StoreUnavailable, CliError) as trouble:  # a board between two seasons may have a bucket again
                error = str(trouble)
            live.update(_render(shown, page, before, error), refresh=True)


async def _shown(stores: Stores, name: str | None) -> _Shown:
    """The present bucket of a board. Raises CliError if there is none."""
    default = stores.standings.bucket
    if name is None or name == default.board_id:
        return _Shown(default, stores.standings, stores.board)
    definitions = {one.definition.board_id: one.definition for one in await stores.ledger.fed_boards()}
    if name not in definitions:
        raise CliError(USAGE_ERROR, f"there is no board {name}; there are {', '.join([default.board_id, *definitions])}")
    present = definitions[name].period.bucket_at(await stores.ledger.clock_ms())
    if present is None:
        raise CliError(FOUND_WRONG, f"{name} has no bucket now")
    bucket = definitions[name].key_of(present)
    return _Shown(bucket, stores.ledger.board(bucket), await stores.open_board(bucket))


def _render(shown: _Shown, page: Page, before: Page | None, error: str | None) -> Group:
    rows = table("Rank", "", "Player", "User id", "Points", "Changed (UTC)", right=("Rank", "Points"), no_wrap=("Changed (UTC)",))
    for row in page.rows:
        rows.add_row(
            str(row.rank),
            _rank_arrow(row, before),
            one_line(row.username),
            one_line(row.user_id, "dim"),
            f"{row.points:,}",
            cell(utc_time(row.updated_at_ms), "dim"),
        )
    names = " ".join(filter(None, (shown.bucket.board_id, shown.bucket.bucket)))
    summary = f"{counted(page.total, 'player')} · seen {utc_time(page.read_at_ms)} UTC"
    if page.degraded:
        summary += " · from the ledger, without Redis"
    return Group(cell(names), rows, cell(summary if error is None else f"{summary} · {error}", "dim"))


def _rank_arrow(row: Row, before: Page | None) -> str:
    """An arrow up or down if the player's rank changed since the page before."""
    if before is None:
        return ""
    rank = next((old.rank for old in before.rows if old.user_id == row.user_id), len(before.rows) + 1)
    return "▲" if row.rank < rank else "▼" if row.rank > rank else ""
