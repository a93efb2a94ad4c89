"""The composition root: the only file that knows everyone. Settings in, a service out; implementations are chosen here.

A server is opened in one order (stores, actors, doors) and closed in the reverse: stop listening, say goodbye to
sockets, answer what is in flight, write down the last receipts, let go of the stores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred, gatherResults
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from config import BadSettings as BadSettings
from config.catalogue import load_catalogue
from config.kept_secrets import found_secrets, passing_secrets
from config.settings import Settings, load_settings
from scoreboard.actors.announcer import Announcer
from scoreboard.actors.board_diagnosis import owner_of
from scoreboard.actors.board_sweep import BoardSweep
from scoreboard.actors.health import HealthMonitor
from scoreboard.actors.key_watch import KeyWatch
from scoreboard.actors.ledger_clock import LedgerClock
from scoreboard.actors.projector import Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.actors.scorekeeper import Scorekeeper
from scoreboard.actors.suspension_watcher import SuspensionWatcher
from scoreboard.boundaries import Board, CloseReason, Failpoint, StoreMisconfigured, StoreUnavailable
from scoreboard.conditions import board_conditions, redis_conditions
from scoreboard.descriptors import Capacity, TooFewDescriptors, fitted, raise_limit
from scoreboard.domain.grants import Keyring
from scoreboard.domain.limits import Hit, RateVerdict
from scoreboard.domain.rules import Catalogue
from scoreboard.domain.values import Cursor, ScoreChanged
from scoreboard.errands import Stores, require_given_directory
from scoreboard.errands import backup_ledger as backup_ledger
from scoreboard.errands import ledger_location as ledger_location
from scoreboard.errands import project as project
from scoreboard.errands import redraw as redraw
from scoreboard.errands import restore_ledger as restore_ledger
from scoreboard.errands import schema_status as schema_status
from scoreboard.errands import stores_named as stores_named
from scoreboard.errands import upgrade_schema as upgrade_schema
from scoreboard.failpoints import failpoint as make_failpoint
from scoreboard.fittings import limits, live_limits, new_id, new_sid, now_ms, ring
from scoreboard.listening import CannotListen, listen
from scoreboard.listening import close as close_port
from scoreboard.monotonic import monotonic_ms
from scoreboard.net.connections import LiveConnections
from scoreboard.net.http.addresses import Proxies, counted_as, plain
from scoreboard.net.http.connections import Connections
from scoreboard.net.http.site import HttpLimits, Site
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.polling import EngineResource
from scoreboard.realtime.native import NativeFactory
from scoreboard.realtime.socketio.resource import SOCKETIO_PATH, socketio_resource
from scoreboard.realtime.sse import Streams
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.storage.redis.board import RedisBoard
from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.embedded import EmbeddedRedis, EmbeddedRedisBusy
from scoreboard.storage.redis.errors import RedisUnusable
from scoreboard.storage.redis.key_roster import RedisKeyRoster
from scoreboard.storage.redis.paths import EmbeddedRedisPaths
from scoreboard.storage.redis.rate_limiter import RedisRateLimiter
from scoreboard.storage.redis.sessions import RedisSessionStore
from scoreboard.storage.redis.tickets import RedisTickets
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.sql.daemon_thread import call_in_daemon_thread
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.ledger import SqlLedger, open_ledger
from scoreboard.storage.sql.players import SqlPlayerStore, open_player_store
from scoreboard.storage.sql.urls import ledger_named, location, require_file
from scoreboard.systemd import Notifier
from scoreboard.telemetry import LagWatch, Telemetry
from scoreboard.web.app import build_site, build_socket_site
from scoreboard.web.authenticator import JwtAuthenticator
from scoreboard.web.request_guard import EVERYONE, Limits
from scoreboard.web.spectators import SPECTATOR_LIFE_S

PAGES: Final = Path(__file__).parent / "pages"
#: How long what is in flight has to end after SIGTERM, and over how much of it goodbyes are spread.
DRAIN_S: Final = 10.0
GOODBYE_S: Final = 1.0
#: How long each thing that is closed may take, whatever its store does; once DRAIN_S and GOODBYE_S are over, only a little.
CLOSE_S_MAX: Final = 6.0
CLOSE_S_MIN: Final = 0.5
RESTARTING: Final = CloseReason(code=1012, reason="the server is restarting; come back in a moment")
#: How long the first connection to Redis may take before we open our ports without it.
REDIS_WAIT_MS: Final = 500
CLI_REDIS_WAIT_MS: Final = 1_500
#: How long PostgreSQL may take to say which schema it has.
SCHEMA_S_MAX: Final = 10.0
#: What may hinder a start and needs no traceback: the operator reads one line.
EXPECTED_TROUBLE: Final = (BadSettings, LedgerUnusable, StoreUnavailable, EmbeddedRedisBusy, RedisUnusable, CannotListen)


def make_service(settings: Settings, reactor: Any) -> MultiService:
    """The whole server as a service. Raises BadSettings at once for what can be known to be wrong before it starts."""
    catalogue = load_catalogue(settings.actions_file, settings.action_expiration_ms)
    capacity = _capacity(settings)
    for remark in settings.left_out():
        Logger(namespace="scoreboard").warn("{remark}", remark=remark)
    whole = MultiService()
    telemetry = Telemetry()
    LagWatch(reactor, telemetry).setServiceParent(whole)
    notifier = Notifier(reactor, os.environ)
    notifier.setServiceParent(whole)
    Harness(settings, catalogue, capacity, reactor, telemetry, notifier).setServiceParent(whole)
    return whole


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The rooms that no client sees."""

    ledger: SqlLedger
    ledger_clock: LedgerClock
    board: RedisBoard
    rate_limiter: RedisRateLimiter
    key_watch: KeyWatch
    tickets: RedisTickets
    session_store: RedisSessionStore
    ranking: Ranking
    announcer: Announcer
    scorekeeper: Scorekeeper
    player_store: SqlPlayerStore
    suspension_watcher: SuspensionWatcher
    health: HealthMonitor


class Harness(Service):
    """Opens everything in order, and closes it in the reverse."""

    _log = Logger(namespace="scoreboard")

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        capacity: Capacity,
        reactor: Any,
        telemetry: Telemetry,
        notifier: Notifier,
    ) -> None:
        self._settings = settings
        self._capacity = capacity
        self._catalogue = catalogue
        self._reactor = reactor
        self._telemetry = telemetry
        self._notifier = notifier
        self._closers: list[Callable[[], Awaitable[object]]] = []
        self._opening: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin to open. What hinders it is said in one line and ends the process."""
        super().startService()
        self._opening = ensureDeferred(self._open())
        self._opening.addErrback(self._cannot_open)

    def stopService(self) -> Deferred[None]:
        """Close; fires when all is closed."""
        super().stopService()
        return ensureDeferred(self._close())

    async def _open(self) -> None:
        backend = await self._open_backend()
        for port in await self._listen_all(backend):
            self._closers.append(partial(close_port, port))
            self._log.info("listening at {address}", address=str(port.getHost()))
        self._notifier.ready()

    async def _open_backend(self) -> Backend:
        """The stores, and the actors between them."""
        settings, reactor, meter = self._settings, self._reactor, self._telemetry
        failpoint = make_failpoint(settings.failpoint)
        client = await self._open_redis()
        board = RedisBoard(client, reactor, now_ms)
        rate_limiter = RedisRateLimiter(client, MemoryRateLimiter(monotonic_ms), reactor, meter)
        key_watch = await self._open_key_watch(client)
        ledger, player_store = await self._open_ledger(failpoint)
        ledger_clock = await self._open_ledger_clock(ledger)
        ranking = Ranking(
            board=board,
            ledger=ledger,
            clock=reactor,
            now_ms=now_ms,
            meter=meter,
            lagging_s=lambda: projector.lagging_s,
            on_stale=lambda trouble: projector.doubt(trouble),
        )
        announcer = Announcer(
            ranking=ranking,
            forbids_spectators=lambda user_id: suspension_watcher.forbids_spectators(user_id),
            clock=reactor,
            tick_ms=settings.broadcast_interval_ms,
            score_updates_per_tick_max=settings.score_updates_per_tick_max,
            meter=meter,
            is_awarding=lambda: scorekeeper.is_awarding,
            failpoint=failpoint,
        )

        def on_changes(cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
            ranking.advance(cursor)
            announcer.tell(changes)

        board.listen(on_changes, missed=lambda: projector.doubt())
        projector = Projector(
            ledger=ledger,
            board=board,
            clock=reactor,
            on_changes=on_changes,
            note_ledger_ahead=ranking.note_ledger_ahead,
            meter=meter,
            shared=settings.redis_url is not None,
            failpoint=failpoint,
        )
        await projector.start()
        sweep = BoardSweep(ledger=ledger, board=board, projector=projector, clock=reactor, meter=meter)
        sweep.start()
        client.on_up(lambda: _begin(projector.catch_up()))
        suspension_watcher = SuspensionWatcher(
            player_store=player_store, clock=reactor, meter=meter, on_suspended=announcer.expel, on_private=announcer.shut_out
        )
        await suspension_watcher.start()
        health = HealthMonitor(ledger=ledger, clock=reactor, meter=meter)
        health.add(lambda: redis_conditions(client))
        health.add(lambda: board_conditions(projector))
        health.start()
        scorekeeper = Scorekeeper(
            ledger=ledger,
            projector=projector,
            rate_limiter=rate_limiter,
            catalogue=self._catalogue,
            milestones=settings.score_milestones,
            clock=reactor,
            now_ms=ledger_clock.now_ms,
            new_id=new_id,
            meter=meter,
            is_suspended=suspension_watcher.is_suspended,
            note_batch=health.note_batch,
            failpoint=failpoint,
        )
        session_store = RedisSessionStore(client, reactor, meter)
        self._closers += [
            session_store.settled,
            projector.stop,
            sweep.stop,
            suspension_watcher.stop,
            health.stop,
            scorekeeper.stop,
            announcer.stop,
        ]
        return Backend(
            ledger=ledger,
            ledger_clock=ledger_clock,
            board=board,
            rate_limiter=rate_limiter,
            key_watch=key_watch,
            tickets=RedisTickets(client),
            session_store=session_store,
            ranking=ranking,
            announcer=announcer,
            scorekeeper=scorekeeper,
            player_store=player_store,
            suspension_watcher=suspension_watcher,
            health=health,
        )

    async def _listen_all(self, backend: Backend) -> list[IListeningPort]:
        """HTTP and everything live, on both ports."""
        settings, reactor, meter = self._settings, self._reactor, self._telemetry
        http_limits = HttpLimits(connections_max=self._capacity.http_connections_max)
        connections = Connections(http_limits.connections_max, http_limits.connections_per_address_max)
        authenticator, allowed = (
            _authenticator(settings, backend.suspension_watcher.is_suspended, backend.key_watch.tokens.ring),
            limits(settings),
        )
        live_connections, sockets, socketio = self._live_wing(backend, authenticator, allowed, http_limits)
        site = build_site(
            authenticator=authenticator,
            rate_limiter=backend.rate_limiter,
            scorekeeper=backend.scorekeeper,
            ranking=backend.ranking,
            announcer=backend.announcer,
            tickets=backend.tickets,
            player_store=backend.player_store,
            note_settings=backend.suspension_watcher.note_settings,
            open_stream=Streams(
                announcer=backend.announcer, live_connections=live_connections, settings=sockets.settings, clock=reactor
            ).open,
            catalogue=self._catalogue,
            ring=_action_ring(settings),
            signing_ring=backend.key_watch.actions.ring,
            limits=allowed,
            action_ttl_ms=settings.action_expiration_ms,
            spectator_life_s=min(SPECTATOR_LIFE_S, settings.jwt_expiration_s) if settings.public_board else None,
            health=backend.health,
            metrics=meter.render,
            pages=PAGES,
            socket=WebSocketResource(sockets),
            socketio=socketio,
            cors_origins=settings.cors_origins,
            trusted_proxies=settings.trusted_proxies,
            http_limits=http_limits,
            clock=reactor,
            now_ms=now_ms,
            ledger_ms=backend.ledger_clock.now_ms,
            new_id=new_id,
            meter=meter,
            connections=connections,
        )
        socket_site = build_socket_site(
            {SOCKETIO_PATH: socketio},
            otherwise=WebSocketResource(sockets),
            trusted_proxies=settings.trusted_proxies,
            http_limits=http_limits,
            clock=reactor,
            now_ms=now_ms,
            meter=meter,
            connections=connections,
        )
        meter.watch_conditions(backend.health.conditions)
        meter.watch("http_connections_active", lambda: site.connections + socket_site.connections)
        self._closers.append(partial(_drain, (site, socket_site), reactor))
        self._closers.append(
            lambda: live_connections.drain(RESTARTING, GOODBYE_S)
        )  # before HTTP: a GET that waits for news is answered so
        listeners: list[tuple[str, int | None, Any]] = [
            ("PORT", settings.port, site),
            ("WEBSOCKET_PORT", settings.websocket_port, socket_site),
        ]
        return await listen(reactor, os.environ, settings.bind_address, listeners)

    async def _open_redis(self) -> RedisClient:
        settings = self._settings
        if settings.redis_url is None:
            embedded = EmbeddedRedis(settings.data_dir, self._reactor)
            embedded.startService()
            self._closers.append(lambda: embedded.stopService())
            with suppress(TimeoutError):  # then the link says why it cannot be asked
                await embedded.ready().addTimeout(REDIS_WAIT_MS / 1000, self._reactor)
        production = settings.environment == "production"
        client = RedisClient(_redis_url(settings), self._reactor, self._telemetry, refuse_eviction=production)
        client.open()
        self._closers.append(client.close)
        try:
            await client.reached(REDIS_WAIT_MS)
        except StoreUnavailable as away:
            # Submissions work without Redis; the link goes on trying, and the board is caught up when it answers.
            self._log.warn("starting without Redis: {away}", away=str(away))
        if production and client.eviction:
            raise RedisUnusable(f"REDIS_URL: {client.eviction}")
        return client

    async def _open_ledger(self, failpoint: Failpoint) -> tuple[SqlLedger, SqlPlayerStore]:
        """The ledger, and the register in the same database."""
        url = self._settings.database_url.get_secret_value()
        self._log.info("opening the ledger: {where}", where=location(url))  # whoever waits for a lock on it sees what for
        with ledger_named(url):
            if url.startswith("sqlite:"):
                require_given_directory(self._settings)
                await call_in_daemon_thread(self._reactor, None, migrate, url)
            else:
                await call_in_daemon_thread(self._reactor, SCHEMA_S_MAX, require_schema, url)
        ledger = open_ledger(url, self._reactor, failpoint, self._telemetry)
        player_store = open_player_store(url, self._reactor, self._telemetry)
        for store in (ledger, player_store):
            await store.start()
            self._closers.append(store.stop)
        return ledger, player_store

    async def _open_key_watch(self, client: RedisClient) -> KeyWatch:
        """What the other servers let this one sign with, known before it signs anything."""
        settings = self._settings
        key_watch = KeyWatch(
            roster=RedisKeyRoster(client, new_id()),
            clock=self._reactor,
            meter=self._telemetry,
            actions=_action_ring(settings),
            tokens=_token_ring(settings),
        )
        await key_watch.start()
        self._closers.append(key_watch.stop)
        return key_watch

    async def _open_ledger_clock(self, ledger: SqlLedger) -> LedgerClock:
        """The clock by which actions are issued and judged; a ledger in a file has our own, so there is nothing to look at."""
        ledger_clock = LedgerClock(ledger=ledger, clock=self._reactor, wall_ms=now_ms, meter=self._telemetry)
        if not self._settings.database_url.get_secret_value().startswith("sqlite:"):
            await ledger_clock.start()
            self._closers.append(ledger_clock.stop)
        return ledger_clock

    def _live_wing(
        self, backend: Backend, authenticator: JwtAuthenticator, allowed: Limits, http_limits: HttpLimits
    ) -> tuple[LiveConnections, NativeFactory, IResource]:
        """The lobby, and who brings guests into it: WebSockets of our own, and Socket.IO."""
        settings, proxies = live_limits(self._settings, self._capacity), Proxies(networks=self._settings.trusted_proxies)
        live_connections = LiveConnections(settings=settings, clock=self._reactor, wall_ms=now_ms, meter=self._telemetry)
        live_connections.start()

        def check_rate(address: str) -> Awaitable[RateVerdict]:
            return backend.rate_limiter.check(
                [Hit(limit=allowed.address, subject=address), Hit(limit=allowed.everyone, subject=EVERYONE)]
            )

        def address_of(peer: str, forwarded: str | None) -> str:
            chain = [] if forwarded is None else [forwarded.encode("latin-1", "replace")]
            return counted_as(proxies.client(plain(peer), chain))

        sockets = NativeFactory(
            authenticator=authenticator,
            announcer=backend.announcer,
            live_connections=live_connections,
            settings=settings,
            clock=self._reactor,
            address_of=address_of,
            check_rate=check_rate,
        )
        socketio = socketio_resource(
            authenticator=authenticator,
            announcer=backend.announcer,
            session_store=backend.session_store,
            live_connections=live_connections,
            settings=settings,
            engine=EngineSettings(max_payload_bytes=http_limits.body_bytes_max),
            clock=self._reactor,
            new_sid=new_sid,
            address_of=address_of,
            check_rate=check_rate,
        )
        self._watch(backend.announcer, live_connections, socketio)
        return live_connections, sockets, socketio

    def _watch(self, announcer: Announcer, live_connections: LiveConnections, socketio: EngineResource) -> None:
        """What is counted only when somebody asks for the metrics."""
        watch, reactor = self._telemetry.watch, self._reactor
        watch("reactor_delayed_calls", lambda: len(reactor.getDelayedCalls()))
        watch("websocket_connections_passing", lambda: live_connections.handshaking)
        watch("engine_sessions_active", lambda: socketio.sessions)
        watch("listeners_active", lambda: announcer.listeners)
        watch("room_members", lambda: announcer.members)
        watch("room_members_stalled", lambda: announcer.stalled)
        watch("views_followed", lambda: announcer.views)

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        ends_s = self._reactor.seconds() + DRAIN_S + GOODBYE_S
        while self._closers:
            close = self._closers.pop()
            left_s = max(CLOSE_S_MIN, ends_s - self._reactor.seconds())
            most_s = DRAIN_S if isinstance(close, partial) and close.func is _drain else CLOSE_S_MAX
            try:
                await ensureDeferred(_awaited(close)).addTimeout(min(left_s, most_s), self._reactor)
            except TimeoutError:
                self._log.warn("{what} was not closed in time and is left behind", what=_name_of(close))
            except Exception:  # whatever hinders one must not keep the others from closing
                self._log.failure("{what} could not be closed", what=_name_of(close))

    def _cannot_open(self, failure: Failure) -> None:
        if failure.check(CancelledError):  # stopped while opening
            return
        if failure.check(*EXPECTED_TROUBLE):
            assert sys.__stderr__ is not None  # twistd keeps it open and takes sys.stderr for its log
            sys.__stderr__.write(f"scoreboard: {failure.getErrorMessage()}\n")
            status = os.EX_UNAVAILABLE if _passes(failure.value) else os.EX_CONFIG
        else:
            self._log.failure("the server cannot start", failure=failure)
            status = os.EX_SOFTWARE
        # Twisted has no way to hand over an exit status, so the last trigger of its shutdown ends the process with ours.
        self._reactor.addSystemEventTrigger("after", "shutdown", os._exit, status)
        self._reactor.callWhenRunning(self._reactor.stop)


# For the CLI


async def open_stores(settings: Settings, reactor: Any, *, need_board: bool = True, board_optional: bool = False) -> Stores:
    """The stores of this configuration, beside a running server or without one. Raises StoreUnavailable.

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
        client = RedisClient(_redis_url(settings), reactor, Telemetry())
        client.open()
        closers.insert(0, client.close)
        try:
            await client.reached(CLI_REDIS_WAIT_MS)
            board = RedisBoard(client, reactor, now_ms)
            board.owner = owner_of(await ledger.state())
        except StoreUnavailable:
            # The embedded one runs only while its server does; the server's next start draws what changed.
            if settings.redis_url is not None and not board_optional:
                await close()
                raise
    return Stores(
        ledger=ledger,
        player_store=player_store,
        board=board,
        close=close,
        pause=partial(deferLater, reactor),
        shared=settings.redis_url is not None,
    )


def settings_from(environ: Mapping[str, str], signs: bool = False) -> Settings:
    """The server's settings, for a command: nothing is written. With ``signs`` its secrets must be there. Raises BadSettings."""
    return load_settings(environ, found_secrets if signs else passing_secrets)


def issue_token(settings: Settings, user_id: str, username: str, role: str, life_s: int) -> str:
    """A token that the server accepts."""
    return _authenticator(settings, lambda _user_id: False).issue_token(user_id, username, role, life_s)


# Choices


def _action_ring(settings: Settings) -> Keyring:
    return ring(settings.action_signature_secret, settings.action_signature_secrets_old)


def _token_ring(settings: Settings) -> Keyring:
    return ring(settings.jwt_secret, settings.jwt_secrets_old)


def _authenticator(
    settings: Settings, is_suspended: Callable[[str], bool], signing_ring: Callable[[], Keyring] | None = None
) -> JwtAuthenticator:
    return JwtAuthenticator(
        ring=_token_ring(settings),
        signing_ring=signing_ring,
        now_ms=now_ms,
        life_s_max=settings.jwt_expiration_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        is_suspended=is_suspended,
    )


def _capacity(settings: Settings) -> Capacity:
    """How many connections fit into the limit of open files. Raises BadSettings."""
    wanted = Capacity(sockets_max=settings.sockets_max, http_connections_max=settings.http_connections_max)
    promised = 0
    if settings.environment == "production":  # what was not set may become less
        promised = settings.sockets_max + ("http_connections_max" in settings.model_fields_set) * settings.http_connections_max
    log = Logger(namespace="scoreboard")
    try:
        return fitted(
            wanted,
            raise_limit(wanted.descriptors),
            promised=promised,
            warn=lambda trouble: log.warn("{trouble}", trouble=trouble),
        )
    except TooFewDescriptors as trouble:
        raise BadSettings(str(trouble)) from None


def _redis_url(settings: Settings) -> str:
    return settings.redis_url.get_secret_value() if settings.redis_url is not None else EmbeddedRedisPaths(settings.data_dir).url


def _passes(trouble: BaseException | None) -> bool:
    """Whether the service manager should try again: a store comes back and a port becomes free; what is wrong in itself stays."""
    if isinstance(trouble, CannotListen):
        return trouble.passes
    return isinstance(trouble, StoreUnavailable) and not isinstance(trouble, StoreMisconfigured)


async def _drain(sites: Sequence[Site], clock: Any) -> None:
    """Let what has been asked be answered, but do not wait for ever."""
    with suppress(TimeoutError):
        await gatherResults([site.drain() for site in sites]).addTimeout(DRAIN_S, clock)


async def _awaited(close: Callable[[], Awaitable[object]]) -> None:
    await close()


def _name_of(close: Callable[[], Awaitable[object]]) -> str:
    """What a closer closes, for the log."""
    named = close.func if isinstance(close, partial) else close
    return str(getattr(named, "__qualname__", named))


def _begin(what: Coroutine[Any, Any, object]) -> None:
    ensureDeferred(what)
