"""What every order that changes something has in common: who gives it, why, and a yes before it is carried out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.outcomes import USAGE, Stop
from cli.printing import visible
from cli.running import interruptible
from cli.surroundings import Surroundings

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
    """Go on only after a yes, asked for on stderr; nobody there to say it is a no."""
    typer.echo(f"{visible(question)} [y/N] ", err=True, nl=False)
    with interruptible():
        answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise Stop(USAGE, "nobody said yes, so nothing was changed; --yes does not ask")
