"""`scoreboard db`: schema migrations of the ledger, and backup and restore of a SQLite ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.confirmation import YesOption, confirm
from cli.context import cli_context
from cli.exit_codes import FOUND_WRONG
from cli.output import JsonOption, fields, print_json, print_json_or, print_line, show

app = typer.Typer(no_args_is_help=True)


@app.command("upgrade")
def upgrade(typer_context: typer.Context, as_json: JsonOption = False) -> None:
    """Bring the ledger's schema to the newest revision.

    Run it once after each new release, before its first server starts. A server
    upgrades a SQLite ledger itself as it starts.

    \b
    Examples:
      scoreboard db upgrade
    """
    ctx = cli_context(typer_context)
    revision = ctx.load_admin().upgrade_schema(ctx.settings())
    print_json_or(as_json, {"revision": revision}, f"The schema is at revision {revision}.")


@app.command("status")
def status(typer_context: typer.Context, as_json: JsonOption = False) -> None:
    """Show which revision the ledger's schema has and which is the newest. Exit code 1 if they differ.

    \b
    Examples:
      scoreboard db status
    """
    ctx = cli_context(typer_context)
    settings = ctx.settings()
    current, newest = ctx.load_admin().schema_status(settings)
    if as_json:
        print_json({"current": current, "newest": newest, "up_to_date": current == newest})
    else:
        advice = "up to date" if current == newest else "run `scoreboard db upgrade`"
        at = ctx.load_admin().ledger_location(settings)
        show(fields(at=at, ledger=current or "none (empty)", newest=newest, verdict=advice))
    if current != newest:
        raise typer.Exit(FOUND_WRONG)


@app.command("backup")
def backup(
    typer_context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Copy the SQLite ledger to a new file, beside a running server or without one.

    The copy is one file, as the ledger was at one moment, and is checked. For
    PostgreSQL use pg_dump.

    \b
    Examples:
      scoreboard db backup /backup/ledger-2026-11-26.db
    """
    ctx = cli_context(typer_context)
    ctx.load_admin().backup_ledger(ctx.settings(), file)
    if as_json:
        print_json({"backup": str(file)})
    else:
        print_line(f"The ledger is copied to {file}.")


@app.command("restore")
def restore(
    typer_context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replace the SQLite ledger with a backup. Stop the server first.

    The command asks for confirmation, but only when no error prevents the
    restore; --yes answers. While a server uses the ledger, the command ends with
    exit code 3.

    Never copy a file over ledger.db yourself: the write-ahead log beside it
    (ledger.db-wal) belongs to the old ledger and would undo the restore. This
    command checks the backup, ends the old log, keeps the old ledger under
    another name, and the server rebuilds the board at its next start.

    \b
    Examples:
      scoreboard db restore /backup/ledger-2026-11-26.db
    """
    ctx = cli_context(typer_context)

    question = f"Replace the ledger with {file}? The board loses the awards made since the backup; the present ledger is kept."

    def confirm_unless_yes() -> None:
        if not yes:
            confirm(question)

    kept = ctx.load_admin().restore_ledger(ctx.settings(), file, ctx.now_ms, confirm_unless_yes)
    if as_json:
        print_json({"restored": str(file), "kept": None if kept is None else str(kept)})
    else:
        print_line(f"The ledger is {file}." + ("" if kept is None else f" The former ledger is kept as {kept}."))
