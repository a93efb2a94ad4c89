"""The attack suite names every route, event and way to open a socket; a new one fails here until it is named."""

from __future__ import annotations

import re

from scoreboard.net.websocket.handshake import PATHS
from scoreboard.realtime.engineio.query import TRANSPORTS
from scoreboard.realtime.requests import _HANDLERS
from scoreboard.realtime.socketio.auth import _Given
from scoreboard.realtime.socketio.resource import SOCKETIO_PATH
from scoreboard.web.app import OPERATIONS, Api
from scoreboard.web.query_params import _NAMES
from tests.attack.endpoints import EVENTS, HTTP_ENDPOINTS, OPEN_ENDPOINTS, TOKEN_ENDPOINTS
from tests.attack.holes import ROOT

HOW = "docs/security.md says how to add an endpoint: When you add an endpoint"
#: Routes whose resource checks tokens itself, and the endpoints of each.
SOCKETS = {
    "GET /ws": {"GET /ws", "/ws auth", "/ws auth:refresh"},
    f"* {SOCKETIO_PATH.decode()}": {
        "Socket.IO CONNECT over polling",
        "Socket.IO CONNECT over WebSocket",
        "Socket.IO CONNECT (WEBSOCKET_PORT)",
        "Socket.IO auth",
        "Socket.IO auth:refresh",
    },
}


def routes() -> set[str]:
    """Every route as ``METHOD path``; ``*`` for one that takes every method. HEAD is GET without a body."""
    found = set()
    for rule in Api.app.url_map.iter_rules():
        methods = set(rule.methods or ())
        methods -= {"HEAD"} if "GET" in methods else set()
        named = ["*"] if len(methods) > 3 else sorted(methods)
        found |= {f"{method} {rule.rule}" for method in named}
    return found


def unnamed(found: set[str]) -> set[str]:
    """Routes that the suite does not name."""
    return found - set(TOKEN_ENDPOINTS) - set(OPEN_ENDPOINTS) - set(SOCKETS)


def test_the_suite_names_every_route() -> None:
    assert unnamed(routes()) == set(), HOW
    assert unnamed(routes() | {"GET /api/v1/new"}) == {"GET /api/v1/new"}, "a new route is reported"


def test_the_suite_names_no_removed_endpoint() -> None:
    named = {
        endpoint
        for endpoint in (*TOKEN_ENDPOINTS, *OPEN_ENDPOINTS)
        if endpoint.split(" ")[0].isupper() and "WEBSOCKET_PORT" not in endpoint
    }
    assert {endpoint for endpoint in named if endpoint not in routes()} == set()
    assert set().union(*SOCKETS.values()) <= set(TOKEN_ENDPOINTS)


def test_the_suite_names_every_event() -> None:
    assert set(_HANDLERS) == set(EVENTS), HOW


def test_the_websocket_port_serves_only_its_two_endpoints() -> None:
    """WEBSOCKET_PORT has no routes: the composition root gives it these resources and no others."""
    source = (ROOT / "scoreboard" / "service" / "edge.py").read_text()
    found = re.search(
        r"socket_site = self\._build_site\(ResourceByPath\((\{[^}]*\}), WebSocketResource\(realtime\.native\)\)\)", source
    )
    assert found is not None
    assert found[1] == "{SOCKETIO_PATH: realtime.socketio}"
    assert {endpoint for endpoint in TOKEN_ENDPOINTS if "WEBSOCKET_PORT" in endpoint} == {
        "GET / (WEBSOCKET_PORT)",
        "Socket.IO CONNECT (WEBSOCKET_PORT)",
    }


def test_the_suite_uses_every_way_to_open_a_socket() -> None:
    assert set(PATHS) == {"/", "/ws"}
    assert set(TRANSPORTS) == {"polling", "websocket"}


def test_the_suite_forges_every_credential() -> None:
    assert set(_Given.__struct_fields__) == {"token", "recovery", "pid", "offset"}
    assert set(_NAMES) == {"since", "wait", "ticket", "lastEventId"}, "lastEventId is a cursor, and no credential"


def test_openapi_marks_exactly_the_routes_that_need_a_token_as_secured() -> None:
    answered = {f"{one.method.upper()} {one.path}": one.secured for one in OPERATIONS}
    assert {endpoint for endpoint, secured in answered.items() if secured} == set(HTTP_ENDPOINTS)
