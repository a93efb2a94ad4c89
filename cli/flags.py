"""`scoreboard flags`: the list of fraud flags. It is empty, as this release has no detectors."""

from __future__ import annotations

import typer

from cli.output import JsonOption, print_json_or

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_flags(as_json: JsonOption = False) -> None:
    """List fraud flags. There are none: this release has no detectors that could raise one.

    \b
    Examples:
      scoreboard flags list
    """
    message = "No flags: this release has no fraud detectors yet. An empty list here does not mean that there is no fraud."
    print_json_or(as_json, [], message)
