"""Help texts of commands: the lines of a paragraph are joined, so that the terminal alone decides where a line ends."""

from __future__ import annotations

import inspect
from typing import Any


def join_help_lines(command: Any) -> None:
    """Join the lines of each paragraph in the help of a Typer command and of its subcommands."""
    if command.help:
        command.help = "\n\n".join(map(_joined, inspect.cleandoc(command.help).split("\n\n")))
    for subcommand in getattr(command, "commands", {}).values():
        join_help_lines(subcommand)


def _joined(paragraph: str) -> str:
    """The paragraph on one line; one that begins with ``\\b`` is a list or an example and stays as it is."""
    return paragraph if paragraph.startswith("\b") else " ".join(paragraph.split())
