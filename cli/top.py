"""`scoreboard top`: the live board in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.live import Live

from cli.context import Stores, Surroundings, surroundings
from cli.output import Console, JsonFlag, cell, counted, moment, one_line, print_json, sheet, show
from cli.reactor import pause
from scoreboard.boundaries import StaleBoard, StoreUnavailable
from scoreboard.domain.values import Cursor, Page, Row, ScoreChanged

#: However much happens, the screen is drawn at most this often.
_PACE_S: Final = 0.1
_LIMIT_MAX: Final = 100


def top(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=_LIMIT_MAX, help="How many players.")] = 10,
    interval: Annotated[
        float, typer.Option("--interval", min=_PACE_S, max=3600, metavar="SECONDS", help="Look at least this often.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", metavar="", help="Print the board once. So does a pipe, and --json.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the top of the board and follow it; Ctrl-C ends.

    An arrow marks who moved in the last change.

    \b
    Examples:
      scoreboard top
      scoreboard top --once --limit 100
    """
    around = surroundings(ctx)
    console = Console(highlight=False, markup=False)

    async def look(stores: Stores, _: Any) -> Page:
        return await _read(stores, limit, around)

    async def follow(stores: Stores, clock: Any) -> None:
        await _follow(stores, clock, limit, interval, around, console)

    if once or as_json or not console.is_terminal:
        page = around.visit(look, need_board=True)
        if as_json:
            print_json(page)
        else:
            show(_drawn(page, None, None))
        return
    try:
        around.visit(follow, need_board=True)
    except KeyboardInterrupt:
        return


async def _follow(stores: Stores, clock: Any, limit: int, interval_s: float, around: Surroundings, console: Console) -> None:
    """Draw whenever a change is heard, at the latest after ``interval_s``; while no store answers the last state stands."""
    heard: list[Cursor] = []

    def hear(cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        heard[:] = [cursor]

    if stores.board is not None:
        stores.board.listen(hear)
    page, before = await _read(stores, limit, around), None
    with Live(_drawn(page, None, None), console=console, auto_refresh=False) as screen:
        while True:
            waited_s = 0.0
            while waited_s < interval_s and not (heard and waited_s):
                await pause(clock, _PACE_S)
                waited_s += _PACE_S
            heard.clear()
            trouble = None
            try:
                now = await _read(stores, limit, around)
                if now.rows != page.rows:
                    before = page
                page = now
            except StoreUnavailable as unavailable:
                trouble = str(unavailable)
            screen.update(_drawn(page, before, trouble), refresh=True)


async def _read(stores: Stores, limit: int, around: Surroundings) -> Page:
    """The top of the board; as the ledger sees it when there is none to ask."""
    if stores.board is not None:
        try:
            return await stores.board.page(0, limit)
        except (StoreUnavailable, StaleBoard):
            pass  # Redis is away or about to be rebuilt; the ledger knows the totals too
    standings, total = await stores.ledger.top(0, limit), await stores.ledger.ranked_count()
    rows = tuple(standing.row(rank) for rank, standing in enumerate(standings, 1))
    return Page(cursor=Cursor(epoch=0, seq=0), total=total, rows=rows, read_at_ms=around.now_ms, degraded=True)


def _drawn(page: Page, before: Page | None, trouble: str | None) -> Group:
    table = sheet("Rank", "", "Player", "User id", "Points", "Changed (UTC)", right=("Rank", "Points"), whole=("Changed (UTC)",))
    for row in page.rows:
        table.add_row(
            str(row.rank),
            _move(row, before),
            one_line(row.username),
            one_line(row.user_id, "dim"),
            f"{row.points:,}",
            cell(moment(row.updated_at_ms), "dim"),
        )
    seen = f"{counted(page.total, 'player')} · seen {moment(page.read_at_ms)} UTC"
    if page.degraded:
        seen += " · from the ledger, without Redis"
    return Group(table, cell(seen if trouble is None else f"{seen} · {trouble}", "dim"))


def _move(row: Row, before: Page | None) -> str:
    """An arrow if the player stands elsewhere than before."""
    if before is None:
        return ""
    rank = next((old.rank for old in before.rows if old.user_id == row.user_id), len(before.rows) + 1)
    return "▲" if row.rank < rank else "▼" if row.rank > rank else ""
