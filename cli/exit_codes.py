"""Exit codes, and the command group that turns errors into one line on stderr and an exit code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from cli.help_text import join_help_lines
from cli.output import print_error
from cli.streams import StdoutError, discard_stdout
from scoreboard.domain.errors import StaleBoard, StoreMisconfigured, StoreUnavailable

FOUND_WRONG: Final = 1
USAGE_ERROR: Final = 2
UNREACHABLE: Final = 3
INTERNAL_ERROR: Final = 70
BAD_SETTINGS: Final = 78
#: The reader of our output closed the pipe (`| head -1`): 128 + SIGPIPE, as usual.
#: It is not 0, because the command may have left some of its work undone.
BROKEN_PIPE: Final = 141


#: A token in an argument. It lets its holder act as the player, so no message repeats it.
_TOKEN: Final = re.compile(r"\beyJ[\w-]+(\.[\w-]*)*")

#: The base of all errors of a command line. Typer brings its own Click since 0.27, and used the package before.
_ClickException: Final[type[Exception]] = typer.BadParameter.__mro__[2]


class CliError(Exception):
    """Ends the command with an exit code and one line on stderr."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandGroup(TyperGroup):
    """The top-level command group. Each error of a command is one line, without a traceback, and an exit code."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        join_help_lines(self)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **more: Any) -> NoReturn:
        """Run a command line, and end the process with its exit code."""
        try:
            exit_code = super().main(args, prog_name, **{**more, "standalone_mode": False})
            sys.stdout.flush()  # what --help and --version printed
        except StdoutError as error:
            exit_code = _stdout_failed(error)
        except _ClickException as error:
            exit_code = _wrong_usage(error)
        sys.exit(exit_code)

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
        except BrokenPipeError as error:  # a pipe that the operator named
            raise typer.Exit(BROKEN_PIPE) from error
        except OSError as error:
            _exit(OSError(f"{error.filename}: {(error.strerror or '').lower()}" if error.filename else str(error)), UNREACHABLE)


def _invoke_and_flush(command: Callable[[Any], Any], ctx: Any) -> Any:
    """Run the command and flush stdout. The command's own exit code takes precedence over a pipe closed during the flush."""
    try:
        result = command(ctx)
    except typer.Exit:
        try:
            sys.stdout.flush()
        except StdoutError as error:
            if not error.reader_gone:
                raise
            discard_stdout()
        raise
    sys.stdout.flush()
    return result


def _stdout_failed(error: StdoutError) -> int:
    discard_stdout()
    if error.reader_gone:
        return BROKEN_PIPE
    print_error(str(error))
    return UNREACHABLE


def _wrong_usage(error: Any) -> int:
    """Print what is wrong with the command line, in one line; the help of a group that was called without a command is longer."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if error.ctx is not None else "scoreboard"
        said = _TOKEN.sub("(a token)", " ".join(error.format_message().split()).rstrip("."))
        print_error(f"{said}; see `{path} --help`")
    return USAGE_ERROR


def _exit(error: Exception, exit_code: int) -> NoReturn:
    print_error(str(error) or type(error).__name__)
    raise typer.Exit(exit_code) from error
