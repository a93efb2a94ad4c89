"""The way in and the way out: every route, and the one table from reasons to statuses. Only this room knows HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, TypeVar, cast

from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator, Tickets
from scoreboard.boundaries.health import Health, Meter
from scoreboard.boundaries.players import PlayerStore
from scoreboard.boundaries.ranking import Ranking
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.boundaries.scorekeeper import Scorekeeper
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.grants import Keyring
from scoreboard.domain.players import Player, PlayerSettings
from scoreboard.domain.rules import Catalogue
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies
from scoreboard.net.http.cors import cors
from scoreboard.net.http.request import Request
from scoreboard.net.http.resource_by_path import ResourceByPath
from scoreboard.net.http.site import Site
from scoreboard.net.limits import HttpLimits
from scoreboard.web.actions import ActionHandlers
from scoreboard.web.health import HealthHandlers
from scoreboard.web.long_poll import LongPollHandlers
from scoreboard.web.open_routes import OpenRoutes
from scoreboard.web.openapi import document
from scoreboard.web.pages import Pages
from scoreboard.web.profile import ProfileHandlers
from scoreboard.web.request_guard import Limits, RequestGuard
from scoreboard.web.routes import HandlerResult, Routes
from scoreboard.web.scores import ScoreHandlers
from scoreboard.web.spectators import SpectatorHandlers
from scoreboard.web.tickets import TicketHandlers

_EVERY_ANSWER: Final = b"X-Content-Type-Options: nosniff\r\n"
_klein: Final = Klein()
Handler = TypeVar("Handler", bound=Callable[..., object])


def _route(method: str, path: str) -> Callable[[Handler], Handler]:
    """`Klein.route`, but for its types: they know what KleinResource can write, and ours is written by Routes."""
    return cast("Callable[[Handler], Handler]", _klein.route(path, methods=[method]))


def _any_method(path: str) -> Callable[[Handler], Handler]:
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return cast("Callable[[Handler], Handler]", _klein.route(path, methods=methods))


@dataclass(frozen=True, eq=False)
class Api:
    """The routes. What answers stands in the rooms that are its fields."""

    scores: ScoreHandlers
    actions: ActionHandlers
    changes: LongPollHandlers
    profile: ProfileHandlers
    ticket_handlers: TicketHandlers
    spectators: SpectatorHandlers
    ops: HealthHandlers
    pages: Pages
    socket: IResource
    socketio: IResource

    app = _klein

    @_route("POST", "/api/v1/scores/submit")
    async def submit(self, request: Request) -> HandlerResult:
        """Submit a completed action."""
        return await self.scores.submit(request)

    @_route("GET", "/api/v1/scores/leaderboard")
    async def leaderboard(self, request: Request) -> HandlerResult:
        """A stretch of the board."""
        return await self.scores.leaderboard(request)

    @_route("GET", "/api/v1/scores/me")
    async def me(self, request: Request) -> HandlerResult:
        """The asking player's place."""
        return await self.scores.me(request)

    @_route("GET", "/api/v1/scores/changes")
    async def scores_since(self, request: Request) -> HandlerResult:
        """What changed since a cursor."""
        return await self.changes.changes(request)

    @_route("GET", "/api/v1/scores/stream")
    async def stream(self, request: Request) -> HandlerResult:
        """What changes, as it happens."""
        return await self.changes.stream(request)

    @_route("GET", "/api/v1/me/achievements")
    async def achievements(self, request: Request) -> HandlerResult:
        """What the asking player unlocked."""
        return await self.profile.achievements(request)

    @_route("GET", "/api/v1/me/settings")
    async def settings(self, request: Request) -> HandlerResult:
        """What the asking player decided."""
        return await self.profile.settings(request)

    @_route("PUT", "/api/v1/me/settings")
    async def change_settings(self, request: Request) -> HandlerResult:
        """Decide."""
        return await self.profile.change_settings(request)

    @_route("POST", "/api/v1/auth/ticket")
    async def ticket(self, request: Request) -> HandlerResult:
        """A ticket in place of a token."""
        return await self.ticket_handlers.issue(request)

    @_route("POST", "/api/v1/actions/initialize")
    async def initialize(self, request: Request) -> HandlerResult:
        """Begin an action."""
        return await self.actions.initialize(request)

    @_route("POST", "/api/v1/auth/spectator")
    async def spectator(self, request: Request) -> HandlerResult:
        """A token to watch with."""
        return await self.spectators.enter(request)

    @_route("GET", "/healthz")
    async def healthz(self, request: Request) -> HandlerResult:
        """Whether we live."""
        return await self.ops.healthz(request)

    @_route("GET", "/readyz")
    async def readyz(self, request: Request) -> HandlerResult:
        """Whether we can do our share."""
        return await self.ops.readyz(request)

    @_route("GET", "/metrics")
    async def metrics(self, request: Request) -> HandlerResult:
        """What was measured."""
        return await self.ops.metrics_page(request)

    @_route("GET", "/openapi.json")
    async def openapi(self, request: Request) -> HandlerResult:
        """This interface, for machines."""
        return await self.ops.openapi(request)

    @_route("GET", "/")
    async def index(self, request: Request) -> HandlerResult:
        """The live board."""
        return await self.pages.page(request, "index.html")

    @_route("GET", "/static/<path:name>")
    async def static(self, request: Request, name: str) -> HandlerResult:
        """What the pages are made of."""
        return await self.pages.page(request, f"static/{name}")

    @_route("GET", "/ws")
    def live(self, _: Request) -> HandlerResult:
        """The WebSocket, which takes the connection over."""
        return self.socket

    @_any_method("/socket.io/")
    def socket_io(self, _: Request) -> HandlerResult:
        """Socket.IO, which has its own answer to every method."""
        return self.socketio


def build_site(
    *,
    authenticator: Authenticator,
    rate_limiter: RateLimiter,
    scorekeeper: Scorekeeper,
    ranking: Ranking,
    announcer: Announcer,
    tickets: Tickets,
    player_store: PlayerStore,
    note_settings: Callable[[str, PlayerSettings, int], None],
    open_stream: Callable[[Player, str, Cursor | None, bytes], IResource],
    catalogue: Catalogue,
    ring: Keyring,
    signing_ring: Callable[[], Keyring],
    limits: Limits,
    action_ttl_ms: int,
    spectator_life_s: int | None,
    health: Health,
    metrics: Callable[[], tuple[bytes, str]],
    pages: Path,
    socket: IResource,
    socketio: IResource,
    cors_origins: Collection[str],
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...],
    http_limits: HttpLimits,
    clock: IReactorTime,
    now_ms: Callable[[], int],
    ledger_ms: Callable[[], int],
    new_id: Callable[[], str],
    meter: Meter,
    registry: ConnectionRegistry,
) -> Site:
    """The whole HTTP wing, ready to be listened with.

    ``ledger_ms`` is the clock by which actions are issued and judged.
    """
    guard = RequestGuard(authenticator=authenticator, rate_limiter=rate_limiter, limits=limits)
    origins = cors(cors_origins)
    proxies = Proxies(networks=trusted_proxies)
    open_routes = OpenRoutes(proxies=proxies, clock=clock, meter=meter)
    ticket_handlers = TicketHandlers(guard=guard, tickets=tickets, now_ms=now_ms)
    changes = LongPollHandlers(
        ticket_handlers=ticket_handlers, ranking=ranking, announcer=announcer, open_stream=open_stream, clock=clock
    )
    api = Api(
        scores=ScoreHandlers(
            guard=guard, scorekeeper=scorekeeper, ranking=ranking, ring=ring, clock=clock, now_ms=ledger_ms, meter=meter
        ),
        actions=ActionHandlers(
            guard=guard,
            health=health,
            catalogue=catalogue,
            signing_ring=signing_ring,
            action_ttl_ms=action_ttl_ms,
            now_ms=ledger_ms,
            new_id=new_id,
        ),
        changes=changes,
        profile=ProfileHandlers(guard=guard, player_store=player_store, note_settings=note_settings, now_ms=now_ms),
        ticket_handlers=ticket_handlers,
        spectators=SpectatorHandlers(guard=guard, life_s=spectator_life_s, now_ms=now_ms, new_id=new_id),
        ops=HealthHandlers(
            open_routes=open_routes,
            limit=limits.probes,
            health=health,
            metrics=metrics,
            document=document,
            clock=clock,
        ),
        pages=Pages(pages, open_routes, limits.pages),
        socket=socket,
        socketio=socketio,
    )
    registry.on_drain.append(changes.release)
    return Site(
        Routes(
            api.app,
            cors=origins,
            recheck=guard.recheck,
            count_stray=lambda request: open_routes.check(request, limits.pages),
        ),
        registry=registry,
        http_limits=http_limits,
        proxies=proxies,
        header_lines=_EVERY_ANSWER + origins.constant_lines,
        clock=clock,
        now_ms=now_ms,
        meter=meter,
    )


def build_socket_site(
    by_path: Mapping[bytes, IResource],
    *,
    otherwise: IResource,
    cors_origins: Collection[str],
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...],
    http_limits: HttpLimits,
    clock: IReactorTime,
    now_ms: Callable[[], int],
    meter: Meter,
    registry: ConnectionRegistry,
) -> Site:
    """A listener for sockets alone: ``by_path`` says whose a path is, ``otherwise`` answers for all others."""
    return Site(
        ResourceByPath(by_path, otherwise),
        registry=registry,
        http_limits=http_limits,
        proxies=Proxies(networks=trusted_proxies),
        header_lines=_EVERY_ANSWER + cors(cors_origins).constant_lines,
        clock=clock,
        now_ms=now_ms,
        meter=meter,
    )
