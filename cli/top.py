"""`scoreboard top`: the leaderboard in the terminal, refreshed as it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.live import Live

from cli.context import CliContext, Stores, cli_context
from cli.output import JsonOption, cell, counted, one_line, print_json_or, table, utc_time
from cli.reactor import sleep
from scoreboard.domain.board_pages import Page, Row
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
    once: Annotated[bool, typer.Option("--once", metavar="", help="Print the board once, as --json does.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the top of the board and follow it; Ctrl-C ends.

    An arrow marks the players that moved in the last change.

    \b
    Examples:
      scoreboard top
      scoreboard top --once --limit 100
    """
    ctx = cli_context(typer_context)
    console = Console(highlight=False, markup=False)

    if once or as_json or not console.is_terminal:
        page = ctx.with_stores(lambda stores, _: _read(stores, limit, ctx), need_board=True)
        print_json_or(as_json, page, _render(page, None, None))
        return
    try:
        ctx.with_stores(lambda stores, clock: _follow(stores, clock, limit, interval, ctx, console), need_board=True)
    except KeyboardInterrupt:
        return


async def _follow(stores: Stores, clock: Any, limit: int, interval_s: float, ctx: CliContext, console: Console) -> None:
    """Refresh after each change and at least every ``interval_s``; while no store answers, the last page stays on the screen."""
    changes_seen: list[Cursor] = []

    def on_change(cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        changes_seen[:] = [cursor]

    if stores.board is not None:
        stores.board.listen(on_change)
    page, before = await _read(stores, limit, ctx), None
    with Live(_render(page, None, None), console=console, auto_refresh=False) as live:
        while True:
            waited_s = 0.0
            while waited_s < interval_s and not (changes_seen and waited_s):
                await sleep(clock, _REFRESH_S_MIN)
                waited_s += _REFRESH_S_MIN
            changes_seen.clear()
            error = None
            try:
                now = await _read(stores, limit, ctx)
                if now.rows != page.rows:
                    before = page
                page = now
            except StoreUnavailable as unavailable:
                error = str(unavailable)
            live.update(_render(page, before, error), refresh=True)


async def _read(stores: Stores, limit: int, ctx: CliContext) -> Page:
    """The first page of the board, or the same from the ledger if the board cannot be read."""
    if stores.board is not None:
        try:
            return await stores.board.page(0, limit)
        except (StoreUnavailable, StaleBoard):
            pass  # Redis does not answer or the board is about to be rebuilt; the ledger has the totals too
    standings, total = await stores.ledger.top(0, limit), await stores.ledger.ranked_count()
    rows = tuple(standing.row(rank) for rank, standing in enumerate(standings, 1))
    return Page(cursor=Cursor(epoch=0, seq=0), total=total, rows=rows, read_at_ms=ctx.now_ms, degraded=True)


def _render(page: Page, before: Page | None, error: str | None) -> Group:
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
    summary = f"{counted(page.total, 'player')} · seen {utc_time(page.read_at_ms)} UTC"
    if page.degraded:
        summary += " · from the ledger, without Redis"
    return Group(rows, cell(summary if error is None else f"{summary} · {error}", "dim"))


def _rank_arrow(row: Row, before: Page | None) -> str:
    """An arrow up or down if the player's rank changed since the page before."""
    if before is None:
        return ""
    rank = next((old.rank for old in before.rows if old.user_id == row.user_id), len(before.rows) + 1)
    return "▲" if row.rank < rank else "▼" if row.rank > rank else ""
