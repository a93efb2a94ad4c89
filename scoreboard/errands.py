"""What the CLI does with stores that the root opened for it. Chooses nothing; the root hands it on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from config.settings import Settings
from scoreboard.actors.projector import OVERLAP_MS, STANDINGS_PER_PAGE
from scoreboard.actors.projector import redraw as redraw_board
from scoreboard.boundaries import Board, Ledger, Register, StoreUnavailable
from scoreboard.domain.values import Standing
from scoreboard.fittings import now_ms
from scoreboard.storage.opening import LedgerUnusable
from scoreboard.storage.schema import migrate
from scoreboard.storage.schema import schema_status as ledger_schema_status


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Ledger, register and board, open. ``board`` is None where none was asked for or nobody runs the embedded Redis."""

    ledger: Ledger
    register: Register
    board: Board | None
    close: Callable[[], Awaitable[None]]


async def redraw(stores: Stores) -> int:
    """Draw the whole board afresh from the ledger, in a new epoch; how many players were drawn."""
    if stores.board is None:
        return 0
    began_ms = now_ms()
    _, drawn = await redraw_board(stores.ledger, stores.board, await stores.board.state(), began_ms)
    after = ""
    while page := await stores.ledger.changed_since(began_ms - OVERLAP_MS, after, STANDINGS_PER_PAGE):
        await project(stores, page)
        after = page[-1].user_id
    return drawn


async def project(stores: Stores, standings: Sequence[Standing]) -> None:
    """Set standings on the board, if there is one; whoever listens to it is told. The drawn position stays where it is."""
    if stores.board is None:
        return
    for start in range(0, len(standings), STANDINGS_PER_PAGE):
        await stores.board.set(standings[start : start + STANDINGS_PER_PAGE], 0)


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
