"""`scoreboard audit`: read the ledger, page by page. It changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from cli.context import CliContext, Stores, cli_context
from cli.exit_codes import FOUND_WRONG, CliError
from cli.output import JsonOption, fields, iso_time, json_text, print_error, print_json, show, table, two_lines, utc_time
from cli.time_options import parse_time_ms
from scoreboard.boundaries.ledger import Ledger
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
    typer_context: typer.Context,
    user: UserOption = None,
    action: ActionOption = None,
    action_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=PAGE_ENTRIES_MAX, help="How many entries.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the newest ledger entries, newest first.

    Each entry takes two lines: time, player, action type and points; below them
    the address, the action id and the player's total after the entry.

    \b
    Examples:
      scoreboard audit list --user user-123 --since 7d
      scoreboard audit list --type RESET
    """
    ctx = cli_context(typer_context)
    wanted = entry_filter(ctx, user, action, action_type, since, until)

    async def read(stores: Stores, _: Any) -> tuple[int, list[Entry]]:
        await require_known(ctx, stores, wanted)
        newest = await stores.ledger.entries(wanted, None, limit, newest_first=True)
        return len(newest) if as_json else await stores.ledger.count_entries(wanted), newest

    count, entries = ctx.with_stores(read, need_board=False)
    if as_json:
        print_json([json_object(entry) for entry in entries])
    elif entries:
        show(_entry_table(entries), f"{len(entries):,} of {count:,} entries")
    else:
        show("No entries.")


@app.command("show")
def show_entry(
    typer_context: typer.Context,
    action_id: Annotated[str, typer.Argument(metavar="ACTION_ID", help="The action id, as `audit list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Show everything the ledger holds about one action.

    Exit code 1 if the ledger has no such action.

    \b
    Examples:
      scoreboard audit show 6f1c2b34-8a51-4c0e-9d27-0f4bd3f6a111
    """
    entry = cli_context(typer_context).with_stores(lambda stores, _: find_entry(stores.ledger, action_id), need_board=False)
    if as_json:
        print_json(entry and json_object(entry))
    elif entry is not None:
        show(_entry_fields(entry))
    if entry is None:
        print_error(f"the ledger has no action {action_id}")
        raise typer.Exit(FOUND_WRONG)


def entry_filter(
    ctx: CliContext, user: str | None, action: str | None, action_type: str | None, since: str | None, until: str | None
) -> EntryFilter:
    """The filter for the values of these options. Wrong usage if no entry can match."""
    since_ms = None if since is None else parse_time_ms(since, "--since", ctx.now_ms)
    until_ms = None if until is None else parse_time_ms(until, "--until", ctx.now_ms)
    if since_ms is not None and since_ms > ctx.now_ms:
        raise typer.BadParameter(f"{since!r} is in the future", param_hint="--since")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise typer.BadParameter("--until must be later than --since", param_hint="--until")
    return EntryFilter(user_id=user, action_id=action, action_type=action_type, since_ms=since_ms, until_ms=until_ms)


async def require_known(ctx: CliContext, stores: Stores, wanted: EntryFilter) -> None:
    """End the command if the filter names a player, an action or a type that the ledger does not have: it was typed wrongly."""
    for name, value, alone in (
        ("player", wanted.user_id, EntryFilter(user_id=wanted.user_id)),
        ("action", wanted.action_id, EntryFilter(action_id=wanted.action_id)),
        ("action type", wanted.action_type, EntryFilter(action_type=wanted.action_type)),
    ):
        if value is None or await stores.ledger.entries(alone, None, 1):
            continue
        known = ctx.load_admin().action_types(ctx.settings()) if name == "action type" else ()
        if value not in known:
            types = f"; the catalogue has {', '.join(known)}" if known else ""
            raise CliError(FOUND_WRONG, f"the ledger has no {name} {value}{types}")


async def find_entry(ledger: Ledger, action_id: str) -> Entry | None:
    """The entry of an action, or None if it was never awarded."""
    found = await ledger.entries(EntryFilter(action_id=action_id), None, 1)
    return found[0] if found else None


async def entry_pages(ledger: Ledger, wanted: EntryFilter) -> AsyncIterator[list[Entry]]:
    """All entries that match, oldest first, as pages: one page is in memory at a time."""
    after = None
    while page := await ledger.entries(wanted, after, PAGE_ENTRIES_MAX):
        yield page
        after = (page[-1].at_ms, page[-1].transaction_id)


def json_object(entry: Entry) -> dict[str, Any]:
    """The entry for JSON, with its metadata as an object (or, where that is not valid JSON, as text)."""
    obj: dict[str, Any] = msgspec.to_builtins(entry)
    try:
        obj["metadata"] = msgspec.json.decode(entry.metadata)
    except msgspec.DecodeError:
        obj["metadata"] = entry.metadata
    return obj


def _entry_table(entries: list[Entry]) -> Table:
    entry_table = table("When (UTC)", "Player", "Action", "Points", right=("Points",), no_wrap=("When (UTC)", "Action"))
    for entry in entries:
        entry_table.add_row(
            two_lines(*utc_time(entry.at_ms).split()),
            two_lines(entry.user_id, entry.ip_address),
            two_lines(entry.action_type[: len(entry.action_id)], entry.action_id),  # cut to the id's width; `show` has all of it
            two_lines(f"{entry.score_awarded:+,}", f"{entry.score_after:,}", "green" if entry.score_awarded > 0 else "red"),
        )
    return entry_table


def _entry_fields(entry: Entry) -> Table:
    return fields(
        action=entry.action_id,
        type=entry.action_type,
        player=entry.user_id,
        points=f"{entry.score_awarded:+,} ({entry.score_before:,} → {entry.score_after:,})",
        when=iso_time(entry.at_ms),
        address=entry.ip_address,
        agent=entry.user_agent,
        validated="yes" if entry.validated else "NO",
        metadata=Text(json_text(json_object(entry)["metadata"])),
        transaction=entry.transaction_id,
    )
