"""A real server process for journeys. Tests start it like an operator, use it like a client, and can kill it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

ROOT = Path(__file__).resolve().parents[2]
JWT_SECRET = "journey-jwt-secret-of-forty-bytes-length"
ACTION_SECRET = "journey-action-secret-of-forty-bytes-len"
UP_S_MAX = 60.0
DOWN_S_MAX = 20.0


#: Processes begin at ports that are far apart. After 12,000 ports the first one comes again.
_port_numbers = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A free port, another one at each call, below those that the kernel gives to connections by itself."""
    for number in _port_numbers:
        port = 20_000 + number % 12_000
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class ServerProcess:
    """One server on one data directory. ``more`` extends or overrides its environment; ``tree`` is the directory of its code."""

    data_dir: Path
    more: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    websocket_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    tree: Path = ROOT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.data_dir / "server.log").read_text()

    def environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return {
            **kept,
            "PYTHONPATH": str(self.tree),  # stands before the installed package, which is the one of ROOT
            "SCOREBOARD_ENV": "test",
            "SCOREBOARD_DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "WEBSOCKET_PORT": str(self.websocket_port),
            "JWT_SECRET": JWT_SECRET,
            "ACTION_SIGNATURE_SECRET": ACTION_SECRET,
            "RATE_LIMIT_IP_MAX": "1000000",
            "RATE_LIMIT_MAX_REQUESTS": "1000000",
            "SOCKETS_PER_ADDRESS_MAX": "10000",
            **self.more,
        }

    def start(self, **more: str) -> ServerProcess:
        """Start the server, and wait until it is ready and the board follows the ledger."""
        self.launch(**more)
        self.wait_until_ready()
        self.wait_until_in_sync()
        return self

    def launch(self, **more: str) -> None:
        """Start the server without a wait."""
        self.more.update(more)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "-y", str(self.tree / "scoreboard.tac")],
                cwd=self.tree,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def command_line(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the CLI with this server's settings."""
        scoreboard = str(Path(sys.executable).with_name("scoreboard"))
        return subprocess.run(
            [scoreboard, *words], cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def wait_until_ready(self) -> None:
        until = time.monotonic() + UP_S_MAX
        while time.monotonic() < until:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log[-4000:]}")
            try:
                if self.get("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the server was not ready within {UP_S_MAX} s:\n{self.log[-4000:]}")

    def wait_until_in_sync(self, within_s: float = 30.0) -> None:
        """Wait until the board follows the ledger and no read or receipt is degraded."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with suppress(OSError):
                if self.get("/readyz?strict").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the board did not follow the ledger within {within_s} s:\n{self.log[-4000:]}")

    def stop(self) -> int:
        """Send SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Send SIGKILL: the server has no time to close anything."""
        return self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the server has ended; returns its exit status."""
        assert self.process is not None
        status = self.process.wait(DOWN_S_MAX)
        self.process = None
        return status

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        return self.wait()

    def issue_token(self, user_id: str, *, role: str = "user", life_s: int = 3600) -> str:
        now = int(time.time())
        claims = {"userId": user_id, "username": user_id.title(), "role": role, "iat": now, "exp": now + life_s}
        return jwt.encode(claims, JWT_SECRET, "HS256")

    def get(self, path: str, token: str | None = None, **headers: str) -> Answer:
        return self.request("GET", path, token, None, headers)

    def post(self, path: str, token: str | None, body: object, **headers: str) -> Answer:
        return self.request("POST", path, token, body, headers)

    def request(self, method: str, path: str, token: str | None, body: object, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        sent = {"User-Agent": "journey/1", **headers}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        payload = None
        if body is not None:
            payload, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            text = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            is_json = found.get("content-type", "").startswith("application/json")
            return Answer(response.status, found, json.loads(text) if is_json and text else text.decode())
        finally:
            connection.close()

    def initialize(self, user_id: str, action: str = "COMPLETE_QUEST", **metadata: object) -> dict[str, Any]:
        """The body of a submission, after its action was initialized."""
        asked = {"actionType": action, "metadata": metadata or {"questId": "quest-123"}}
        answer = self.post("/api/v1/actions/initialize", self.issue_token(user_id), asked)
        assert answer.status == 200, answer
        data = answer.body["data"]
        return {**asked, "actionId": data["actionId"], "timestamp": data["timestamp"], "signature": data["signature"]}

    def submit(self, user_id: str, submission: dict[str, Any]) -> Answer:
        return self.post("/api/v1/scores/submit", self.issue_token(user_id), submission)

    def play(self, user_id: str, action: str = "COMPLETE_QUEST", **metadata: object) -> Answer:
        """Initialize an action and submit it."""
        return self.submit(user_id, self.initialize(user_id, action, **metadata))

    def board(self, limit: int = 100, query: str = "") -> list[tuple[str, int]]:
        """(user id, score) of the first players of a board, the global one unless the query names another."""
        answer = self.get(f"/api/v1/scores/leaderboard?limit={limit}{query}", self.issue_token("reader"))
        assert answer.status == 200, answer
        return [(row["userId"], row["score"]) for row in answer.body["data"]["leaderboard"]]
