"""Console output: tables and JSON on stdout, errors and notes on stderr. It escapes text, because clients chose the names."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs, and nothing else.")]

#: Control, format (bidirectional marks among them), surrogate, private, line and paragraph separator. A character that this
#: Python does not know is shown: most are emoji of a newer Unicode version.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with each control or invisible character written as an escape."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii") if char == "\\" or unicodedata.category(char) in _UNPRINTABLE else char
        for char in text
    )


def cell(text: str, style: str = "") -> Text:
    """A table cell with untrusted text."""
    return Text(visible(text), style)


def one_line(text: str, style: str = "") -> Text:
    """A table cell that is cut, not folded, where it does not fit."""
    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def two_lines(upper: str, lower: str, style: str = "") -> Text:
    """A table cell of two lines, the lower one dim."""
    return cell(upper, style).append("\n").append(visible(lower), "dim")


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 player, 1,250 players."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def utc_time(at_ms: int) -> str:
    """A time in UTC, to the second."""
    return f"{_utc(at_ms):%Y-%m-%d %H:%M:%S}"


def iso_time(at_ms: int) -> str:
    """A time in UTC as ISO 8601, to the millisecond."""
    return _utc(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def table(*headers: str, right: tuple[str, ...] = (), no_wrap: tuple[str, ...] = ()) -> Table:
    """An empty table with these columns: those named in ``right`` hold numbers; those in ``no_wrap`` are never folded."""
    empty = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for header in headers:
        justify: Literal["left", "right"] = "right" if header in right else "left"
        empty.add_column(header, justify=justify, no_wrap=header in right or header in no_wrap, overflow="fold")
    return empty


def fields(**values: str | Text) -> Table:
    """One record as a table: one field's name and value a line. An underscore in a name stands for a space."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(name.replace("_", " "), cell(value) if isinstance(value, str) else value)
    return grid


def show(*renderables: Any) -> None:
    """Print on stdout what Rich renders to the width of the terminal."""
    Console(highlight=False, markup=False).print(*renderables, sep="\n")


def print_line(message: str) -> None:
    """Print a sentence on stdout without wrapping, so that a path in it can be copied from a narrow terminal."""
    Console(highlight=False, markup=False).print(cell(message), soft_wrap=True)


def note(message: str) -> None:
    """Print a remark on stderr, in one line: it is no part of the command's output."""
    _stderr(cell(message))


def _stderr(text: Text) -> None:
    Console(stderr=True).print(text, soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error on stderr, in one line."""
    _stderr(Text("Error: ", "bold red").append(visible(message), "not bold default"))


def print_json(value: Any) -> None:
    """Print a value on stdout as an indented JSON document."""
    typer.echo(json_text(value, indent=2))


def print_json_or(as_json: bool, value: Any, *renderables: Any) -> None:
    """Print the value as JSON with ``as_json``, otherwise what Rich renders."""
    if as_json:
        print_json(value)
    else:
        show(*renderables)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value (or values) as JSON text in printable ASCII; on one line unless indented."""
    return json.dumps(msgspec.to_builtins(value), indent=indent).replace("\x7f", "\\u007f")
