"""How a command ends: the exit codes, and the one place where errors become one line on stderr and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from cli.output import complain
from scoreboard.boundaries import StaleBoard, StoreMisconfigured, StoreUnavailable
from scoreboard.file_errors import why_not_written

FOUND_WRONG: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
BROKEN: Final = 70
BAD_SETTINGS: Final = 78
#: The reader of our output left (`| head -1`): 128 + SIGPIPE, as of other programs. Not 0: not all was looked at or written.
PIPE_CLOSED: Final = 141


class Stop(Exception):
    """The command ends here, with a code and a line for whoever reads stderr."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(TyperGroup):
    """The root of all commands: what stops one of them is told in one line, never as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return _whole(super().invoke, ctx)
        except Stop as stop:
            _end(stop, stop.exit_code)
        except StoreMisconfigured as wrong:
            _end(wrong, BAD_SETTINGS)
        except (StoreUnavailable, StaleBoard) as unavailable:
            _end(unavailable, UNREACHABLE)
        except BrokenPipeError as enough:
            _write_no_more()
            raise typer.Exit(PIPE_CLOSED) from enough
        except OSError as error:
            if error.filename:
                _end(OSError(f"{error.filename}: {(error.strerror or '').lower()}"), UNREACHABLE)
            _write_no_more()
            _end(OSError(f"stdout cannot be written: {why_not_written(error)}"), UNREACHABLE)


def _whole(command: Callable[[Any], Any], ctx: Any) -> Any:
    """What the command returns, all of it written. Its own exit code counts more than a reader who left at its last words."""
    try:
        result = command(ctx)
    except typer.Exit:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
            raise
        _write_no_more()
        raise
    sys.stdout.flush()
    return result


def _write_no_more() -> None:
    """What is still to be written goes nowhere: else Python would try once more as it ends, and say so on stderr."""
    with suppress(OSError, ValueError):  # no file of the system's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _end(error: Exception, exit_code: int) -> NoReturn:
    complain(str(error) or type(error).__name__)
    raise typer.Exit(exit_code) from error
