"""The `scoreboard` command: all its parts in one place, and the real world they work in."""

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
from cli.context import Root, Surroundings
from cli.exit_codes import BROKEN, Commands
from cli.reactor import on_reactor
from scoreboard import __version__

app = typer.Typer(
    cls=Commands,
    name="scoreboard",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # their boxes print local variables, and settings are among them
)
audit.app.command("export")(exports.export_entries)
app.add_typer(audit.app, name="audit", help="Read the ledger: who was awarded what, when and from where.")
app.command("top")(top.top)
app.add_typer(replay.app, name="replay", help="Check single awards, or that everything adds up.")
app.add_typer(resets.app, name="reset", help="Take a player, or everyone, back to nothing. Asks first.")
app.add_typer(players.app, name="player", help="Look at one player, suspend or reinstate.")
app.add_typer(flags.app, name="flags", help="What looked like fraud.")
app.add_typer(tokens.app, name="token", help="Tokens for trying things out.")
app.add_typer(database.app, name="db", help="The ledger's schema.")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scoreboard {__version__}")
        raise typer.Exit


@app.callback()
def scoreboard(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inspect and mend a live scoreboard, while its server runs or not.

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


def _load_root() -> Root:
    from scoreboard import service  # all of the server: what --help need not wait for

    return service


def _account() -> str:
    with suppress(KeyError):  # an account without a name
        return pwd.getpwuid(os.getuid()).pw_name
    return ""


def _buffered(stream: TextIO) -> TextIO:
    """The stream, with a buffer below it that writes all of a text.

    PYTHONUNBUFFERED, which containers often set, leaves the buffer out. Then Python drops, without an error, what a pipe did not
    take at the first try.
    """
    if not isinstance(stream.buffer, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(stream.buffer), encoding=stream.encoding, line_buffering=stream.isatty())


def main() -> None:
    """Run the command that the arguments ask for, in the real world."""
    sys.stdout = _buffered(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a terminal that cannot show a name still gets it
    try:
        app(obj=Surroundings(load_root=_load_root, environ=os.environ, now_s=time.time, run=on_reactor, account=_account()))
    except Exception:  # a fault of ours: never to be mistaken for "found something wrong" (1)
        traceback.print_exc()
        sys.exit(BROKEN)
