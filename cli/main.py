"""Entry point of the `scoreboard` command: the Typer app with all subcommands, and their real context."""

from __future__ import annotations

import os
import pwd
import sys
import time
import traceback
from contextlib import suppress
from typing import Annotated

import typer

from cli import audit, boards, config, database, exports, flags, players, replay, resets, serve, tokens, top
from cli.context import AdminApi, CliContext
from cli.exit_codes import INTERNAL_ERROR, CommandGroup
from cli.reactor import run_on_reactor
from cli.streams import open_streams
from scoreboard import __version__

app = typer.Typer(
    cls=CommandGroup,
    name="scoreboard",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they print local variables, which may hold settings
)
audit.app.command("export")(exports.export_entries)
app.add_typer(audit.app, name="audit", help="Read the ledger: who was awarded what, when and from where.")
app.command("serve")(serve.serve)
app.command("top")(top.top)
app.add_typer(replay.app, name="replay", help="Check single awards, or all totals.")
app.add_typer(resets.app, name="reset", help="Reset a player, or everyone, to 0 points. Asks first.")
app.add_typer(boards.app, name="board", help="List the boards, or plan a change of their file.")
app.add_typer(players.app, name="player", help="Look at one player, suspend or reinstate.")
app.add_typer(flags.app, name="flags", help="List possible fraud.")
app.add_typer(tokens.app, name="token", help="Make a token to try the server with, or explain one.")
app.add_typer(config.app, name="config", help="Check the server's settings.")
app.add_typer(database.app, name="db", help="Upgrade, back up or restore the ledger.")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"scoreboard {__version__}")
        raise typer.Exit


@app.callback()
def scoreboard(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inspect and repair a live scoreboard, with or without a running server.

    It takes the server's own settings: the same environment, the same file in
    SCOREBOARD_CONFIG_FILE. Run it where the server runs. Every command that
    prints data prints it as JSON with --json. Times are UTC.

    \b
    Exit codes:  0  success
                 1  found a problem
                 2  wrong usage, or not confirmed
                 3  cannot reach or use the ledger, Redis or a file
                70  a fault of the command (please report it)
                78  bad settings
               130  interrupted
               141  the reader closed the pipe
    """


def _load_admin() -> AdminApi:
    from scoreboard.service import admin  # imports the stores, which --help does not need

    return admin


def _account_name() -> str:
    with suppress(KeyError):  # no entry in the password database
        return pwd.getpwuid(os.getuid()).pw_name
    return ""


def main() -> None:
    """Run the command of sys.argv."""
    open_streams()
    ctx = CliContext(load_admin=_load_admin, environ=os.environ, now_s=time.time, run=run_on_reactor, account=_account_name())
    try:
        app(obj=ctx, prog_name="scoreboard")
    except Exception:  # an internal error; Python's own exit code for it would be FOUND_WRONG
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)


if __name__ == "__main__":
    main()
