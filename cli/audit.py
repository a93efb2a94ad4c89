"""`scoreboard audit`: read the ledger, page by page. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from cli.context import Stores, Surroundings, surroundings
from cli.exit_codes import FOUND_WRONG
from cli.output import JsonFlag, complain, facts, iso, json_text, moment, print_json, sheet, show, stacked
from cli.time_options import moment_ms
from scoreboard.boundaries import Ledger
from scoreboard.domain.entries import Entry, EntryFilter

PAGE_ENTRIES_MAX: Final = 1000

app = typer.Typer(no_args_is_help=True)

UserOption = Annotated[str | None, typer.Option("--user", metavar="USER", help="Only this player's entries (user id).")]
ActionOption = Annotated[str | None, typer.Option("--action", metavar="ID", help="Only the entry of this action id.")]
TypeOption = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this action type; RESET for resets.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From this time on: 2h, 7d, 2026-11-23, 2026-11-23T10:30 (UTC).")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this time, written the same way.")]


@app.command("list")
def list_entries(
    ctx: typer.Context,
    user: UserOption = None,
    action: ActionOption = None,
    action_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=PAGE_ENTRIES_MAX, help="How many entries.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the newest ledger entries, newest first.

    Each takes two lines: when, player, action type and points; below them the
    address it came from, the action id and the player's total after it.

    \b
    Examples:
      scoreboard audit list --user user-123 --since 7d
      scoreboard audit list --type RESET
    """
    around = surroundings(ctx)
    where = which_entries(around, user, action, action_type, since, until)

    async def read(stores: Stores, _: Any) -> tuple[int, list[Entry]]:
        newest = await stores.ledger.entries(where, None, limit, newest_first=True)
        return len(newest) if as_json else await stores.ledger.count_entries(where), newest

    count, entries = around.visit(read, need_board=False)
    if as_json:
        print_json([as_object(entry) for entry in entries])
    elif entries:
        show(_entry_table(entries), f"{len(entries):,} of {count:,} entries")
    else:
        show("No entries.")


@app.command("show")
def show_entry(
    ctx: typer.Context,
    action_id: Annotated[str, typer.Argument(metavar="ACTION_ID", help="The action id, as `audit list` shows it.")],
    as_json: JsonFlag = False,
) -> None:
    """Show everything the ledger holds about one action.

    Exit code 1 if that is nothing.

    \b
    Examples:
      scoreboard audit show 6f1c2b34-8a51-4c0e-9d27-0f4bd3f6a111
    """

    async def read(stores: Stores, _: Any) -> Entry | None:
        return await find_entry(stores.ledger, action_id)

    entry = surroundings(ctx).visit(read, need_board=False)
    if as_json:
        print_json(entry and as_object(entry))
    elif entry is not None:
        show(_entry_facts(entry))
    if entry is None:
        complain(f"the ledger has no action {action_id}")
        raise typer.Exit(FOUND_WRONG)


def which_entries(
    around: Surroundings, user: str | None, action: str | None, action_type: str | None, since: str | None, until: str | None
) -> EntryFilter:
    """The filter that these options mean."""
    return EntryFilter(
        user_id=user,
        action_id=action,
        action_type=action_type,
        since_ms=None if since is None else moment_ms(since, "--since", around.now_ms),
        until_ms=None if until is None else moment_ms(until, "--until", around.now_ms),
    )


async def find_entry(ledger: Ledger, action_id: str) -> Entry | None:
    """The entry of an action, if it was ever awarded."""
    found = await ledger.entries(EntryFilter(action_id=action_id), None, 1)
    return found[0] if found else None


async def entry_pages(ledger: Ledger, where: EntryFilter) -> AsyncIterator[list[Entry]]:
    """All entries that the filter finds, oldest first, never more than a page of them in memory."""
    after = None
    while page := await ledger.entries(where, after, PAGE_ENTRIES_MAX):
        yield page
        after = (page[-1].at_ms, page[-1].transaction_id)


def as_object(entry: Entry) -> dict[str, Any]:
    """The entry for JSON, its metadata an object (or, if someone spoilt it, the text as it is)."""
    thing: dict[str, Any] = msgspec.to_builtins(entry)
    try:
        thing["metadata"] = msgspec.json.decode(entry.metadata)
    except msgspec.DecodeError:
        thing["metadata"] = entry.metadata
    return thing


def _entry_table(entries: list[Entry]) -> Table:
    table = sheet("When (UTC)", "Player", "Action", "Points", right=("Points",), whole=("When (UTC)", "Action"))
    for entry in entries:
        table.add_row(
            stacked(*moment(entry.at_ms).split()),
            stacked(entry.user_id, entry.ip_address),
            stacked(entry.action_type[: len(entry.action_id)], entry.action_id),  # no wider than the id; `show` has it whole
            stacked(f"{entry.score_awarded:+,}", f"{entry.score_after:,}", "green" if entry.score_awarded > 0 else "red"),
        )
    return table


def _entry_facts(entry: Entry) -> Table:
    return facts(
        action=entry.action_id,
        type=entry.action_type,
        player=entry.user_id,
        points=f"{entry.score_awarded:+,} ({entry.score_before:,} → {entry.score_after:,})",
        when=iso(entry.at_ms),
        address=entry.ip_address,
        agent=entry.user_agent,
        validated="yes" if entry.validated else "NO",
        metadata=Text(json_text(as_object(entry)["metadata"])),
        transaction=entry.transaction_id,
    )
