"""Entry point of the `scoreboard` command: the Typer app with all subcommands, and their real context."""

from __future__ import annotations

import io
import os
import pwd
import sys
import time
import traceback
from contextlib import suppress
from typing import Annotated, TextIO

import typer

from cli import audit, database, exports, flags, players, replay, resets, tokens, top
from cli.context import AdminApi, CliContext
from cli.exit_codes import INTERNAL_ERROR, CommandGroup
from cli.reactor import run_on_reactor
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
app.command("top")(top.top)
app.add_typer(replay.app, name="replay", help="Check single awards, or that everything adds up.")
app.add_typer(resets.app, name="reset", help="Reset a player, or everyone, to 0 points. Asks first.")
app.add_typer(players.app, name="player", help="Look at one player, suspend or reinstate.")
app.add_typer(flags.app, name="flags", help="What looked like fraud.")
app.add_typer(tokens.app, name="token", help="Tokens for trying things out.")
app.add_typer(database.app, name="db", help="The ledger's schema.")


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
    Exit codes:  0  fine
                 1  found something wrong
                 2  wrong usage, or not confirmed
                 3  cannot reach what it needs
                70  a fault of its own (please report it)
                78  bad settings
    """


def _load_admin() -> AdminApi:
    from scoreboard.service import admin  # imports the stores, which --help does not need

    return admin


def _account_name() -> str:
    with suppress(KeyError):  # no entry in the password database
        return pwd.getpwuid(os.getuid()).pw_name
    return ""


def _buffered(stream: TextIO) -> TextIO:
    """The stream on a BufferedWriter, which repeats a partial write.

    PYTHONUNBUFFERED, which containers often set, removes the buffer. Without it, after a partial write to a pipe, Python drops
    the rest without an error.
    """
    if not isinstance(stream.buffer, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(stream.buffer), encoding=stream.encoding, line_buffering=stream.isatty())


def main() -> None:
    """Run the command of sys.argv."""
    sys.stdout = _buffered(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for a terminal whose encoding lacks a character
    ctx = CliContext(load_admin=_load_admin, environ=os.environ, now_s=time.time, run=run_on_reactor, account=_account_name())
    try:
        app(obj=ctx)
    except Exception:  # an internal error; Python's own exit code for it would be FOUND_WRONG
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)
