"""The context object of a command (Typer's ``obj``): the admin API, the environment, the clock and the runner of coroutines.

``main`` makes it with the real ones, and tests make it with fakes. It imports the server only when a command needs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from cli.exit_codes import BAD_SETTINGS, CliError
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.boards import BoardBucket, BoardDefinition
from scoreboard.domain.standings import Standing

if TYPE_CHECKING:  # --help needs no settings
    from config.settings import Settings
    from scoreboard.service.token_report import TokenReport

T = TypeVar("T")


class Stores(Protocol):
    """The open stores. ``board`` is None while no server runs the embedded Redis."""

    @property
    def ledger(self) -> Ledger:
        """The entries and totals, which decide what is right."""

    @property
    def standings(self) -> BoardLedger:
        """The ledger's standings of the global board."""

    @property
    def player_store(self) -> PlayerStore:
        """The players' settings, achievements and suspensions."""

    @property
    def board(self) -> Board | None:
        """The board in Redis, if it can be reached."""

    @property
    def open_board(self) -> Callable[[BoardBucket], Awaitable[Board | None]]:
        """Another board in Redis than the global one."""

    @property
    def close(self) -> Callable[[], Awaitable[None]]:
        """Close all of them."""


class AdminApi(Protocol):
    """What the CLI calls: the module ``scoreboard.service.admin``."""

    @property
    def BadSettings(self) -> type[Exception]:  # noqa: N802  a class in a module
        """The exception of ``settings_from``; its message names the setting at fault."""

    def settings_from(self, environ: Mapping[str, str], /, signs: bool = False) -> Any:
        """The server's settings from the environment and its TOML file; with ``signs`` the secrets must be set."""

    def report_settings(self, environ: Mapping[str, str], /) -> Any:
        """The settings in force with their sources, or what is wrong with them."""

    def action_types(self, settings: Any, /) -> Sequence[str]:
        """The action types that entries may have: those of the catalogue, and RESET."""

    def declared_boards(self, settings: Any, /) -> Sequence[BoardDefinition]:
        """The boards of the settings' file, the global one first. Raises BadSettings."""

    def stores_named(self, settings: Any, /) -> AbstractContextManager[None]:
        """A context in which the message of a StoreUnavailable names the setting of that store."""

    def ledger_location(self, settings: Any, /) -> str:
        """The ledger's file or database, for messages."""

    async def open_stores(self, settings: Any, reactor: Any, /, *, need_board: bool = True, board_optional: bool = False) -> Any:
        """Open the stores; raises StoreUnavailable."""

    async def try_stores(self, settings: Any, reactor: Any, /) -> Sequence[str]:
        """What a start would find of the ledger and Redis; raises StoreMisconfigured or StoreUnavailable."""

    def rebuild_board(self, stores: Any, standings: BoardLedger, board: Board, take_over: bool = False, /) -> Awaitable[int]:
        """Rebuild a board from the ledger in a new epoch, and return the number of ranked players.

        Raises StaleBoard where the board belongs to another ledger, unless ``take_over``.
        """

    def project(self, stores: Any, standings: Sequence[Standing], /) -> Awaitable[None]:
        """Set standings on the board, if there is one; the board publishes the changes."""

    def upgrade_schema(self, settings: Any, /) -> str:
        """Migrate the ledger's schema to the newest revision, and return it."""

    def schema_status(self, settings: Any, /) -> tuple[str | None, str]:
        """The ledger's revision (None: empty), and the newest one."""

    def backup_ledger(self, settings: Any, target: Path, /) -> None:
        """Copy the SQLite ledger to a new file."""

    def restore_ledger(self, settings: Any, backup: Path, at_ms: int, confirm: Callable[[], None], /) -> Path | None:
        """Replace the SQLite ledger with a backup, and return where the old one is kept, if there was one.

        It calls ``confirm`` after all checks; an exception from it cancels the restore.
        """

    def issue_token(self, settings: Any, user_id: str, username: str, role: str, life_s: int, /) -> str:
        """A token that the server accepts."""

    def report_token(self, settings: Any, token: str, at_ms: int, /) -> TokenReport:
        """What the server finds in a token at a time."""


class Runner(Protocol):
    """Runs a coroutine function that takes a reactor."""

    def __call__(self, main: Callable[[Any], Coroutine[Any, Any, T]], /) -> T:
        """Return or raise what the coroutine does; KeyboardInterrupt after Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class CliContext:
    """Everything a command needs from outside."""

    load_admin: Callable[[], AdminApi]
    environ: Mapping[str, str]
    now_s: Callable[[], float]
    run: Runner
    #: The name of the account that runs the command, or "": cron jobs and containers may set no $USER.
    account: str = ""

    @property
    def now_ms(self) -> int:
        """The time, in whole milliseconds since the Unix epoch."""
        return int(self.now_s() * 1000)

    def settings(self, signs: bool = False) -> Settings:
        """The server's settings; a bad one, or with ``signs`` a missing secret, ends the command."""
        api = self.load_admin()
        try:
            settings: Settings = api.settings_from(self.environ, signs=signs)
            return settings
        except api.BadSettings as error:
            raise CliError(BAD_SETTINGS, str(error)) from error

    def with_stores(
        self, work: Callable[[Stores, Any], Coroutine[Any, Any, T]], *, need_board: bool, board_optional: bool = False
    ) -> T:
        """Open the stores, run the work with the stores and the reactor, and close the stores even after an error.

        If Redis does not answer, ``board`` is None with ``board_optional``; otherwise the command ends.
        """
        settings = self.settings()

        async def open_and_close(reactor: Any) -> T:
            stores = await self.load_admin().open_stores(settings, reactor, need_board=need_board, board_optional=board_optional)
            try:
                return await work(stores, reactor)
            finally:
                await stores.close()

        with self.load_admin().stores_named(settings):
            return self.run(open_and_close)


def cli_context(typer_context: typer.Context) -> CliContext:
    """The context object that ``main`` or a test passed to the app."""
    ctx = typer_context.find_object(CliContext)
    assert ctx is not None, "the app is called with obj=CliContext(...)"
    return ctx
