"""Confirmation prompt, with the options --reason, --operator and --yes. Every command that changes something uses them."""

from __future__ import annotations

import select
import sys
import textwrap
from typing import Annotated, Final, TextIO

import typer

from cli.context import CliContext
from cli.exit_codes import USAGE_ERROR, CliError
from cli.output import visible
from cli.reactor import default_sigint

#: Two less than the columns of a terminal, because the answer is typed after the prompt.
_COLUMNS_MAX: Final = 78
_NO_ANSWER: Final = "this command asks for confirmation: answer at a terminal, or give --yes; nothing was changed"

ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason. It is stored with the order.")]
OperatorOption = Annotated[
    str | None,
    typer.Option(
        "--operator", metavar="NAME", help="The operator's name; else $SUDO_USER, $USER or the account's name. It is stored, too."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]


def operator_name(ctx: CliContext, operator: str | None, reason: str) -> str:
    """The operator's name, from the option, the environment or the account; a usage error without a name or a reason."""
    name = operator or ctx.environ.get("SUDO_USER") or ctx.environ.get("USER") or ctx.account
    if not name or len(name) > 64:
        raise typer.BadParameter("name the operator, in at most 64 characters", param_hint="--operator")
    if not reason.strip() or len(reason) > 500:
        raise typer.BadParameter("say why, in at most 500 characters", param_hint="--reason")
    return name


def confirm(question: str) -> None:
    """Ask on stderr and return after a yes; any other answer, or a stdin that holds none, is a CliError."""
    if sys.stdin is None or _at_eof(sys.stdin):
        raise CliError(USAGE_ERROR, _NO_ANSWER)
    prompt = textwrap.fill(f"{visible(question)} [y/N]", _COLUMNS_MAX, break_on_hyphens=False)
    typer.echo(f"{prompt} ", err=True, nl=False)
    try:
        with default_sigint():
            answer = sys.stdin.readline()
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise
    if not answer or not sys.stdin.isatty():  # without Enter at a terminal, the cursor is still on the prompt's line
        typer.echo(err=True)
    if not answer:
        raise CliError(USAGE_ERROR, _NO_ANSWER)
    if answer.strip().lower() not in ("y", "yes"):
        raise CliError(USAGE_ERROR, "not confirmed, so nothing was changed; with --yes the command does not ask")


def _at_eof(stream: TextIO) -> bool:
    """Whether a stream that is no terminal has nothing to read, like /dev/null and the stdin that cron gives."""
    if stream.isatty():
        return False
    try:
        readable, _, _ = select.select([stream], [], [], 0)
        return bool(readable) and not stream.buffer.peek(1)  # type: ignore[attr-defined]  # typeshed's buffer cannot peek
    except (OSError, ValueError):  # no file descriptor, or closed: the read that follows reports it
        return False
