"""HTTP routes: each is declared once, with its OpenAPI operation, and calls a handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from klein import Klein
from twisted.web.resource import IResource

from scoreboard.net.http.request import Request
from scoreboard.web import api_spec
from scoreboard.web.actions import ActionHandlers
from scoreboard.web.api_spec import Operation
from scoreboard.web.health import HealthHandlers
from scoreboard.web.long_poll import LongPollHandlers
from scoreboard.web.pages import Pages
from scoreboard.web.profile import ProfileHandlers
from scoreboard.web.routes import HandlerResult
from scoreboard.web.scores import ScoreHandlers
from scoreboard.web.spectators import SpectatorHandlers
from scoreboard.web.tickets import TicketHandlers

#: The operations of all routes, in the order of their declaration: what openapi.json describes.
OPERATIONS: Final[list[Operation]] = []
_klein: Final = Klein()
Handler = TypeVar("Handler", bound=Callable[..., object])


def _route(operation: Operation) -> Callable[[Handler], Handler]:
    """Declare a route of the API."""
    OPERATIONS.append(operation)
    return _undescribed(operation.path, operation.method.upper())


def _undescribed(path: str, *methods: str) -> Callable[[Handler], Handler]:
    """Declare a route that openapi.json does not describe: a page, or a resource that takes the connection over.

    This is `Klein.route` but for its types: they know what KleinResource can write, and results are written by Routes here.
    """
    return cast("Callable[[Handler], Handler]", _klein.route(path, methods=list(methods)))


@dataclass(frozen=True, eq=False)
class Api:
    """The routes. Their handlers, built by the composition root, are the fields."""

    scores: ScoreHandlers
    actions: ActionHandlers
    changes: LongPollHandlers
    profile: ProfileHandlers
    ticket_handlers: TicketHandlers
    spectators: SpectatorHandlers
    health: HealthHandlers
    pages: Pages
    socket: IResource
    socketio: IResource

    app = _klein

    @_route(api_spec.INITIALIZE)
    async def initialize(self, request: Request) -> HandlerResult:
        """Begin an action."""
        return await self.actions.initialize(request)

    @_route(api_spec.SUBMIT)
    async def submit(self, request: Request) -> HandlerResult:
        """Submit a completed action."""
        return await self.scores.submit(request)

    @_route(api_spec.LEADERBOARD)
    async def leaderboard(self, request: Request) -> HandlerResult:
        """A stretch of the board."""
        return await self.scores.leaderboard(request)

    @_route(api_spec.CHANGES)
    async def scores_since(self, request: Request) -> HandlerResult:
        """What changed since a cursor."""
        return await self.changes.changes(request)

    @_route(api_spec.STREAM)
    async def stream(self, request: Request) -> HandlerResult:
        """What changes, as it happens."""
        return await self.changes.stream(request)

    @_route(api_spec.ME)
    async def me(self, request: Request) -> HandlerResult:
        """The asking player's place."""
        return await self.scores.me(request)

    @_route(api_spec.ACHIEVEMENTS)
    async def achievements(self, request: Request) -> HandlerResult:
        """What the asking player unlocked."""
        return await self.profile.achievements(request)

    @_route(api_spec.SETTINGS)
    async def settings(self, request: Request) -> HandlerResult:
        """What the asking player decided."""
        return await self.profile.settings(request)

    @_route(api_spec.CHANGE_SETTINGS)
    async def change_settings(self, request: Request) -> HandlerResult:
        """Decide."""
        return await self.profile.change_settings(request)

    @_route(api_spec.TICKET)
    async def ticket(self, request: Request) -> HandlerResult:
        """A ticket in place of a token."""
        return await self.ticket_handlers.issue(request)

    @_route(api_spec.SPECTATOR)
    async def spectator(self, request: Request) -> HandlerResult:
        """A token to watch with."""
        return await self.spectators.enter(request)

    @_route(api_spec.HEALTHZ)
    async def healthz(self, request: Request) -> HandlerResult:
        """Whether we live."""
        return await self.health.healthz(request)

    @_route(api_spec.READYZ)
    async def readyz(self, request: Request) -> HandlerResult:
        """Whether we can do our share."""
        return await self.health.readyz(request)

    @_route(api_spec.METRICS)
    async def metrics(self, request: Request) -> HandlerResult:
        """What was measured."""
        return await self.health.metrics_page(request)

    @_undescribed("/openapi.json", "GET")
    async def openapi(self, request: Request) -> HandlerResult:
        """This interface, for machines."""
        return await self.health.openapi(request)

    @_undescribed("/", "GET")
    async def index(self, request: Request) -> HandlerResult:
        """The live board."""
        return await self.pages.page(request, "index.html")

    @_undescribed("/static/<path:name>", "GET")
    async def static(self, request: Request, name: str) -> HandlerResult:
        """What the pages are made of."""
        return await self.pages.page(request, f"static/{name}")

    @_undescribed("/ws", "GET")
    def live(self, _: Request) -> HandlerResult:
        """The WebSocket, which takes the connection over."""
        return self.socket

    @_undescribed("/socket.io/", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    def socket_io(self, _: Request) -> HandlerResult:
        """Socket.IO, which has its own answer to every method."""
        return self.socketio
