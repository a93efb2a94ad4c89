"""A client that shows a token at any endpoint, over connections that it keeps open."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, Final

from websockets.sync.client import ClientConnection

from tests.attack.endpoints import ADMITTED, FORBIDDEN, HTTP_ENDPOINTS, INVALID, SPECTATOR, outcome_of
from tests.attack.instance import claims_of
from tests.attack.sockets import (
    answered,
    closed_with,
    connect_outcome,
    connected,
    emitted,
    engine_socket,
    handshake,
    native_socket,
)
from tests.journeys.server import ServerProcess

#: How many frames are sent on one socket before a new one is opened, because of LiveLimits.frames_per_second_max.
FRAMES_MAX: Final = 80
CLOSE_CODES: Final = {INVALID: 4401, FORBIDDEN: 4403}


class ClientSession:
    """``honest`` makes a valid token, for sockets that need a player before they can show another token."""

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

    def show(self, endpoint: str, token: str) -> str:
        """The outcome of a token at an endpoint."""
        if endpoint in HTTP_ENDPOINTS:
            return self.ask(endpoint, token)
        match endpoint:
            case "POST /api/v1/auth/spectator":
                return self._spectator(token)
            case "GET /ws":
                return handshake(self.server.port, "/ws", token)
            case "GET / (WEBSOCKET_PORT)":
                return handshake(self.server.websocket_port, "/", token)
            case "/ws auth":
                return self._native_auth(token)
            case "/ws auth:refresh":
                socket = self._open_socket("native", lambda: native_socket(self.server, self.honest()))
                return answered(socket, "auth:refresh", {"token": token})[0]
            case "Socket.IO CONNECT over polling":
                return self._connect_polling(token)
            case "Socket.IO CONNECT over WebSocket" | "Socket.IO CONNECT (WEBSOCKET_PORT)":
                return self._connect_socket(endpoint, token)
            case "Socket.IO auth" | "Socket.IO auth:refresh":
                socket = self._open_socket("socketio", lambda: engine_socket(self.server, self.honest()))
                return emitted(socket, endpoint.rpartition(" ")[2], {"token": token})
        raise LookupError(f"no way to show a token at {endpoint}")

    def ask(self, endpoint: str, token: str | None, query: str = "") -> str:
        """The outcome of a request at an HTTP endpoint, with a token in its header or without one."""
        method, path = endpoint.split(" ", 1)
        query = query or ("?wait=0" if path.endswith("changes") else "")
        return outcome_of(*self.request(method, path + query, token, HTTP_ENDPOINTS.get(endpoint)))

    def request(self, method: str, path: str, token: str | None = None, body: object = None) -> tuple[int, Any]:
        """(status, JSON or bytes) of a request with a JSON body."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is None:
            return self.send(method, path, headers, None)
        return self.send(method, path, {**headers, "Content-Type": "application/json"}, json.dumps(body).encode())

    def send(self, method: str, path: str, headers: dict[str, str], data: bytes | None) -> tuple[int, Any]:
        """(status, JSON or bytes). The connection of a stream is closed after the response head."""
        if self._http is None:
            self._http = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=15)
        try:
            self._http.request(method, path, data, headers)
            answer = self._http.getresponse()
        except (ConnectionError, http.client.HTTPException):  # the server closed it after the last answer
            self._http.close()
            self._http.request(method, path, data, headers)
            answer = self._http.getresponse()
        kind = answer.getheader("Content-Type", "")
        if kind.startswith("text/event-stream"):
            self._http.close()
            return answer.status, b""
        text = answer.read()
        return answer.status, json.loads(text) if kind.startswith("application/json") and text else text

    def _spectator(self, token: str) -> str:
        """Admitted if the endpoint keeps the name of the shown token. It must do so only for a spectator's token of its own."""
        _, body = self.request("POST", SPECTATOR.split(" ")[1], token, {})
        name = claims_of(body["data"]["token"])["userId"]
        return INVALID if name.startswith("spectator-") and name != claims_of(token).get("userId") else ADMITTED

    def _native_auth(self, token: str) -> str:
        with native_socket(self.server) as socket:
            result, answer = answered(socket, "auth", {"token": token})
            if result in CLOSE_CODES and answer["data"]["error"] != "MALFORMED_REQUEST":
                assert closed_with(socket) == CLOSE_CODES[result]
            return result

    def _connect_socket(self, endpoint: str, token: str) -> str:
        socket = self._open_socket(endpoint, lambda: engine_socket(self.server, own_port="WEBSOCKET_PORT" in endpoint))
        result = connected(socket, token)
        if result == ADMITTED:
            self._sockets.pop(endpoint)
            socket.close()
        return result

    def _connect_polling(self, token: str) -> str:
        query, kind = "/socket.io/?EIO=4&transport=polling", {"Content-Type": "text/plain"}
        _, hello = self.send("GET", query, {}, None)
        session = f"{query}&sid={json.loads(hello[1:])['sid']}"
        assert self.send("POST", session, kind, b"40" + json.dumps({"token": token}).encode())[0] == 200
        _, answer = self.send("GET", session, {}, None)
        self.send("POST", session, kind, b"1")
        return connect_outcome(answer.decode())

    def _open_socket(self, name: str, make: Callable[[], ClientConnection]) -> ClientConnection:
        """The open socket of this name, or a new one if it has sent FRAMES_MAX frames."""
        socket, used = self._sockets.pop(name, (None, 0))
        if socket is None or used >= FRAMES_MAX or socket.close_code is not None:
            if socket is not None:
                socket.close()
            socket, used = make(), 0
        self._sockets[name] = (socket, used + 1)
        return socket
