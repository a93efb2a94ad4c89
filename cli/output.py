"""What people and programs read: tables that show strange characters instead of obeying them, and JSON."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from rich import box
from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text


class Console(RichConsole):
    """Rich's console, but a reader who leaves is for the root of all commands: rich would end the process with 1."""

    def on_broken_pipe(self) -> None:
        """Rich: called while the error is handled."""
        raise  # the BrokenPipeError


JsonFlag = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs, and nothing else.")]

#: Controls, formats (bidirectional marks among them), surrogates, private and unassigned, line and paragraph separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with everything a terminal could obey, or an eye not see, spelt as an escape."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(char) if char == "\\" or unicodedata.category(char) in _UNSEEN else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def cell(text: str, style: str = "") -> Text:
    """Text of unknown origin, fit for a table."""
    return Text(visible(text), style)


def one_line(text: str, style: str = "") -> Text:
    """A cell that is cut, not folded, where it does not fit."""
    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def stacked(upper: str, lower: str, style: str = "") -> Text:
    """Two lines in one cell, the lower one dim."""
    return cell(upper, style).append("\n").append(visible(lower), "dim")


def counted(number: int, noun: str) -> str:
    """How many of something there are: 1 player, 1,250 players."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(at_ms: int) -> str:
    """A time in UTC, to the second."""
    return f"{_utc(at_ms):%Y-%m-%d %H:%M:%S}"


def iso(at_ms: int) -> str:
    """A time in UTC as ISO 8601, to the millisecond."""
    return _utc(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def sheet(*headers: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = ()) -> Table:
    """An empty table with these columns: numbers in those named in ``right``; those in ``whole`` are never folded."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for header in headers:
        justify: Literal["left", "right"] = "right" if header in right else "left"
        table.add_column(header, justify=justify, no_wrap=header in right or header in whole, overflow="fold")
    return table


def facts(**rows: str | Text) -> Table:
    """What is known of one thing: a name and a value a line. An underscore in a name stands for a space."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), cell(value) if isinstance(value, str) else value)
    return table


def show(*things: Any) -> None:
    """Print for people, on stdout."""
    Console(highlight=False, markup=False).print(*things, sep="\n")


def say(message: str) -> None:
    """Print a sentence on stdout, in one line: what it names can be copied from a narrow terminal, too."""
    Console(highlight=False, markup=False).print(cell(message), soft_wrap=True)


def remark(message: str) -> None:
    """Tell whoever watches stderr something that is no part of the answer."""
    _stderr(cell(message))


def _stderr(text: Text) -> None:
    Console(stderr=True).print(text, soft_wrap=True)


def complain(message: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    _stderr(Text("Error: ", "bold red").append(visible(message), "not bold default"))


def print_json(thing: Any, *, indent: int | None = 2) -> None:
    """Print for programs, on stdout."""
    typer.echo(json_text(thing, indent=indent))


def json_text(thing: Any, *, indent: int | None = None) -> str:
    """A value (or values) of ours as JSON text in printable ASCII; on one line unless indented."""
    return json.dumps(msgspec.to_builtins(thing), indent=indent).replace("\x7f", "\\u007f")
