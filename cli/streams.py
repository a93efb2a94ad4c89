"""Standard streams of a command: closed ones are replaced, and a failure of stdout is an exception of its own.

Typer and Rich end a command with exit code 1, which means "found something wrong", when the reader of a pipe is gone. They know
only the operating system's errors, so `StdoutError` passes through them.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

from typing_extensions import override

from scoreboard.file_errors import why_not_written


class StdoutError(Exception):
    """Stdout cannot be written. The message says why, in one line."""

    def __init__(self, error: OSError) -> None:
        why = "it is closed" if error.errno == errno.EBADF else why_not_written(error)
        super().__init__(f"stdout cannot be written: {why}")
        self.reader_gone = error.errno == errno.EPIPE


class _Stdout(io.FileIO):
    is_missing = False

    @override
    def write(self, data: object, /) -> int:
        try:
            if self.is_missing:
                raise OSError(errno.EBADF, "")
            return super().write(data)  # type: ignore[arg-type]  # whatever the buffer passes
        except OSError as error:
            raise StdoutError(error) from error


class _Stderr(io.FileIO):
    @override
    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # whatever the buffer passes
        except OSError:  # there is no other place for a message
            return memoryview(data).nbytes  # type: ignore[arg-type]


def open_streams() -> None:
    """Set sys.stdin, stdout and stderr. A later write to stdout raises StdoutError if it fails; one to stderr raises nothing.

    A closed stream would give its number to the next file that is opened: the ledger.
    """
    missing = [number for number in range(3) if not _is_open(number)]
    for _ in missing:
        os.open(os.devnull, os.O_RDWR)
    stdout = _Stdout(1, "w", closefd=False)
    stdout.is_missing = 1 in missing
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  it stays open
    sys.stdout, sys.stderr = _text(stdout), _text(_Stderr(2, "w", closefd=False), line_buffering=True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _text(raw: io.FileIO, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream that repeats a partial write, and that escapes a character which the terminal's encoding lacks."""
    there = sys.__stdout__ or sys.__stderr__
    encoding = "utf-8" if there is None else there.encoding
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=encoding, errors="backslashreplace", line_buffering=line_buffering or raw.isatty())


def discard_stdout() -> None:
    """Redirect stdout to /dev/null: Python flushes it again as it exits, and would report the same error on stderr."""
    with suppress(OSError, ValueError):  # stdout has no file descriptor
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Stdout):
        raw.is_missing = False
