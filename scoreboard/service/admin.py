"""Admin API: what the CLI does with the stores of a configuration, beside a running server or without one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.internet.task import deferLater

from config import BadSettings as BadSettings
from config.kept_secrets import found_secrets, passing_secrets
from config.settings import Settings, load_settings
from scoreboard.actors.board_diagnosis import diagnose, owner_of
from scoreboard.actors.rebuild import Pause, rebuild
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.standings import Standing
from scoreboard.metrics import Metrics
from scoreboard.service.wiring import jwt_authenticator, now_ms, redis_url
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.errors import RedisUnavailable, RedisUnusable
from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths, using
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.schema import schema_status as ledger_schema_status
from scoreboard.storage.sql.daemon_thread import call_in_daemon_thread
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.ledger import open_ledger
from scoreboard.storage.sql.players import open_player_store
from scoreboard.storage.sql.sqlite.backup import back_up, restore
from scoreboard.storage.sql.urls import ledger_named, location, require_directory, require_file, sqlite_file

#: The embedded Redis of a server that was killed still writes its file for a moment.
_SERVER_GONE_S_MAX: Final = 3.0

#: How long PostgreSQL may take to say which schema it has.
SCHEMA_S_MAX: Final = 10.0
REDIS_WAIT_MS: Final = 1_500
STANDINGS_PER_CALL: Final = 500


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The open stores. ``board`` is None if it was not asked for, or if no server runs the embedded Redis."""

    ledger: Ledger
    player_store: PlayerStore
    board: Board | None
    close: Callable[[], Awaitable[None]]
    pause: Pause
    #: Whether other ledgers may have boards in the same Redis.
    redis_is_shared: bool


async def open_stores(settings: Settings, reactor: Any, *, need_board: bool = True, board_optional: bool = False) -> Stores:
    """Open the stores of this configuration. Raises StoreUnavailable.

    A Redis of the operator's own that does not answer is unavailable, too, unless the board is ``board_optional``.
    """
    url = settings.database_url.get_secret_value()
    with stores_named(settings):
        require_file(url)
        await call_in_daemon_thread(reactor, SCHEMA_S_MAX, require_schema, url)
    ledger, player_store = open_ledger(url, reactor), open_player_store(url, reactor)
    closers = [player_store.stop, ledger.stop]
    for store in (ledger, player_store):
        await store.start()

    async def close() -> None:
        for close_one in closers:
            await close_one()

    board: Board | None = None
    if need_board:
        client = RedisClient(redis_url(settings), reactor, Metrics())
        await client.start()
        closers.insert(0, client.stop)
        try:
            await client.reached(REDIS_WAIT_MS)
            board = RedisBoard(GLOBAL_BOARD, client, reactor, now_ms)
            board.owner = owner_of(await ledger.state(board.definition))
        except StoreUnavailable:
            # The embedded Redis runs only while its server does. The server sets the changes on the board at its next start.
            if settings.redis_url is not None and not board_optional:
                await close()
                raise
    return Stores(
        ledger=ledger,
        player_store=player_store,
        board=board,
        close=close,
        pause=partial(deferLater, reactor),
        redis_is_shared=settings.redis_url is not None,
    )


def settings_from(environ: Mapping[str, str], signs: bool = False) -> Settings:
    """The server's settings; nothing is written. With ``signs`` its secrets must be there. Raises BadSettings."""
    return load_settings(environ, found_secrets if signs else passing_secrets)


def issue_token(settings: Settings, user_id: str, username: str, role: str, life_s: int) -> str:
    """A token that the server accepts."""
    return jwt_authenticator(settings, lambda _user_id: False).issue_token(user_id, username, role, life_s)


async def rebuild_board(stores: Stores, take_over: bool = False) -> int:
    """Rebuild the board from the ledger in a new epoch; returns the number of ranked players.

    The servers set later changes, because the board has the position of the rebuild. Raises StaleBoard if the board is
    another ledger's, unless ``take_over``.
    """
    if stores.board is None:
        return 0
    state = await stores.board.state()
    diagnosis = diagnose(state, await stores.ledger.state(stores.board.definition), store_is_shared=stores.redis_is_shared)
    if diagnosis.action == "refuse" and not take_over:
        raise StaleBoard(diagnosis.reason)
    _, ranked = await rebuild(stores.ledger, stores.board, state, stores.pause)
    return ranked


async def project(stores: Stores, standings: Sequence[Standing]) -> None:
    """Set standings on the board, if there is one; the servers receive the changes. The position of the board stays the same."""
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
    """Raise LedgerUnusable if DATABASE_URL is set and names a file in a directory that does not exist: it is a typing error.

    The data directory, which holds the ledger otherwise, is created.
    """
    if "database_url" in settings.model_fields_set:
        require_directory(settings.database_url.get_secret_value())


def schema_status(settings: Settings) -> tuple[str | None, str]:
    """(the ledger's revision, the newest revision). Blocks. Raises StoreUnavailable."""
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
    """Replace the SQLite ledger with a backup; returns the path of the old ledger, if there was one. No server may run.

    ``confirm`` is called after all checks and before any change; an exception from it cancels the restore. Blocks. Raises
    StoreUnavailable.
    """
    try:
        ledger = _ledger_file(settings)
        require_directory(settings.database_url.get_secret_value())
        with _no_server(settings):
            kept = ledger.with_name(f"{ledger.name}.before-restore-{at_ms}")
            return kept if restore(backup, ledger, kept, GLOBAL_BOARD, confirm=confirm) else None
    except (LedgerUnusable, RedisUnusable) as trouble:
        raise StoreUnavailable(str(trouble)) from trouble


def _ledger_file(settings: Settings) -> Path:
    ledger = sqlite_file(settings.database_url.get_secret_value())
    if ledger is None:
        raise LedgerUnusable("DATABASE_URL (or DB_*): the ledger is PostgreSQL: use pg_dump and pg_restore")
    return ledger


@contextmanager
def _no_server(settings: Settings) -> Iterator[None]:
    """Hold the lock of the embedded Redis, which a running server holds."""
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
    """Context in which the message of a failing store names its setting, and every failure is StoreUnavailable.

    A command can use an unusable ledger as little as an unavailable one.
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
