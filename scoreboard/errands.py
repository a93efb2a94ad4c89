"""What the CLI does with stores that the root opened for it. Chooses nothing; the root hands it on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from config.settings import Settings
from scoreboard.actors.board_diagnosis import diagnose
from scoreboard.actors.rebuild import Pause, rebuild
from scoreboard.boundaries import Board, Ledger, Register, StaleBoard, StoreUnavailable
from scoreboard.domain.values import Standing
from scoreboard.storage.opening import LedgerUnusable
from scoreboard.storage.schema import migrate
from scoreboard.storage.schema import schema_status as ledger_schema_status

STANDINGS_PER_CALL: Final = 500


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Ledger, register and board, open. ``board`` is None where none was asked for or nobody runs the embedded Redis."""

    ledger: Ledger
    register: Register
    board: Board | None
    close: Callable[[], Awaitable[None]]
    pause: Pause
    #: Whether other ledgers may draw in the same Redis.
    shared: bool


async def redraw(stores: Stores, take_over: bool = False) -> int:
    """Draw the whole board afresh from the ledger, in a new epoch; how many players are ranked.

    The servers draw what changed meanwhile: the board says up to where it was drawn. Raises StaleBoard where the board is another
    ledger's, unless that is to be taken over.
    """
    if stores.board is None:
        return 0
    state = await stores.board.state()
    diagnosis = diagnose(state, await stores.ledger.state(), shared=stores.shared)
    if diagnosis.action == "refuse" and not take_over:
        raise StaleBoard(diagnosis.reason)
    _, ranked = await rebuild(stores.ledger, stores.board, state, stores.pause)
    return ranked


async def project(stores: Stores, standings: Sequence[Standing]) -> None:
    """Set standings on the board, if there is one; whoever listens to it is told. The drawn position stays where it is."""
    if stores.board is None:
        return
    for start in range(0, len(standings), STANDINGS_PER_CALL):
        await stores.board.set(standings[start : start + STANDINGS_PER_CALL])


def upgrade_schema(settings: Settings) -> str:
    """Migrate the ledger's schema to the newest revision, which is returned. Blocks. Raises StoreUnavailable."""
    with unusable_is_unavailable():
        return migrate(settings.database_url.get_secret_value())


def schema_status(settings: Settings) -> tuple[str | None, str]:
    """(the revision that the ledger has, the newest there is). Blocks. Raises StoreUnavailable."""
    with unusable_is_unavailable():
        return ledger_schema_status(settings.database_url.get_secret_value())


@contextmanager
def unusable_is_unavailable() -> Iterator[None]:
    """A command can do as little with a ledger that is no good as with none."""
    try:
        yield
    except LedgerUnusable as trouble:
        raise StoreUnavailable(str(trouble)) from trouble
