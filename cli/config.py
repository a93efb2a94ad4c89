"""`scoreboard config`: check the settings before a start, and show what is in force."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from cli.context import cli_context
from cli.exit_codes import BAD_SETTINGS
from cli.output import JsonOption, cell, note, print_error, print_json, show, table

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(
    typer_context: typer.Context,
    connect: Annotated[bool, typer.Option("--connect", metavar="", help="Then try the ledger and Redis.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show each setting in force and where it comes from, or everything that is wrong.

    No secret is shown. It lists ignored variables whose names are near to a
    setting's. Exit code 78 if a setting is wrong; with --connect, 3 if the ledger
    or Redis cannot be reached. It does not check the ports and the limit of open
    files.

    \b
    Examples:
      scoreboard config check
      scoreboard config check --connect
    """
    ctx = cli_context(typer_context)
    report = ctx.load_admin().report_settings(ctx.environ)
    if as_json:
        print_json(report)
    elif report.settings:
        settings = table("Setting", "Value", "From", no_wrap=("Setting",))
        for one in report.settings:
            settings.add_row(cell(one.name), cell(one.value), cell(one.source, "dim"))
        show(settings)
    for remark in report.remarks:
        note(f"Note: {remark}")
    for complaint in report.complaints:
        print_error(complaint)
    if report.complaints:
        raise typer.Exit(BAD_SETTINGS)
    if connect:
        for found in ctx.run(partial(ctx.load_admin().try_stores, ctx.settings())):
            note(found)
