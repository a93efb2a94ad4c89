"""`scoreboard audit export`: any number of entries as CSV or JSON lines, a page in memory at a time."""

from __future__ import annotations

import csv
import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, Final, TextIO

import msgspec
import typer

from cli.audit import ActionOption, SinceOption, TypeOption, UntilOption, UserOption, as_object, entry_pages, which_entries
from cli.context import Stores, surroundings
from cli.exit_codes import UNREACHABLE, Stop
from cli.output import Console, iso, json_text, remark, visible
from scoreboard.domain.entries import Entry, EntryFilter
from scoreboard.file_errors import why_not_written

#: What makes a spreadsheet take a cell for a formula; the wide forms too.
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

Write = Callable[[Sequence[Entry]], None]
#: Told how many entries are written, of how many.
Advance = Callable[[int, int], None]


class Format(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


def export_entries(
    ctx: typer.Context,
    shape: Annotated[Format, typer.Option("--format", "-f", help="csv for spreadsheets, jsonl for programs.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write to this file, not to stdout.")] = None,
    user: UserOption = None,
    action: ActionOption = None,
    action_type: TypeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="The same as --format jsonl.")] = False,
) -> None:
    """Write out all entries that the filters find, oldest first.

    Ends with the entries there were when it began. The file appears when it is
    complete, readable by you alone (it holds addresses). In CSV, a text that a
    spreadsheet would take for a formula gets an apostrophe before it and control
    characters are spelt out; JSON lines keep every text as it was.

    \b
    Examples:
      scoreboard audit export --since 2026-11-01 --until 2026-12-01 -o nov.csv
      scoreboard audit export --user user-123 --format jsonl | jq .score_awarded
    """
    around = surroundings(ctx)
    where = which_entries(around, user, action, action_type, since, until)
    where = msgspec.structs.replace(where, until_ms=around.now_ms if where.until_ms is None else where.until_ms)

    async def copy(stores: Stores, _: Any) -> int:
        # The entries themselves on the terminal are progress enough.
        console = Console(stderr=True, quiet=out is None and sys.stdout.isatty())
        with _sink(out) as file, _progress(console) as advance:
            write = _lines(file) if as_json or shape is Format.JSONL else _csv(file)
            return await _copy_pages(stores, where, write, advance)

    written = around.visit(copy, need_board=False)
    if out is not None:
        remark(f"{written:,} entries written to {out}")


async def _copy_pages(stores: Stores, where: EntryFilter, write: Write, advance: Advance | None) -> int:
    total = 0 if advance is None else await stores.ledger.count_entries(where)
    written = 0
    async for page in entry_pages(stores.ledger, where):
        write(page)
        written += len(page)
        if advance is not None:
            advance(written, total)
    return written


@contextmanager
def _progress(console: Console) -> Iterator[Advance | None]:
    """A bar on stderr if that is a terminal, else nothing to advance."""
    if not console.is_terminal or console.quiet:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("Entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("entries", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _sink(out: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that takes its name when all of it is written: if we stop before, no half export bears that name.

    What is there and is neither a file nor a directory (a pipe, /dev/null) keeps its place and is written to.
    """
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        with open(out, "w", encoding="utf-8", newline="") if _is_special(out) else _draft_of(out) as file:
            yield file
            file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Stop(UNREACHABLE, f"{out} cannot be written: {why_not_written(error)}") from error


def _is_special(out: Path) -> bool:
    return out.exists() and not out.is_file()


@contextmanager
def _draft_of(out: Path) -> Iterator[TextIO]:
    draft = NamedTemporaryFile("w", encoding="utf-8", newline="", dir=out.parent, prefix=f".{out.name}.", delete=False)  # noqa: SIM115
    try:
        with draft as file:
            yield file  # type: ignore[misc]  # typeshed's wrapper is no TextIO, but writes like one
        os.replace(draft.name, out)
    except BaseException:
        os.unlink(draft.name)
        raise


def _lines(file: TextIO) -> Write:
    return lambda entries: file.writelines(json_text(as_object(entry)) + "\n" for entry in entries)


def _csv(file: TextIO) -> Write:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("at", *Entry.__struct_fields__))
    return lambda entries: table.writerows(
        (iso(entry.at_ms), *map(_harmless, msgspec.structs.astuple(entry))) for entry in entries
    )


def _harmless(value: Any) -> Any:
    """The value for a spreadsheet: a text is shown, never computed."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
