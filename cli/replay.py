"""`scoreboard replay`: check whether actions were awarded, and verify the totals and the board."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from cli.audit import find_entry
from cli.checks import FINDINGS_MAX, Checker, Report, present_buckets
from cli.context import Stores, cli_context
from cli.exit_codes import FOUND_WRONG, USAGE_ERROR, CliError
from cli.output import JsonOption, cell, counted, iso_time, json_text, note, print_json, show, table, visible
from scoreboard.domain.actions import ACTION_ID
from scoreboard.domain.entries import Entry

_IDS_MAX: Final = 100_000
_LINE_CHARS_MAX: Final = 1024

RepairOption = Annotated[
    bool, typer.Option("--repair", metavar="", help="Then rebuild the boards in Redis from the ledger, whatever the check found.")
]
TakeOverOption = Annotated[
    bool, typer.Option("--take-over", metavar="", help="Repair even where Redis holds the board of another ledger.")
]

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(
    typer_context: typer.Context,
    action_id: Annotated[
        str | None, typer.Argument(metavar="ACTION_ID", help="Without it: read ids from stdin, one a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object a line, and nothing else.")] = False,
) -> None:
    """Show whether an action was awarded, when, to which player and from which address.

    Exit code 1 if any of the actions was not. None was awarded twice: the
    ledger holds an action id at most once.

    \b
    Examples:
      scoreboard replay check 6f1c2b34-8a51-4c0e-9d27-0f4bd3f6a111
      scoreboard replay check < suspicious-ids.txt
    """
    ids = [action_id] if action_id is not None else _ids_from_stdin()
    missing = 0

    async def check_all(stores: Stores, _: Any) -> None:
        nonlocal missing
        for checked_id in ids:
            entry = await find_entry(stores.ledger, checked_id)
            missing += entry is None
            typer.echo(_json_line(checked_id, entry) if as_json else _text_line(checked_id, entry))

    cli_context(typer_context).with_stores(check_all, need_board=False)
    if missing:
        raise typer.Exit(FOUND_WRONG)


def _ids_from_stdin() -> list[str]:
    """Every id on stdin. They are read before the reactor starts, so that Ctrl-C interrupts the read."""
    if sys.stdin.isatty():
        note("Action ids, one a line; Ctrl-D ends them:")
    ids: list[str] = []
    while text := sys.stdin.readline(_LINE_CHARS_MAX):
        if len(ids) == _IDS_MAX:
            raise CliError(USAGE_ERROR, f"more than {_IDS_MAX:,} action ids; check them in parts")
        if text.strip():
            ids.append(text.strip())
    return ids


def _text_line(action_id: str, entry: Entry | None) -> str:
    if entry is not None:
        details = f"to {visible(entry.user_id)} from {visible(entry.ip_address)}"
        return f"{entry.action_id}  awarded {entry.score_awarded:+,} {details} at {iso_time(entry.at_ms)}"
    if ACTION_ID.fullmatch(action_id) is None:
        return f"{visible(action_id)}  never awarded: this is no action id (a lower-case UUID, version 4)"
    return f"{action_id}  never awarded"


def _json_line(action_id: str, entry: Entry | None) -> str:
    if entry is None:
        return json_text({"action_id": action_id, "awarded": False})
    return json_text(
        {
            "action_id": action_id,
            "awarded": True,
            "user_id": entry.user_id,
            "action_type": entry.action_type,
            "points": entry.score_awarded,
            "at_ms": entry.at_ms,
            "ip_address": entry.ip_address,
            "user_agent": entry.user_agent,
        }
    )


@app.command("verify")
def verify(
    typer_context: typer.Context, repair: RepairOption = False, take_over: TakeOverOption = False, as_json: JsonOption = False
) -> None:
    """Check all totals: entries, the ledger's totals, and the boards in Redis.

    It computes every total and every score on a board from the entries, and
    compares the ledger's rows and the boards in Redis with it: the global one, and
    the present buckets of the others. Exit code 1 if anything differs. It may run
    while the server works: it reads a difference again before it counts it.

    --repair rebuilds these boards in Redis. It changes nothing in the ledger: a
    person must find out which value is right. If Redis holds the boards of another
    ledger, --repair leaves them alone; with --take-over it replaces them.

    \b
    Examples:
      scoreboard replay verify
      scoreboard replay verify --repair --json
    """
    ctx = cli_context(typer_context)

    async def work(stores: Stores, clock: Any) -> Report:
        with Console(stderr=True).status("Checking…") as status:
            report = await Checker(stores, clock, lambda players: status.update(f"Checked {players:,} players…")).check()
            if not repair or stores.board is None:
                return report
            api = ctx.load_admin()
            rebuilt = await api.rebuild_board(stores, stores.standings, stores.board, take_over)
            for standings, board in await present_buckets(stores):
                if board is not None:
                    await api.rebuild_board(stores, standings, board, take_over)
            return msgspec.structs.replace(report, rebuilt_players=rebuilt)

    report = ctx.with_stores(work, need_board=True)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if report.findings_total:
        raise typer.Exit(FOUND_WRONG)


def _show(report: Report) -> None:
    if report.findings:
        findings = table("Player", "Where", "Should be", "Is")
        for finding in report.findings:
            findings.add_row(*(cell(text) for text in (finding.user_id, finding.where, finding.expected, finding.found)))
        show(findings)
    if report.findings_total > FINDINGS_MAX:
        show(f"… and {report.findings_total - FINDINGS_MAX:,} more")
    summary = Text("All totals are right." if not report.findings_total else counted(report.findings_total, "finding") + ".")
    summary.stylize("bold red" if report.findings_total else "bold green")
    compared = "compared with Redis" if report.board_compared else "Redis not compared: the server is not running"
    show(summary.append(f" {counted(report.players, 'player')}, {compared}.", "not bold default"))
    if report.rebuilt_players is not None:
        show(f"The boards in Redis are rebuilt; {counted(report.rebuilt_players, 'player')} on the global one.")
