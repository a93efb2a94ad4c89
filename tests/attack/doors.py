"""Every door of a running server, and how a token is shown there. A door answers in one word what became of it.

``admitted``, or the code of the refusal in lower case (``invalid_token``, ``forbidden``). Whatever is neither counts as admitted.
"""

from __future__ import annotations

import http.client
import json
import os
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.journeys.server import ServerProcess

ADMITTED: Final = "admitted"
INVALID: Final = "invalid_token"
FORBIDDEN: Final = "forbidden"
#: How often one socket may be spoken to before it has said too much (LiveSettings.frames_per_second_max).
FRAMES_MAX: Final = 80

ACTION: Final = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-1"}}
SUBMISSION: Final = {**ACTION, "actionId": "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "timestamp": 1, "signature": "v1.x.e30.e30"}
#: Handlers that ask for a token, by method and path; and a body that is good enough to be judged.
HTTP_DOORS: Final[dict[str, object]] = {
    "POST /api/v1/scores/submit": SUBMISSION,
    "GET /api/v1/scores/leaderboard": None,
    "GET /api/v1/scores/me": None,
    "GET /api/v1/scores/changes": None,
    "GET /api/v1/scores/stream": None,
    "GET /api/v1/me/achievements": None,
    "GET /api/v1/me/settings": None,
    "PUT /api/v1/me/settings": {"spectators": True},
    "POST /api/v1/auth/ticket": {},
    "POST /api/v1/actions/initialize": ACTION,
}
#: The other doors that a token may be shown at.
SPECTATOR: Final = "POST /api/v1/auth/spectator"
OTHER_DOORS: Final = (
    SPECTATOR,
    "GET /ws",
    "GET / (WEBSOCKET_PORT)",
    "/ws auth",
    "/ws auth:refresh",
    "Socket.IO CONNECT over polling",
    "Socket.IO CONNECT over WebSocket",
    "Socket.IO auth",
    "Socket.IO auth:refresh",
)
TOKEN_DOORS: Final = (*HTTP_DOORS, *OTHER_DOORS)
#: Where anybody comes in, and what keeps it harmless: shown in test_open_doors.py.
OPEN_DOORS: Final = ("GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json", "GET /", "GET /static/<path:name>")
#: Events that a socket may send, over either protocol, and what they want of it.
EVENTS: Final[dict[str, Any]] = {
    "auth": {"token": "x"},
    "auth:refresh": {"token": "x"},
    "join:leaderboard": None,
    "leave:leaderboard": None,
    "spectate:user": "amy",
    "unspectate:user": "amy",
}


class Visitor:
    """One who goes from door to door, over connections of its own that it keeps."""

    def __init__(self, server: ServerProcess, honest: Callable[[], str]) -> None:
        self.server = server
        self.honest = honest
        self._http: http.client.HTTPConnection | None = None
        self._sockets: dict[str, tuple[ClientConnection, int]] = {}

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        for socket, _ in self._sockets.values():
            socket.close()

    def show(self, door: str, token: str) -> str:
        """What becomes of a token at a door."""
        if door in HTTP_DOORS:
            return self.ask(door, token)
        match door:
            case "POST /api/v1/auth/spectator":
                return self._spectator(token)
            case "GET /ws":
                return self._handshake(self.server.port, "/ws", token)
            case "GET / (WEBSOCKET_PORT)":
                return self._handshake(self.server.websocket_port, "/", token)
            case "/ws auth":
                return self._native_auth(token)
            case "/ws auth:refresh":
                return self._native_refresh(token)
            case "Socket.IO CONNECT over polling":
                return self._connect_polling(token)
            case "Socket.IO CONNECT over WebSocket":
                return self._connect_socket(token)
            case "Socket.IO auth" | "Socket.IO auth:refresh":
                return self._socketio_refresh(door.rpartition(" ")[2], token)
        raise LookupError(door)

    # HTTP

    def ask(self, door: str, token: str | None, query: str = "") -> str:
        """The outcome of a request with a token in its header (or none)."""
        method, path = door.split(" ", 1)
        status, body = self.request(
            method, path + (query or ("?wait=0" if path.endswith("changes") else "")), token, HTTP_DOORS.get(door)
        )
        return outcome_of(status, body)

    def request(self, method: str, path: str, token: str | None = None, body: object = None) -> tuple[int, Any]:
        """(status, JSON or bytes). A stream is left as soon as its head is read."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self._sent(method, path, headers, data)

    def _sent(self, method: str, path: str, headers: dict[str, str], data: bytes | None) -> tuple[int, Any]:
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            self._http.request(method, path, data, headers)
            answer = self._http.getresponse()
        except (ConnectionError, http.client.HTTPException):  # it was closed after the answer before
            self._http.close()
            self._http.request(method, path, data, headers)
            answer = self._http.getresponse()
        if answer.getheader("Content-Type", "").startswith("text/event-stream"):
            self._http.close()
            return answer.status, b""
        text = answer.read()
        is_json = answer.getheader("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(text) if is_json and text else text

    def _spectator(self, token: str) -> str:
        """A token in the request keeps its spectator's name; one that is not believed must not give its name to anybody."""
        status, body = self.request("POST", "/api/v1/auth/spectator", token, {})
        if status != 200:
            return outcome_of(status, body)
        name = claims_of(body["data"]["token"]).get("userId", "")
        return INVALID if name.startswith("spectator-") and name != claims_of(token).get("userId") else ADMITTED

    # WebSockets

    def _handshake(self, port: int, path: str, token: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        key = b64encode(os.urandom(16)).decode()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
        try:
            connection.request("GET", path, None, {**upgrade, "Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return ADMITTED if answer.status == 101 else outcome_of(answer.status, json.loads(answer.read()))
        finally:
            connection.close()

    def _native_auth(self, token: str) -> str:
        with native_socket(self.server) as socket:
            outcome, _ = told(socket, "auth", {"token": token})
            if outcome not in (ADMITTED, FORBIDDEN, "malformed_request"):
                assert closed_with(socket) == 4401
            return as_invalid(outcome)

    def _native_refresh(self, token: str) -> str:
        socket = self._kept("native", lambda: native_socket(self.server, self.honest()))
        return as_invalid(told(socket, "auth:refresh", {"token": token})[0])

    def _connect_socket(self, token: str) -> str:
        socket = self._kept("socketio", lambda: engine_socket(self.server))
        outcome = connected(socket, token)
        if outcome == ADMITTED:
            self._sockets.pop("socketio")
            socket.close()
        return outcome

    def _socketio_refresh(self, event: str, token: str) -> str:
        def fresh() -> ClientConnection:
            socket = engine_socket(self.server)
            assert connected(socket, self.honest()) == ADMITTED
            return socket

        return as_invalid(emitted(self._kept("refresh", fresh), event, {"token": token}))

    def _connect_polling(self, token: str) -> str:
        query = "/socket.io/?EIO=4&transport=polling"
        _, hello = self._sent("GET", query, {}, None)
        session = f"{query}&sid={json.loads(hello[1:])['sid']}"
        status, _ = self._sent("POST", session, {"Content-Type": "text/plain"}, b"40" + json.dumps({"token": token}).encode())
        assert status == 200
        _, answer = self._sent("GET", session, {}, None)
        self._sent("POST", session, {"Content-Type": "text/plain"}, b"1")
        return refused_connect(answer.decode())

    def _kept(self, name: str, make: Callable[[], ClientConnection]) -> ClientConnection:
        """A connection that has not said too much yet."""
        socket, used = self._sockets.pop(name, (None, 0))
        if socket is None or used >= FRAMES_MAX or socket.close_code is not None:
            if socket is not None:
                socket.close()
            socket, used = make(), 0
        self._sockets[name] = (socket, used + 1)
        return socket


def outcome_of(status: int, body: Any) -> str:
    """``admitted`` unless an answer says no by its status and its code."""
    if status in (401, 403) and isinstance(body, dict):
        return str(body["error"]).lower()
    return ADMITTED


def as_invalid(outcome: str) -> str:
    """A socket's word for what it cannot even read as a token."""
    return INVALID if outcome == "malformed_request" else outcome


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, believed or not."""
    try:
        payload = token.split(".")[1]
        said = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _opened(url: str) -> ClientConnection:
    return ExitStack().enter_context(connect(url, compression=None))


def native_socket(server: ServerProcess, token: str | None = None) -> ClientConnection:
    """A socket of the native protocol, with a player's token if one is given; the caller closes it."""
    socket = _opened(f"ws://127.0.0.1:{server.port}/ws")
    return socket if token is None else _proved(socket, token)


def told(socket: ClientConnection, event: str, data: Any) -> tuple[str, Any]:
    """(the outcome of an event of the native protocol, what was answered)."""
    socket.send(json.dumps({"event": event, "id": 1, **({} if data is None else {"data": data})}))
    while True:
        heard = json.loads(socket.recv(timeout=5))
        if heard["event"] == "ack":
            return ADMITTED, heard
        if heard["event"] == "error":
            return str(heard["data"]["error"]).lower(), heard


def _proved(socket: ClientConnection, token: str) -> ClientConnection:
    assert told(socket, "auth", {"token": token})[0] == ADMITTED
    return socket


def closed_with(socket: ClientConnection, seconds_max: float = 5.0) -> int | None:
    """The code of the server's goodbye, after whatever else it says."""
    try:
        while True:
            socket.recv(timeout=seconds_max)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


def engine_socket(server: ServerProcess) -> ClientConnection:
    """A WebSocket of Engine.IO, its hello read; the caller closes it."""
    socket = _opened(f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket")
    assert str(socket.recv(timeout=5)).startswith("0{")
    return socket


def connected(socket: ClientConnection, token: str, **more: Any) -> str:
    """The outcome of a CONNECT."""
    socket.send("40" + json.dumps({"token": token, **more}))
    return refused_connect(str(socket.recv(timeout=5)))


def refused_connect(answer: str) -> str:
    """Socket.IO says no in one way: 44."""
    return INVALID if answer == '44{"message":"Authentication failed"}' else ADMITTED


def emitted(socket: ClientConnection, event: str, data: Any) -> str:
    """The outcome of an event of Socket.IO, by its acknowledgement."""
    socket.send("421" + json.dumps([event] if data is None else [event, data]))
    while not (heard := str(socket.recv(timeout=5))).startswith("431"):
        pass
    (said,) = json.loads(heard[3:])
    return str(said["error"]).lower() if "error" in said else ADMITTED
