"""Stores of the server: Redis, the ledger and the player store of one SQL database, and what stands directly on them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from scoreboard.actors.key_watch import KeyWatch
from scoreboard.actors.ledger_clock import LedgerClock
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.monotonic import monotonic_ms
from scoreboard.service.admin import SCHEMA_S_MAX
from scoreboard.service.lifecycle import ServerContext
from scoreboard.service.wiring import (
    action_ring,
    new_id,
    now_ms,
    redis_client,
    refuse_eviction,
    require_given_directory,
    token_ring,
)
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.board_messages import BoardMessages
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.embedded import EmbeddedRedis
from scoreboard.storage.redis.key_roster import RedisKeyRoster
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from scoreboard.storage.redis.sessions import RedisSessionStore
from scoreboard.storage.redis.tickets import RedisTickets
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.sql.daemon_thread import call_in_daemon_thread
from scoreboard.storage.sql.ledger import SqlLedger, open_ledger
from scoreboard.storage.sql.players import SqlPlayerStore, open_player_store
from scoreboard.storage.sql.urls import ledger_named, location

#: How long the first connection to Redis may take before the ports are opened without it.
REDIS_WAIT_MS: Final = 500

_log: Final = Logger(namespace="scoreboard")


@dataclass(frozen=True, kw_only=True)
class ServerStores:
    """The open stores, which the actors and the network edge share."""

    redis: RedisClient
    board: RedisBoard
    board_messages: BoardMessages
    rate_limiter: RedisRateLimiter
    tickets: RedisTickets
    session_store: RedisSessionStore
    key_watch: KeyWatch
    ledger: SqlLedger
    ledger_clock: LedgerClock
    player_store: SqlPlayerStore


async def open_server_stores(context: ServerContext) -> ServerStores:
    """Open the stores, Redis first. The server starts without Redis, but not without the ledger."""
    reactor, meter = context.reactor, context.metrics
    redis = await _open_redis(context)
    board_messages = BoardMessages(redis)
    board = RedisBoard(GLOBAL_BOARD, redis, reactor, now_ms, board_messages)
    rate_limiter = RedisRateLimiter(redis, MemoryRateLimiter(monotonic_ms), reactor, meter)
    key_watch = await _open_key_watch(context, redis)
    ledger, player_store = await _open_sql(context)
    ledger_clock = await _open_ledger_clock(context, ledger)
    session_store = RedisSessionStore(redis, reactor, meter)
    context.lifecycle.add("RedisSessionStore", session_store.settled)
    return ServerStores(
        redis=redis,
        board=board,
        board_messages=board_messages,
        rate_limiter=rate_limiter,
        tickets=RedisTickets(redis),
        session_store=session_store,
        key_watch=key_watch,
        ledger=ledger,
        ledger_clock=ledger_clock,
        player_store=player_store,
    )


async def _open_redis(context: ServerContext) -> RedisClient:
    settings = context.settings
    if settings.redis_url is None:
        embedded = EmbeddedRedis(settings.data_dir, context.reactor, context.metrics)
        await embedded.start()
        context.lifecycle.add("EmbeddedRedis", embedded.stop)
        with suppress(TimeoutError):  # the client will say why Redis does not answer
            await embedded.ready.addTimeout(REDIS_WAIT_MS / 1000, context.reactor)
    client = redis_client(settings, context.reactor, context.metrics)
    await client.start()
    context.lifecycle.add("RedisClient", client.stop)
    try:
        await client.reached(REDIS_WAIT_MS)
    except StoreUnavailable:
        # Submissions work without Redis; the client goes on trying, and the board is caught up when Redis answers.
        _log.warn("starting without Redis: awards are kept, and reads come from the ledger")  # the client logs why
    refuse_eviction(settings, client)
    return client


async def _open_sql(context: ServerContext) -> tuple[SqlLedger, SqlPlayerStore]:
    """The ledger, and the player store in the same database."""
    url, reactor = context.settings.database_url.get_secret_value(), context.reactor
    _log.info("opening the ledger: {where}", where=location(url))  # shows an operator for which lock the start waits
    with ledger_named(url):
        if url.startswith("sqlite:"):
            require_given_directory(context.settings)
            await call_in_daemon_thread(reactor, None, migrate, url)
        else:
            await call_in_daemon_thread(reactor, SCHEMA_S_MAX, require_schema, url)
    ledger = open_ledger(url, reactor, context.failpoint, context.metrics)
    player_store = open_player_store(url, reactor, context.metrics)
    for store in (ledger, player_store):
        await context.lifecycle.start(store)
    return ledger, player_store


async def _open_key_watch(context: ServerContext, redis: RedisClient) -> KeyWatch:
    """Start the key watch. Then the server knows, before it signs anything, which of its keys the other servers accept."""
    key_watch = KeyWatch(
        roster=RedisKeyRoster(redis, new_id()),
        clock=context.reactor,
        meter=context.metrics,
        actions=action_ring(context.settings),
        tokens=token_ring(context.settings),
    )
    await context.lifecycle.start(key_watch)
    return key_watch


async def _open_ledger_clock(context: ServerContext, ledger: SqlLedger) -> LedgerClock:
    """The clock by which actions are issued and judged. A SQLite file has the clock of this machine, so we do not poll it."""
    ledger_clock = LedgerClock(ledger=ledger, clock=context.reactor, wall_ms=now_ms, meter=context.metrics)
    if not context.settings.database_url.get_secret_value().startswith("sqlite:"):
        await context.lifecycle.start(ledger_clock)
    return ledger_clock
