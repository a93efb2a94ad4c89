"""`scoreboard audit export`: write ledger entries as CSV or JSON Lines. One page of them is in memory at a time."""

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
from rich.console import Console

from cli.audit import (
    ActionOption,
    SinceOption,
    TypeOption,
    UntilOption,
    UserOption,
    entry_filter,
    entry_pages,
    json_object,
    require_known,
)
from cli.context import Stores, cli_context
from cli.exit_codes import UNREACHABLE, CliError
from cli.output import iso_time, json_text, note, visible
from scoreboard.domain.entries import Entry, EntryFilter
from scoreboard.file_errors import why_not_written

#: The first characters by which a spreadsheet recognizes a formula, full-width forms among them.
_FORMULA_PREFIXES: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

PageWriter = Callable[[Sequence[Entry]], None]
#: Takes the number of entries written, and the total.
ProgressCallback = Callable[[int, int], None]


class Format(StrEnum):
    """The format of an export."""

    CSV = "csv"
    JSONL = "jsonl"


def export_entries(
    typer_context: typer.Context,
    file_format: Annotated[Format, typer.Option("--format", "-f", help="csv for spreadsheets, jsonl for programs.")] = Format.CSV,
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
    ctx = cli_context(typer_context)
    wanted = entry_filter(ctx, user, action, action_type, since, until)
    wanted = msgspec.structs.replace(wanted, until_ms=ctx.now_ms if wanted.until_ms is None else wanted.until_ms)

    async def export(stores: Stores, _: Any) -> int:
        await require_known(ctx, stores, wanted)
        # No progress bar where the entries themselves appear on the terminal.
        console = Console(stderr=True, quiet=out is None and sys.stdout.isatty())
        with _output(out) as file, _progress(console) as on_progress:
            write_page = _jsonl_writer(file) if as_json or file_format is Format.JSONL else _csv_writer(file)
            return await _copy_pages(stores, wanted, write_page, on_progress)

    written = ctx.with_stores(export, need_board=False)
    if out is not None:
        note(f"{written:,} entries written to {out}")


async def _copy_pages(stores: Stores, wanted: EntryFilter, write_page: PageWriter, on_progress: ProgressCallback | None) -> int:
    total = 0 if on_progress is None else await stores.ledger.count_entries(wanted)
    written = 0
    async for page in entry_pages(stores.ledger, wanted):
        write_page(page)
        written += len(page)
        if on_progress is not None:
            on_progress(written, total)
    return written


@contextmanager
def _progress(console: Console) -> Iterator[ProgressCallback | None]:
    """A progress bar on stderr if that is a terminal, else None."""
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
def _output(out: Path | None) -> Iterator[TextIO]:
    """Stdout, or a temporary file that is renamed when it is complete: an interrupted export leaves no partial file.

    A path that exists and is neither a file nor a directory (a pipe, /dev/null) is written to directly.
    """
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        is_special = out.exists() and not out.is_file()
        with open(out, "w", encoding="utf-8", newline="") if is_special else _atomic_file(out) as file:
            yield file
            file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CliError(UNREACHABLE, f"{out} cannot be written: {why_not_written(error)}") from error


@contextmanager
def _atomic_file(out: Path) -> Iterator[TextIO]:
    temporary = NamedTemporaryFile("w", encoding="utf-8", newline="", dir=out.parent, prefix=f".{out.name}.", delete=False)  # noqa: SIM115
    try:
        with temporary as file:
            yield file  # type: ignore[misc]  # typeshed's wrapper is no TextIO, but it has the same methods
        os.replace(temporary.name, out)
    except BaseException:
        os.unlink(temporary.name)
        raise


def _jsonl_writer(file: TextIO) -> PageWriter:
    return lambda entries: file.writelines(json_text(json_object(entry)) + "\n" for entry in entries)


def _csv_writer(file: TextIO) -> PageWriter:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("at", *Entry.__struct_fields__))
    return lambda entries: writer.writerows(
        (iso_time(entry.at_ms), *map(_without_formula, msgspec.structs.astuple(entry))) for entry in entries
    )


def _without_formula(value: Any) -> Any:
    """The value for a CSV cell, with text escaped so that a spreadsheet does not evaluate it."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_PREFIXES) else text
