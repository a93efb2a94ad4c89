"""Every endpoint of the server: those that take a token, those that need none, and which outcomes mean "admitted".

`test_every_endpoint_is_named.py` compares these lists with the routes, the events and the ways to open a socket.
"""

from __future__ import annotations

from typing import Any, Final

ADMITTED: Final = "admitted"
INVALID: Final = "invalid_token"
FORBIDDEN: Final = "forbidden"
UNAUTHORIZED: Final = "unauthorized"

SUBMIT: Final = "POST /api/v1/scores/submit"
INITIALIZE: Final = "POST /api/v1/actions/initialize"
TICKET: Final = "POST /api/v1/auth/ticket"
SPECTATOR: Final = "POST /api/v1/auth/spectator"
ACTION: Final[dict[str, Any]] = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-1"}}
SUBMISSION: Final = {**ACTION, "actionId": "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "timestamp": 1, "signature": "v1.x.e30.e30"}
#: Routes that need a token, each with a body of the right form.
HTTP_ENDPOINTS: Final[dict[str, object]] = {
    SUBMIT: SUBMISSION,
    INITIALIZE: ACTION,
    TICKET: {},
    "GET /api/v1/actions": None,
    "GET /api/v1/boards": None,
    "GET /api/v1/scores/leaderboard": None,
    "GET /api/v1/scores/me": None,
    "GET /api/v1/scores/changes": None,
    "GET /api/v1/scores/stream": None,
    "GET /api/v1/me/achievements": None,
    "GET /api/v1/me/settings": None,
    "PUT /api/v1/me/settings": {"spectators": True},
}
#: Endpoints for players only; a spectator gets 403.
PLAYERS_ONLY: Final = (SUBMIT, INITIALIZE, "PUT /api/v1/me/settings")
#: Endpoints that answer with data of the player alone.
OWN: Final = ("GET /api/v1/scores/me", "GET /api/v1/me/achievements", "GET /api/v1/me/settings")
#: HTTP endpoints that take a ticket in place of a token.
TICKET_ENDPOINTS: Final = ("GET /api/v1/scores/changes", "GET /api/v1/scores/stream")
#: Endpoints of sockets, each with a case in `ClientSession.show`.
LIVE_ENDPOINTS: Final = (
    "GET /ws",
    "GET / (WEBSOCKET_PORT)",
    "/ws auth",
    "/ws auth:refresh",
    "Socket.IO CONNECT over polling",
    "Socket.IO CONNECT over WebSocket",
    "Socket.IO CONNECT (WEBSOCKET_PORT)",
    "Socket.IO auth",
    "Socket.IO auth:refresh",
)
#: Those at which a new session of a player begins.
SESSION_STARTS: Final = tuple(
    endpoint for endpoint in LIVE_ENDPOINTS if not endpoint.endswith("refresh") and endpoint != "Socket.IO auth"
)
TOKEN_ENDPOINTS: Final = (*HTTP_ENDPOINTS, SPECTATOR, *LIVE_ENDPOINTS)
#: Routes that need no token.
OPEN_ENDPOINTS: Final = ("GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json", "GET /", "GET /static/<path:name>")
#: Events that a client may send over either protocol, each with valid data.
EVENTS: Final[dict[str, Any]] = {
    "auth": {"token": "x"},
    "auth:refresh": {"token": "x"},
    "join:leaderboard": None,
    "leave:leaderboard": None,
    "spectate:user": "amy",
    "unspectate:user": "amy",
}


def outcome_of(status: int, body: Any) -> str:
    """``admitted``, or the code of the refusal in lower case. Any other answer (a fault, a limit) fails the test."""
    if status in (401, 403):
        return str(body["error"]).lower()
    assert status in (200, 304, 400, 409), (status, body)  # 400 and 409: the token was admitted, the submission was refused
    return ADMITTED
