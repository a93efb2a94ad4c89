"""What a command stands in: the composition root, the environment, the clock and the way to wait.

``main`` puts the real ones into Typer's context; tests put twins there. Nothing heavy is imported before a command asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import typer

from cli.exit_codes import BAD_SETTINGS, Stop
from scoreboard.boundaries import Board, Ledger, Register
from scoreboard.domain.values import Standing

T = TypeVar("T")


class Stores(Protocol):
    """The ledger, the register and the board, open. ``board`` is None while nobody runs the embedded Redis."""

    @property
    def ledger(self) -> Ledger:
        """The truth."""

    @property
    def register(self) -> Register:
        """What is known of players besides points."""

    @property
    def board(self) -> Board | None:
        """The drawing, if there is one to reach."""

    @property
    def close(self) -> Callable[[], Awaitable[None]]:
        """Let go of all of them."""


class Settings(Protocol):
    """What the CLI itself looks at; all the rest is the server's and only passed on."""

    @property
    def environment(self) -> str:
        """development, production or test."""

    @property
    def jwt_expiration_s(self) -> int:
        """How long a token lives by default."""


class Root(Protocol):
    """What the CLI asks of the module ``scoreboard.service``."""

    @property
    def BadSettings(self) -> type[Exception]:  # noqa: N802  a class in a module
        """What ``settings_from`` raises: a line that names the setting at fault."""

    def settings_from(self, environ: Mapping[str, str], /, signs: bool = False) -> Any:
        """The server's settings from the environment and its TOML file; with ``signs`` its secrets must be there."""

    def stores_named(self, settings: Any, /) -> AbstractContextManager[None]:
        """Within it, StoreUnavailable names the setting that leads to the store."""

    def ledger_location(self, settings: Any, /) -> str:
        """The file or the database of the ledger, in words."""

    async def open_stores(self, settings: Any, reactor: Any, /, *, need_board: bool = True, board_optional: bool = False) -> Any:
        """Stores; raises StoreUnavailable."""

    def redraw(self, stores: Any, take_over: bool = False, /) -> Awaitable[int]:
        """Rebuild the board from the ledger in a new epoch; how many players are ranked.

        Raises StaleBoard where the board is another ledger's, unless that is to be taken over.
        """

    def project(self, stores: Any, standings: Sequence[Standing], /) -> Awaitable[None]:
        """Set standings on the board, if there is one; its viewers are told."""

    def upgrade_schema(self, settings: Any, /) -> str:
        """Migrate the ledger's schema to its newest revision, which is returned."""

    def schema_status(self, settings: Any, /) -> tuple[str | None, str]:
        """(the revision that the ledger has, the newest there is)."""

    def backup_ledger(self, settings: Any, target: Path, /) -> None:
        """Copy the SQLite ledger to a new file."""

    def restore_ledger(self, settings: Any, backup: Path, at_ms: int, confirm: Callable[[], None], /) -> Path | None:
        """Put a backup in the SQLite ledger's place; where the one before it is kept, if there was one.

        ``confirm`` is called when nothing hinders it any more, and stops it by raising.
        """

    def mint_token(self, settings: Any, user_id: str, username: str, role: str, life_s: int, /) -> str:
        """A token that the server accepts."""


class Runner(Protocol):
    """A way to run a coroutine that wants a reactor to its end."""

    def __call__(self, main: Callable[[Any], Coroutine[Any, Any, T]], /) -> T:
        """What the coroutine returns or raises; KeyboardInterrupt when somebody stopped it."""


@dataclass(frozen=True)
class Surroundings:
    """Everything a command needs from the world."""

    load_root: Callable[[], Root]
    environ: Mapping[str, str]
    now_s: Callable[[], float]
    run: Runner
    #: The name of the account that runs this, if it has one; cron jobs and containers set no $USER.
    account: str = ""

    @property
    def now_ms(self) -> int:
        """The time, in whole milliseconds since the Unix epoch."""
        return int(self.now_s() * 1000)

    def settings(self, signs: bool = False) -> Settings:
        """The server's settings; a bad one stops the command, and for one that signs, secrets that are missing."""
        root = self.load_root()
        try:
            settings: Settings = root.settings_from(self.environ, signs=signs)
            return settings
        except root.BadSettings as bad:
            raise Stop(BAD_SETTINGS, str(bad)) from bad

    def visit(
        self, work: Callable[[Stores, Any], Coroutine[Any, Any, T]], *, need_board: bool, board_optional: bool = False
    ) -> T:
        """Open the stores, do the work (it is given the stores and the reactor), close them whatever happens.

        With ``board_optional`` a Redis that does not answer is no board; without it, it ends the command.
        """
        settings = self.settings()

        async def whole(reactor: Any) -> T:
            stores = await self.load_root().open_stores(settings, reactor, need_board=need_board, board_optional=board_optional)
            try:
                return await work(stores, reactor)
            finally:
                await stores.close()

        with self.load_root().stores_named(settings):
            return self.run(whole)


def surroundings(ctx: typer.Context) -> Surroundings:
    """The surroundings that ``main`` (or a test) put into the context."""
    around = ctx.find_object(Surroundings)
    assert around is not None, "the app is called with obj=Surroundings(...)"
    return around
