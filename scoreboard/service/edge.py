"""Network edge of the server: the HTTP API and the live protocols on the backend, and the two ports that serve them."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Final

from twisted.internet.defer import TimeoutError, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.web.resource import IResource

from scoreboard.domain.close_reasons import RESTARTING
from scoreboard.domain.refusals import Refusal, too_many_requests
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies, counted_as, plain
from scoreboard.net.http.cors import cors
from scoreboard.net.http.request import Request
from scoreboard.net.http.site import ResourceByPath, Site
from scoreboard.net.http.slow_down import SlowDown
from scoreboard.net.limits import HttpLimits
from scoreboard.net.websocket.resource import WebSocketResource
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.native import NativeFactory
from scoreboard.realtime.services import LiveServices
from scoreboard.realtime.socketio.resource import SOCKETIO_PATH, socketio_resource
from scoreboard.service.api import Realtime, build_api
from scoreboard.service.backend import Backend
from scoreboard.service.endpoints import listen, spelled
from scoreboard.service.lifecycle import CLOSE_LIVE_S, DRAIN_S, ServerContext
from scoreboard.service.wiring import jwt_authenticator, limits, live_limits, new_sid, now_ms
from scoreboard.web.open_route_limiter import OpenRouteLimiter
from scoreboard.web.request_guard import RequestGuard
from scoreboard.web.routes import Routes

_log: Final = Logger(namespace="scoreboard")


class EdgeBuilder:
    """Builder of the sites of both ports, which share one registry of connections."""

    def __init__(self, context: ServerContext, backend: Backend) -> None:
        settings, stores = context.settings, backend.stores
        self._context = context
        self._backend = backend
        self._limits = limits(settings)
        self._live_limits = live_limits(settings, context.capacity)
        self._http_limits = HttpLimits(
            connections_max=context.capacity.http_connections_max, idle_s_max=settings.http_idle_timeout_s
        )
        self._cors = cors(settings.cors_origins)
        self._proxies = Proxies(networks=settings.trusted_proxies)
        self._open_route_limiter = OpenRouteLimiter(proxies=self._proxies, clock=context.reactor, meter=context.metrics)
        self._authenticator = jwt_authenticator(
            settings, backend.suspension_watcher.is_suspended, context.metrics, stores.key_watch.tokens.ring
        )
        self._registry = ConnectionRegistry(
            http_limits=self._http_limits, limits=self._live_limits, clock=context.reactor, wall_ms=now_ms, meter=context.metrics
        )

    async def open(self) -> None:
        """Serve HTTP and the live protocols on both ports. Raises CannotListen."""
        context = self._context
        realtime = self._build_realtime()
        site = self._build_site(self._build_api(realtime))
        socket_site = self._build_site(ResourceByPath({SOCKETIO_PATH: realtime.socketio}, WebSocketResource(realtime.native)))
        self._watch(realtime)
        context.lifecycle.add("ConnectionRegistry", self._drain, DRAIN_S + CLOSE_LIVE_S)
        listeners = [("PORT", context.settings.port, site), ("WEBSOCKET_PORT", context.settings.websocket_port, socket_site)]
        for port in await listen(context.reactor, os.environ, context.settings.bind_address, listeners):
            context.lifecycle.add("Port", partial(maybeDeferred, port.stopListening))
            _log.info("listening at {address}", address=spelled(port.getHost()))

    def _build_realtime(self) -> Realtime:
        services = LiveServices(
            authenticator=self._authenticator,
            announcer=self._backend.announcer,
            registry=self._registry,
            limits=self._live_limits,
            clock=self._context.reactor,
            meter=self._context.metrics,
            address_of=self._address_of,
            check_rate=self._check_rate,
        )
        socketio = socketio_resource(
            services,
            session_store=self._backend.stores.session_store,
            settings=EngineSettings(max_payload_bytes=self._http_limits.body_bytes_max),
            new_sid=new_sid,
            count_refused=self._count_page,
        )
        return Realtime(native=NativeFactory(services), socketio=socketio, services=services)

    def _build_api(self, realtime: Realtime) -> Routes:
        guard = RequestGuard(
            authenticator=self._authenticator,
            rate_limiter=self._backend.stores.rate_limiter,
            limits=self._limits,
            slow_down=SlowDown(self._context.reactor),
        )
        api = build_api(self._context, self._backend, realtime, guard, self._open_route_limiter)
        self._registry.on_drain.append(api.changes.release)
        return Routes(api.app, cors=self._cors, recheck=guard.recheck, count_unmatched=self._count_page)

    def _build_site(self, resource: IResource) -> Site:
        return Site(
            resource,
            registry=self._registry,
            http_limits=self._http_limits,
            proxies=self._proxies,
            cors=self._cors,
            clock=self._context.reactor,
            now_ms=now_ms,
            meter=self._context.metrics,
        )

    def _watch(self, realtime: Realtime) -> None:
        """Gauges that are read only when a client asks for the metrics."""
        watch, registry = self._context.metrics.watch, self._registry
        reactor, announcer, health = self._context.reactor, self._backend.announcer, self._backend.health
        self._context.metrics.watch_conditions(lambda: [(one.name, one.ok, one.serving) for one in health.conditions()])
        watch("http_connections_active", lambda: len(registry.http))
        watch("reactor_delayed_calls", lambda: len(reactor.getDelayedCalls()))
        watch("websocket_connections_handshaking", lambda: registry.handshaking)
        watch("engine_sessions_active", lambda: realtime.socketio.sessions)
        watch("listeners_active", lambda: announcer.listeners)
        watch("room_members", lambda: announcer.members)
        watch("room_members_stalled", lambda: announcer.stalled)
        watch("views_followed", lambda: announcer.views)

    async def _drain(self) -> None:
        """Close the live connections and answer the requests in flight, within a bounded time."""
        with suppress(TimeoutError):
            drained = ensureDeferred(self._registry.drain(RESTARTING, CLOSE_LIVE_S))
            await drained.addTimeout(DRAIN_S + CLOSE_LIVE_S, self._context.reactor)

    async def _count_page(self, request: Request) -> None:
        await self._open_route_limiter.check(request, self._limits.pages)

    async def _check_rate(self, address: str) -> Refusal | None:
        hits = self._limits.common_hits(address)
        verdict = await self._backend.stores.rate_limiter.check(hits)
        return None if verdict.refused is None else too_many_requests(verdict.retry_after_ms, verdict.limit_in(hits))

    def _address_of(self, peer: str, forwarded: str | None) -> str:
        chain = [] if forwarded is None else [forwarded.encode("latin-1", "replace")]
        return counted_as(self._proxies.client(plain(peer), chain))
