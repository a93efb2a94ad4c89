"""HTTP routes: each is declared once, with its OpenAPI operation and its handler."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from klein import Klein
from twisted.web.resource import IResource

from scoreboard.net.http.request import Request
from scoreboard.web import api_spec
from scoreboard.web.actions import ActionHandlers
from scoreboard.web.api_spec import Operation
from scoreboard.web.credentials import SpectatorHandlers, TicketHandlers
from scoreboard.web.health import HealthHandlers
from scoreboard.web.long_poll import LongPollHandlers
from scoreboard.web.pages import Pages
from scoreboard.web.profile import ProfileHandlers
from scoreboard.web.routes import HandlerResult
from scoreboard.web.scores import ScoreHandlers

#: The operations of all routes, in the order of their declaration: what openapi.json describes.
OPERATIONS: Final[list[Operation]] = []
_klein: Final = Klein()


@dataclass(frozen=True, eq=False)
class Api:
    """The handlers of the routes, built by the composition root."""

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


Result = HandlerResult | Coroutine[Any, Any, HandlerResult]


def _route(operation: Operation, handler: Callable[[Api, Request], Result]) -> None:
    """Declare a route of the API. Metrics name it by the operation's name."""
    OPERATIONS.append(operation)
    _undescribed(operation.name, operation.path, handler, operation.method.upper())


def _undescribed(endpoint: str, path: str, handler: Callable[..., Result], *methods: str) -> None:
    """Declare a route that openapi.json does not describe: a page, or a resource that takes the connection over."""
    declare: Any = _klein.route(path, methods=list(methods), endpoint=endpoint)  # its types know what KleinResource can write
    declare(handler)


_route(api_spec.ACTIONS, lambda api, request: api.actions.list_types(request))
_route(api_spec.INITIALIZE, lambda api, request: api.actions.initialize(request))
_route(api_spec.SUBMIT, lambda api, request: api.scores.submit(request))
_route(api_spec.LEADERBOARD, lambda api, request: api.scores.leaderboard(request))
_route(api_spec.CHANGES, lambda api, request: api.changes.changes(request))
_route(api_spec.STREAM, lambda api, request: api.changes.stream(request))
_route(api_spec.BOARDS, lambda api, request: api.scores.list_boards(request))
_route(api_spec.ME, lambda api, request: api.scores.me(request))
_route(api_spec.ACHIEVEMENTS, lambda api, request: api.profile.achievements(request))
_route(api_spec.SETTINGS, lambda api, request: api.profile.settings(request))
_route(api_spec.CHANGE_SETTINGS, lambda api, request: api.profile.change_settings(request))
_route(api_spec.TICKET, lambda api, request: api.ticket_handlers.issue(request))
_route(api_spec.SPECTATOR, lambda api, request: api.spectators.enter(request))
_route(api_spec.HEALTHZ, lambda api, request: api.health.healthz(request))
_route(api_spec.READYZ, lambda api, request: api.health.readyz(request))
_route(api_spec.METRICS, lambda api, request: api.health.metrics_page(request))
_undescribed("openapi", "/openapi.json", lambda api, request: api.health.openapi(request), "GET")
_undescribed("index", "/", lambda api, request: api.pages.page(request, "index.html"), "GET")
_undescribed("static", "/static/<path:name>", lambda api, request, name: api.pages.page(request, f"static/{name}"), "GET")
_undescribed("live", "/ws", lambda api, request: api.socket, "GET")
_undescribed(
    *("socket_io", "/socket.io/", lambda api, request: api.socketio),
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),  # Engine.IO responds to each of them itself
)
