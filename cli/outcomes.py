"""How a command ends: the exit codes, and the one place where errors become one line on stderr and a code."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from cli.printing import complain
from scoreboard.boundaries import StaleBoard, StoreMisconfigured, StoreUnavailable

FOUND_WRONG: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
BROKEN: Final = 70
BAD_SETTINGS: Final = 78


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
            return super().invoke(ctx)
        except Stop as stop:
            _end(stop, stop.exit_code)
        except StoreMisconfigured as wrong:
            _end(wrong, BAD_SETTINGS)
        except (StoreUnavailable, StaleBoard) as unavailable:
            _end(unavailable, UNREACHABLE)
        except BrokenPipeError:  # the reader had enough (`… | head`): Typer ends that quietly
            raise
        except OSError as error:
            _end(error, UNREACHABLE)


def _end(error: Exception, exit_code: int) -> NoReturn:
    complain(str(error) or type(error).__name__)
    raise typer.Exit(exit_code) from error
