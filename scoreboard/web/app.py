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
        """Sign an action."""
        return await self.actions.initialize(request)

    @_route(api_spec.SUBMIT)
    async def submit(self, request: Request) -> HandlerResult:
        """Award a completed action."""
        return await self.scores.submit(request)

    @_route(api_spec.LEADERBOARD)
    async def leaderboard(self, request: Request) -> HandlerResult:
        """Read a range of the board."""
        return await self.scores.leaderboard(request)

    @_route(api_spec.CHANGES)
    async def scores_since(self, request: Request) -> HandlerResult:
        """Read or wait for the changes since a cursor."""
        return await self.changes.changes(request)

    @_route(api_spec.STREAM)
    async def stream(self, request: Request) -> HandlerResult:
        """Open a stream of server-sent events."""
        return await self.changes.stream(request)

    @_route(api_spec.ME)
    async def me(self, request: Request) -> HandlerResult:
        """Read the player's own rank."""
        return await self.scores.me(request)

    @_route(api_spec.ACHIEVEMENTS)
    async def achievements(self, request: Request) -> HandlerResult:
        """Read the player's own achievements."""
        return await self.profile.achievements(request)

    @_route(api_spec.SETTINGS)
    async def settings(self, request: Request) -> HandlerResult:
        """Read the player's own settings."""
        return await self.profile.settings(request)

    @_route(api_spec.CHANGE_SETTINGS)
    async def change_settings(self, request: Request) -> HandlerResult:
        """Change the player's own settings."""
        return await self.profile.change_settings(request)

    @_route(api_spec.TICKET)
    async def ticket(self, request: Request) -> HandlerResult:
        """Issue a ticket."""
        return await self.ticket_handlers.issue(request)

    @_route(api_spec.SPECTATOR)
    async def spectator(self, request: Request) -> HandlerResult:
        """Issue a spectator's token."""
        return await self.spectators.enter(request)

    @_route(api_spec.HEALTHZ)
    async def healthz(self, request: Request) -> HandlerResult:
        """Answer a liveness probe."""
        return await self.health.healthz(request)

    @_route(api_spec.READYZ)
    async def readyz(self, request: Request) -> HandlerResult:
        """Answer a readiness probe."""
        return await self.health.readyz(request)

    @_route(api_spec.METRICS)
    async def metrics(self, request: Request) -> HandlerResult:
        """Show the metrics."""
        return await self.health.metrics_page(request)

    @_undescribed("/openapi.json", "GET")
    async def openapi(self, request: Request) -> HandlerResult:
        """Show the OpenAPI document."""
        return await self.health.openapi(request)

    @_undescribed("/", "GET")
    async def index(self, request: Request) -> HandlerResult:
        """Show the page of the board."""
        return await self.pages.page(request, "index.html")

    @_undescribed("/static/<path:name>", "GET")
    async def static(self, request: Request, name: str) -> HandlerResult:
        """Serve a file of the pages."""
        return await self.pages.page(request, f"static/{name}")

    @_undescribed("/ws", "GET")
    def live(self, _: Request) -> HandlerResult:
        """Hand the connection over to the native WebSocket."""
        return self.socket

    @_undescribed("/socket.io/", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    def socket_io(self, _: Request) -> HandlerResult:
        """Hand the request over to Socket.IO, which responds to every method itself."""
        return self.socketio
