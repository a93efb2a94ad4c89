"""What the CLI does with stores that the root opened for it. Chooses nothing; the root hands it on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.settings import Settings
from scoreboard.actors.board_diagnosis import diagnose
from scoreboard.actors.rebuild import Pause, rebuild
from scoreboard.boundaries import Board, Ledger, PlayerStore, StaleBoard, StoreUnavailable
from scoreboard.domain.values import Standing
from scoreboard.storage.redis.errors import RedisUnavailable, RedisUnusable
from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths, using
from scoreboard.storage.schema import migrate
from scoreboard.storage.schema import schema_status as ledger_schema_status
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.sqlite.backup import back_up, restore
from scoreboard.storage.sql.urls import ledger_named, location, require_directory, require_file, sqlite_file

#: The embedded Redis of a server that was killed still writes its file for a moment.
_SERVER_GONE_S_MAX: Final = 3.0

STANDINGS_PER_CALL: Final = 500


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Ledger, register and board, open. ``board`` is None where none was asked for or nobody runs the embedded Redis."""

    ledger: Ledger
    player_store: PlayerStore
    board: Board | None
    close: Callable[[], Awaitable[None]]
    pause: Pause
    #: Whether other ledgers may draw in the same Redis.
    shared: bool


async def redraw(stores: Stores, take_over: bool = False) -> int:
    """Rebuild the board from the ledger in a new epoch; how many players are ranked.

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
    with stores_named(settings):
        require_given_directory(settings)
        return migrate(settings.database_url.get_secret_value())


def require_given_directory(settings: Settings) -> None:
    """Raise LedgerUnusable where DATABASE_URL was given and names a file in no directory: a typing error, not a new ledger.

    The data directory, where the ledger is without it, is made.
    """
    if "database_url" in settings.model_fields_set:
        require_directory(settings.database_url.get_secret_value())


def schema_status(settings: Settings) -> tuple[str | None, str]:
    """(the revision that the ledger has, the newest there is). Blocks. Raises StoreUnavailable."""
    with stores_named(settings):
        return ledger_schema_status(settings.database_url.get_secret_value())


def ledger_location(settings: Settings) -> str:
    """The file or the database of the ledger, in words. Raises StoreUnavailable."""
    with stores_named(settings):
        return location(settings.database_url.get_secret_value())


def backup_ledger(settings: Settings, target: Path) -> None:
    """Copy the SQLite ledger to a new file, beside a running server or without one. Blocks. Raises StoreUnavailable."""
    with stores_named(settings):
        ledger = _ledger_file(settings)
        require_file(settings.database_url.get_secret_value())
        back_up(ledger, target)


def restore_ledger(settings: Settings, backup: Path, at_ms: int, confirm: Callable[[], None]) -> Path | None:
    """Put a backup in the SQLite ledger's place; where the one before it is kept, if there was one. No server may run.

    ``confirm`` is called before anything is changed, when nothing hinders it any more; it stops it by raising. Blocks. Raises
    StoreUnavailable.
    """
    try:
        ledger = _ledger_file(settings)
        require_directory(settings.database_url.get_secret_value())
        with _no_server(settings):
            kept = ledger.with_name(f"{ledger.name}.before-restore-{at_ms}")
            return kept if restore(backup, ledger, kept, confirm=confirm) else None
    except (LedgerUnusable, RedisUnusable) as trouble:
        raise StoreUnavailable(str(trouble)) from trouble


def _ledger_file(settings: Settings) -> Path:
    ledger = sqlite_file(settings.database_url.get_secret_value())
    if ledger is None:
        raise LedgerUnusable("DATABASE_URL (or DB_*): the ledger is PostgreSQL: use pg_dump and pg_restore")
    return ledger


@contextmanager
def _no_server(settings: Settings) -> Iterator[None]:
    """Hold what a server with an embedded Redis holds as long as it runs."""
    paths = EmbeddedRedisPaths(settings.data_dir)
    with using(paths.directory):
        there = settings.redis_url is None and paths.directory.exists()
    if not there:
        yield
        return
    directory_lock = DirectoryLock(paths)
    try:
        tried_until_s = time.monotonic() + _SERVER_GONE_S_MAX
        while not directory_lock.acquire():
            if time.monotonic() > tried_until_s:
                raise LedgerUnusable(f"{paths.directory} is in use: stop the server first")
            time.sleep(0.05)
        yield
    finally:
        directory_lock.release()


@contextmanager
def stores_named(settings: Settings) -> Iterator[None]:
    """What a command is told of a store that fails: the setting to look at first. StoreUnavailable for all of it.

    A command can do as little with a ledger that is no good as with none.
    """
    try:
        with ledger_named(settings.database_url.get_secret_value()):
            yield
    except (LedgerUnusable, RedisUnusable) as trouble:
        raise StoreUnavailable(str(trouble)) from trouble
    except RedisUnavailable as trouble:
        if settings.redis_url is None or "REDIS_URL" in str(trouble):
            raise
        raise StoreUnavailable(f"REDIS_URL (or REDIS_HOST): {trouble}") from trouble
