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
from config.kept_secrets import existing_or_random_secrets, existing_secrets
from config.settings import Settings, load_settings
from scoreboard.actors.board_diagnosis import diagnose, owner_of
from scoreboard.actors.rebuild import Pause, rebuild
from scoreboard.boundaries.board import Board
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.boundaries.ledger import Ledger
from scoreboard.boundaries.players import PlayerStore
from scoreboard.domain.board_changes import changes_between
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition
from scoreboard.domain.entries import RESET
from scoreboard.domain.errors import BoardCannotChange, StaleBoard, StoreMisconfigured, StoreUnavailable
from scoreboard.domain.standings import Standing
from scoreboard.metrics import Metrics
from scoreboard.service import config_report, token_report
from scoreboard.service.config_report import ConfigReport
from scoreboard.service.token_report import TokenReport
from scoreboard.service.wiring import (
    boards,
    catalogue,
    command_authenticator,
    now_ms,
    redis_client,
    refuse_eviction,
    require_given_directory,
)
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.errors import RedisHasNoSpace, RedisUnavailable, RedisUnusable
from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths, using
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.schema import schema_status as ledger_schema_status
from scoreboard.storage.sql.daemon_thread import call_in_daemon_thread
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.ledger import open_ledger
from scoreboard.storage.sql.players import open_player_store
from scoreboard.storage.sql.sqlite.backup import back_up, restore
from scoreboard.storage.sql.urls import location, require_directory, require_file, require_regular, said_of_ledger, sqlite_file

#: The embedded Redis of a server that was killed still writes its file for a moment.
_SERVER_GONE_S_MAX: Final = 3.0

#: How long PostgreSQL may take to say which schema it has.
SCHEMA_S_MAX: Final = 10.0
REDIS_WAIT_MS: Final = 1_500
STANDINGS_PER_CALL: Final = 500


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The open stores. ``board`` is None if it was not asked for, or if no server runs the embedded Redis.

    ``open_board`` gives another board than the global one, and None where ``board`` is None.
    """

    ledger: Ledger
    #: Of the global board.
    standings: BoardLedger
    player_store: PlayerStore
    board: Board | None
    open_board: Callable[[BoardBucket], Awaitable[Board | None]]
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

    async def open_board(bucket: BoardBucket) -> Board | None:
        if board is None:
            return None
        other = RedisBoard(bucket, client, reactor, now_ms)
        other.owner = board.owner
        return other

    if need_board:
        client = redis_client(settings, reactor, Metrics())
        await client.start()
        closers.insert(0, client.stop)
        try:
            await client.reached(REDIS_WAIT_MS)
            board = RedisBoard(GLOBAL_BOARD, client, reactor, now_ms)
            board.owner = owner_of(await ledger.board(board.bucket).state())
        except StoreUnavailable:
            # The embedded Redis runs only while its server does. The server sets the changes on the board at its next start.
            if settings.redis_url is not None and not board_optional:
                await close()
                raise
    return Stores(
        ledger=ledger,
        standings=ledger.board(GLOBAL_BOARD),
        player_store=player_store,
        board=board,
        open_board=open_board,
        close=close,
        pause=partial(deferLater, reactor),
        redis_is_shared=settings.redis_url is not None,
    )


def settings_from(environ: Mapping[str, str], signs: bool = False) -> Settings:
    """The server's settings; nothing is written. With ``signs`` its secrets must be there. Raises BadSettings."""
    return load_settings(environ, existing_secrets if signs else existing_or_random_secrets)


def report_settings(environ: Mapping[str, str]) -> ConfigReport:
    """What is in force and where it comes from, or what is wrong. It opens no store and writes nothing."""
    return config_report.report_settings(environ, existing_or_random_secrets)


def action_types(settings: Settings) -> Sequence[str]:
    """The action types that entries may have: those of the catalogue, and RESET. Raises StoreUnavailable."""
    try:
        return [*sorted(catalogue(settings)), RESET]
    except BadSettings as bad:
        raise StoreMisconfigured(str(bad)) from bad


def declared_boards(settings: Settings) -> Sequence[BoardDefinition]:
    """The boards of the settings' file, the global one first. Raises BadSettings."""
    return boards(settings, catalogue(settings))


def issue_token(settings: Settings, user_id: str, username: str, role: str, life_s: int) -> str:
    """A token that the server accepts."""
    return command_authenticator(settings).issue_token(user_id, username, role, life_s)


def report_token(settings: Settings, token: str, at_ms: int) -> TokenReport:
    """What a server of these settings finds in a token at a time."""
    return token_report.report_token(settings, token, at_ms)


async def rebuild_board(stores: Stores, standings: BoardLedger, board: Board, take_over: bool = False) -> int:
    """Rebuild a board from the ledger in a new epoch; returns the number of ranked players.

    The servers set later changes, because the board has the position of the rebuild. Raises StaleBoard if the board is
    another ledger's, unless ``take_over``.
    """
    state = await board.state()
    diagnosis = diagnose(state, await standings.state(), store_is_shared=stores.redis_is_shared)
    if diagnosis.action == "refuse" and not take_over:
        raise StaleBoard(diagnosis.reason)
    _, ranked = await rebuild(standings, board, state, stores.pause)
    return ranked


async def project(stores: Stores, standings: Sequence[Standing]) -> None:
    """Set standings on the board, if there is one; the servers receive the changes. The position of the board stays the same."""
    if stores.board is None:
        return
    for start in range(0, len(standings), STANDINGS_PER_CALL):
        await stores.board.set(standings[start : start + STANDINGS_PER_CALL])


def upgrade_schema(settings: Settings) -> str:
    """Migrate the ledger's schema to the newest revision, which is returned. Blocks. Raises StoreUnavailable.

    Only a server makes a SQLite ledger: a command in a wrong directory would make one that no server uses.
    """
    with stores_named(settings):
        require_given_directory(settings)
        require_file(settings.database_url.get_secret_value())
        return migrate(settings.database_url.get_secret_value())


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
        raise StoreUnavailable(settings.in_operators_words(str(trouble))) from trouble


def _ledger_file(settings: Settings) -> Path:
    ledger = sqlite_file(settings.database_url.get_secret_value())
    if ledger is None:
        raise LedgerUnusable("DATABASE_URL (or DB_HOST): the ledger is PostgreSQL: use pg_dump and pg_restore")
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
def stores_named(settings: Settings, unusable: type[StoreUnavailable] = StoreUnavailable) -> Iterator[None]:
    """Context in which the message of a failing store names its setting, and every failure is StoreUnavailable.

    A command can use an unusable ledger as little as an unavailable one.
    """
    try:
        yield
    except (LedgerUnusable, RedisUnusable) as trouble:
        raise unusable(_said_of_store(settings, trouble)) from trouble
    except StoreUnavailable as trouble:
        kind = StoreMisconfigured if isinstance(trouble, StoreMisconfigured) else StoreUnavailable
        raise kind(_said_of_store(settings, trouble)) from trouble


def _said_of_store(settings: Settings, trouble: LedgerUnusable | RedisUnusable | StoreUnavailable) -> str:
    said = str(trouble)
    if isinstance(trouble, RedisUnavailable):
        said = said if settings.redis_url is None or "REDIS_" in said else f"REDIS_URL (or REDIS_HOST): {said}"
    elif not isinstance(trouble, RedisUnusable | RedisHasNoSpace):
        said = said_of_ledger(settings.database_url.get_secret_value(), trouble)
    return settings.in_operators_words(said)


async def try_stores(settings: Settings, reactor: Any) -> Sequence[str]:
    """Open the ledger and Redis as a start does, and close them; returns what was found. It makes no ledger.

    Raises StoreMisconfigured for what a start refuses for good, StoreUnavailable for a store that is away.
    """
    with stores_named(settings, unusable=StoreMisconfigured):
        found = [await _try_ledger(settings.database_url.get_secret_value(), reactor), await _try_redis(settings, reactor)]
    await _try_boards(settings, reactor)
    return found


async def _try_ledger(url: str, reactor: Any) -> str:
    require_regular(url)
    path = sqlite_file(url)
    if path is not None and not path.exists():
        return "There is no ledger yet: the server makes it at its start."
    await call_in_daemon_thread(reactor, SCHEMA_S_MAX, partial(require_schema, older_allowed=path is not None), url)
    return "The ledger answers."


async def _try_boards(settings: Settings, reactor: Any) -> None:
    """Raise StoreMisconfigured for a file of boards that the ledger cannot follow."""
    url = settings.database_url.get_secret_value()
    path = sqlite_file(url)
    schema, newest = (None, "") if path is not None and not path.exists() else ledger_schema_status(url)
    if schema != newest:  # it has no boards yet
        return
    ledger = open_ledger(url, reactor)
    await ledger.start()
    try:
        changes_between(await ledger.fed_boards(), declared_boards(settings)[1:], await ledger.clock_ms())
    except BoardCannotChange as trouble:
        raise StoreMisconfigured(f"SCOREBOARD_BOARDS_FILE ({settings.boards_file}): {trouble}") from None
    finally:
        await ledger.stop()


async def _try_redis(settings: Settings, reactor: Any) -> str:
    if settings.redis_url is None:
        return "The server starts a Redis of its own."
    client = redis_client(settings, reactor, Metrics())
    await client.start()
    try:
        await client.reached(REDIS_WAIT_MS)
        refuse_eviction(settings, client)
    finally:
        await client.stop()
    return "Redis answers."
