"""`scoreboard db`: the ledger's schema, and its backups where it is SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.confirmation import YesOption, ask
from cli.context import surroundings
from cli.exit_codes import FOUND_WRONG
from cli.output import JsonFlag, facts, print_json, say, show

app = typer.Typer(no_args_is_help=True)


@app.command("upgrade")
def upgrade(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Bring the ledger's schema to the newest revision.

    Run it once after each new release, before its first server starts. The
    embedded SQLite ledger is upgraded by the server itself as it starts.

    \b
    Examples:
      scoreboard db upgrade
    """
    around = surroundings(ctx)
    revision = around.load_root().upgrade_schema(around.settings())
    if as_json:
        print_json({"revision": revision})
    else:
        show(f"The schema is at revision {revision}.")


@app.command("status")
def status(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Show which revision the ledger's schema has and which is the newest. Exit code 1 if they differ.

    \b
    Examples:
      scoreboard db status
    """
    around = surroundings(ctx)
    settings = around.settings()
    current, newest = around.load_root().schema_status(settings)
    if as_json:
        print_json({"current": current, "newest": newest, "up_to_date": current == newest})
    else:
        advice = "up to date" if current == newest else "run `scoreboard db upgrade`"
        at = around.load_root().ledger_location(settings)
        show(facts(at=at, ledger=current or "none (empty)", newest=newest, verdict=advice))
    if current != newest:
        raise typer.Exit(FOUND_WRONG)


@app.command("backup")
def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file to write.")],
    as_json: JsonFlag = False,
) -> None:
    """Copy the SQLite ledger to a new file, beside a running server or without one.

    The copy is one file, as the ledger was at one moment, and is checked. For
    PostgreSQL use pg_dump.

    \b
    Examples:
      scoreboard db backup /backup/ledger-2026-11-26.db
    """
    around = surroundings(ctx)
    around.load_root().backup_ledger(around.settings(), file)
    if as_json:
        print_json({"backup": str(file)})
    else:
        say(f"The ledger is copied to {file}.")


@app.command("restore")
def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    yes: YesOption = False,
    as_json: JsonFlag = False,
) -> None:
    """Put a backup in the place of the SQLite ledger. Stop the server first.

    Asks when nothing hinders it; --yes answers. While a server uses the ledger
    it is refused (exit code 3), and nothing is asked.

    Never copy a file over ledger.db yourself: the write-ahead log beside it
    (ledger.db-wal) belongs to the old ledger and would undo the restore. This
    command checks the backup, ends the old log, keeps the old ledger under
    another name, and has the board rebuilt at the server's next start.

    \b
    Examples:
      scoreboard db restore /backup/ledger-2026-11-26.db
    """
    around = surroundings(ctx)

    def confirm() -> None:
        if not yes:
            ask(f"Put {file} in the ledger's place? What was awarded since is gone from the board; the ledger before it is kept.")

    kept = around.load_root().restore_ledger(around.settings(), file, around.now_ms, confirm)
    if as_json:
        print_json({"restored": str(file), "kept": None if kept is None else str(kept)})
    else:
        say(f"The ledger is {file}." + ("" if kept is None else f" The one before it is kept as {kept}."))
