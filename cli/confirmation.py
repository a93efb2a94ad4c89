"""What every order that changes something has in common: who gives it, why, and a yes before it is carried out."""

from __future__ import annotations

import select
import sys
import textwrap
from typing import Annotated, Final, TextIO

import typer

from cli.context import Surroundings
from cli.exit_codes import USAGE, Stop
from cli.output import visible
from cli.reactor import interruptible

#: One less than a terminal has: the answer begins behind the question.
_COLUMNS_MAX: Final = 78
_NO_ANSWER: Final = "this asks for a yes: answer it at a terminal or give --yes; nothing was changed"

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the order for good.")]
OperatorOption = Annotated[
    str | None,
    typer.Option(
        "--operator", metavar="NAME", help="Who orders it; else $SUDO_USER, $USER or the account that runs this. Kept as well."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]


def operator_of(around: Surroundings, operator: str | None, reason: str) -> str:
    """Who gives the order, which must have a reason; wrong usage if nobody is known to, or none was given."""
    who = operator or around.environ.get("SUDO_USER") or around.environ.get("USER") or around.account
    if not who or len(who) > 64:
        raise typer.BadParameter("who orders this? In at most 64 characters (nothing else tells)", param_hint="--operator")
    if not reason.strip() or len(reason) > 500:
        raise typer.BadParameter("say why, in at most 500 characters", param_hint="--reason")
    return who


def ask(question: str) -> None:
    """Go on only after a yes, asked for on stderr; where none can come, nothing is asked."""
    if sys.stdin is None or _is_at_end(sys.stdin):
        raise Stop(USAGE, _NO_ANSWER)
    typer.echo(_wrapped(question), err=True, nl=False)
    try:
        with interruptible():
            answer = sys.stdin.readline()
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise
    if not answer or not sys.stdin.isatty():  # no one pressed Enter, which would end the line on the screen
        typer.echo(err=True)
    if not answer:
        raise Stop(USAGE, _NO_ANSWER)
    if answer.strip().lower() not in ("y", "yes"):
        raise Stop(USAGE, "nobody said yes, so nothing was changed; --yes does not ask")


def _is_at_end(stream: TextIO) -> bool:
    """Whether a stream that is no terminal has nothing to read, as /dev/null has, and whatever cron gives."""
    if stream.isatty():
        return False
    try:
        readable, _, _ = select.select([stream], [], [], 0)
        return bool(readable) and not stream.buffer.peek(1)  # type: ignore[attr-defined]  # typeshed's buffer cannot peek
    except (OSError, ValueError):  # no file of the system's, or closed: reading it tells
        return False


def _wrapped(question: str) -> str:
    """The question in lines of at most 80 columns."""
    return textwrap.fill(f"{visible(question)} [y/N]", _COLUMNS_MAX, break_on_hyphens=False) + " "
