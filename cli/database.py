"""`scoreboard db`: the ledger's schema."""

from __future__ import annotations

import typer

from cli.outcomes import FOUND_WRONG
from cli.printing import JsonFlag, facts, print_json, show
from cli.surroundings import surroundings

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
    current, newest = around.load_root().schema_status(around.settings())
    if as_json:
        print_json({"current": current, "newest": newest, "up_to_date": current == newest})
    else:
        advice = "up to date" if current == newest else "run `scoreboard db upgrade`"
        show(facts(ledger=current or "none (empty)", newest=newest, verdict=advice))
    if current != newest:
        raise typer.Exit(FOUND_WRONG)
