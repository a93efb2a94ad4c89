"""Fake scoreboard server: static files under the strict policy, tokens, and a room whose events the test chooses.

It implements docs/protocol-live.md on its own loopback port.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.pages.fake_connection import FakeConnection

PAGES = Path(__file__).parents[2] / "scoreboard" / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN_EXPIRED, SUSPENDED, SERVICE_RESTART = 4401, 4403, 1012


def token_for(user_id: str, username: str, role: str = "user", life_s: int = 3600, number: int = 0) -> str:
    """A token with the claims of a real one and a meaningless signature."""

    def piece(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    now = int(time.time())
    claims = {"userId": user_id, "username": username, "role": role, "iat": now, "exp": now + life_s, "jti": str(number)}
    return f"{piece({'alg': 'HS256'})}.{piece(claims)}.c2lnbmVk"


def user_of(token: str) -> str:
    """The user id in the token's claims."""
    payload = token.split(".")[1]
    user_id: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["userId"]
    return user_id


def iso(age_s: float = 0) -> str:
    """The time so many seconds ago, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))


def rows(*players: tuple[str, int], age_s: float = 0) -> list[dict[str, Any]]:
    """Leaderboard rows for (username, score) pairs, best first; the user id is `user_id_of` the name."""
    return [
        {"rank": rank, "userId": user_id_of(name), "username": name, "score": score, "lastUpdated": iso(age_s), "avatar": None}
        for rank, (name, score) in enumerate(players, 1)
    ]


def user_id_of(username: str) -> str:
    """The user id that `rows` gives a username."""
    return f"user-{zlib.crc32(username.encode())}"


class FakeServer(ThreadingHTTPServer):
    """Serves on ``url`` until it is closed; a broadcast goes to every connection in the room."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.is_public = True
        self.refuses_connections = False
        #: Answers no message of a WebSocket.
        self.is_silent = False
        self.is_degraded = False
        self.is_unavailable = False
        self.join_count = 0
        self.spectator_token_s = 3600
        self.rejected_tokens: set[str] = set()
        #: Whether a token that is no JWT is refused as a request of a wrong form, not as a token.
        self.refuses_forms = False
        self.own_rank: dict[str, Any] = {"score": 0, "rank": None, "percentile": None, "lastUpdated": None}
        self.spectator_tokens: list[str] = []
        #: What is served in place of a file; None is 404.
        self.replaced_files: dict[str, str | None] = {}
        #: `Retry-After` of each refusal of a spectator token to come.
        self.spectator_refusals: list[str] = []
        #: When each of them was sent, in seconds.
        self.refused_at_s: list[float] = []
        self.accepted_tokens: list[str] = []
        self.connection_count = 0
        self._board: dict[str, Any] = {"leaderboard": [], "total": 0, "epoch": 1, "seq": 0}
        self._room: set[FakeConnection] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Close all connections and stop."""
        self.close_connections(SERVICE_RESTART)
        self.shutdown()
        self.server_close()

    def set_board(self, leaderboard: list[dict[str, Any]], total: int | None = None, epoch: int = 1) -> None:
        """Replace the board and broadcast it."""
        total = len(leaderboard) if total is None else total
        self._board = {"leaderboard": leaderboard, "total": total, "epoch": epoch, "seq": self._board["seq"] + 1}
        self.broadcast("leaderboard:update", "LEADERBOARD_REFRESH", self.snapshot())

    def change_score(self, username: str, score: int, rank: int | None, previous_rank: int | None) -> None:
        """Change a score below the top ten and broadcast it."""
        self._board["seq"] += 1
        player = {"userId": user_id_of(username), "username": username}
        change = {"newScore": score, "newRank": rank, "previousRank": previous_rank}
        cursor = {"timestamp": iso(), "epoch": self._board["epoch"], "seq": self._board["seq"]}
        self.broadcast("score:update", "SCORE_CHANGED", player | change | cursor)

    def broadcast(self, event: str, kind: str, data: dict[str, Any]) -> None:
        """Send one event to every connection in the room."""
        with self._lock:
            for connection in self._room:
                connection.send({"event": event, "data": {"type": kind, "data": data}})

    def close_connections(self, code: int) -> None:
        """Close every connection in the room with this code."""
        with self._lock:
            for connection in self._room:
                connection.close(code)

    def snapshot(self) -> dict[str, Any]:
        """The payload of a `leaderboard:update` now."""
        return self._board | {"timestamp": iso()} | ({"degraded": True} if self.is_degraded else {})

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve both protocols on one port: peek at the request line to recognize a WebSocket."""
        if request.recv(16, socket.MSG_PEEK).startswith(b"GET /ws "):
            if not self.refuses_connections:
                self.connection_count += 1
                connection = FakeConnection(request)
                for message in connection:
                    if not self.is_silent:
                        self._answer(connection, message)
                with self._lock:
                    self._room.discard(connection)
        else:
            super().finish_request(request, client_address)

    def _answer(self, connection: FakeConnection, message: dict[str, Any]) -> None:
        ack: dict[str, Any] = {"event": "ack", "id": message["id"], "data": {}}
        if message["event"] == "auth":
            token = message["data"]["token"]
            if token in self.rejected_tokens:
                connection.close(TOKEN_EXPIRED)
                return
            if self.refuses_forms and not token.isascii():
                refusal = {"code": 4000, "error": "MALFORMED_REQUEST", "message": "data.token: is not valid"}
                connection.send({"event": "error", "id": message["id"], "data": refusal})
                return
            if connection.user_id not in (None, user_of(token)):
                ack = {
                    "event": "error",
                    "id": message["id"],
                    "data": {"code": 4030, "error": "FORBIDDEN", "message": "another's"},
                }
            else:
                connection.user_id = user_of(token)
                self.accepted_tokens.append(token)
            connection.send(ack)
        elif message["event"] == "join:leaderboard" and self.is_unavailable:
            refusal = {"code": 5030, "error": "UNAVAILABLE", "message": "The board cannot be read now"}
            connection.send({"event": "error", "id": message["id"], "data": refusal})
        elif message["event"] == "join:leaderboard":
            self.join_count += 1
            with self._lock:  # a broadcast after the ack must reach this connection
                connection.send(ack)
                snapshot = {"type": "LEADERBOARD_REFRESH", "data": self.snapshot()}
                connection.send({"event": "leaderboard:update", "data": snapshot})
                self._room.add(connection)


class RequestHandler(BaseHTTPRequestHandler):
    """The HTTP endpoints."""

    server: FakeServer

    def do_GET(self) -> None:
        if self.path == "/api/v1/scores/me":
            self._json(200, {"success": True, "data": self.server.own_rank})
            return
        name = "index.html" if self.path == "/" else self.path.lstrip("/")
        path = PAGES / name
        if (replaced := self.server.replaced_files.get(name)) is not None:
            self._send(200, mimetypes.types_map[path.suffix], replaced.encode())
        elif name in self.server.replaced_files or not path.is_file():
            self._json(404, {"success": False})
        else:
            self._send(200, mimetypes.types_map[path.suffix], path.read_bytes())

    def do_POST(self) -> None:
        if self.server.spectator_refusals:
            self.server.refused_at_s.append(time.monotonic())
            self._send(503, "text/html", b"<h1>Busy</h1>", {"Retry-After": self.server.spectator_refusals.pop()})
        elif self.path == "/api/v1/auth/spectator" and self.server.is_public:
            number = len(self.server.spectator_tokens)
            old = self.headers.get("Authorization", "").removeprefix("Bearer ")
            user_id = user_of(old) if old else f"spectator-{number}"
            token = token_for(user_id, "spectator", "spectator", self.server.spectator_token_s, number)
            self.server.spectator_tokens.append(token)
            self._json(200, {"success": True, "data": {"token": token, "expiresAt": iso(-self.server.spectator_token_s)}})
        else:
            self._json(404, {"success": False})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log."""
