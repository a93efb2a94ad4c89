"""Exit codes, and the command group that turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from cli.output import print_error
from scoreboard.domain.errors import StaleBoard, StoreMisconfigured, StoreUnavailable
from scoreboard.file_errors import why_not_written

FOUND_WRONG: Final = 1
USAGE_ERROR: Final = 2
UNREACHABLE: Final = 3
INTERNAL_ERROR: Final = 70
BAD_SETTINGS: Final = 78
#: The reader of our output closed the pipe (`| head -1`): 128 + SIGPIPE, as usual.
#: It is not 0, because the command may have left some of its work undone.
BROKEN_PIPE: Final = 141


class CliError(Exception):
    """Ends the command with an exit code and one line on stderr."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandGroup(TyperGroup):
    """The top-level command group. It reports an expected error of a subcommand in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return _invoke_and_flush(super().invoke, ctx)
        except CliError as error:
            _exit(error, error.exit_code)
        except StoreMisconfigured as error:
            _exit(error, BAD_SETTINGS)
        except (StoreUnavailable, StaleBoard) as error:
            _exit(error, UNREACHABLE)
        except BrokenPipeError as error:
            _discard_stdout()
            raise typer.Exit(BROKEN_PIPE) from error
        except OSError as error:
            if error.filename:
                _exit(OSError(f"{error.filename}: {(error.strerror or '').lower()}"), UNREACHABLE)
            _discard_stdout()
            _exit(OSError(f"stdout cannot be written: {why_not_written(error)}"), UNREACHABLE)


def _invoke_and_flush(command: Callable[[Any], Any], ctx: Any) -> Any:
    """Run the command and flush stdout. The command's own exit code takes precedence over a pipe closed during the flush."""
    try:
        result = command(ctx)
    except typer.Exit:
        with suppress(BrokenPipeError):
            sys.stdout.flush()
            raise
        _discard_stdout()
        raise
    sys.stdout.flush()
    return result


def _discard_stdout() -> None:
    """Redirect stdout to /dev/null: Python flushes it again as it exits, and would report the same error on stderr."""
    with suppress(OSError, ValueError):  # stdout has no file descriptor
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _exit(error: Exception, exit_code: int) -> NoReturn:
    print_error(str(error) or type(error).__name__)
    raise typer.Exit(exit_code) from error
