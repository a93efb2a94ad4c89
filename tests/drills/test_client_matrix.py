"""The clients that people use follow a board over a restart of the server on the same port: Node's, Python's, and a browser's."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docs.pages import EXAMPLES
from tests.drills.python_clients import PYTHON_CLIENTS, PythonClient, Received
from tests.drills.test_proxies import HOST, certificate, nginx, running
from tests.journeys.server import ServerProcess, free_port
from tests.pages.chromium import chromium
from tests.programs import node_modules, program

__all__ = ["certificate"]

NODE = Path(__file__).parents[1] / "journeys" / "node"
PLAYER_S_MAX = 15.0
#: (client of matrix.mjs, its transports)
NODE_CLIENTS = [
    *(("v4", transports) for transports in ("polling", "websocket", "polling,websocket")),
    *(("v3", transports) for transports in ("polling", "websocket", "polling,websocket")),
    *((f"{version}-keep-alive", transports) for version in ("v4", "v3") for transports in ("polling", "polling,websocket")),
    ("ws", ""),
    ("eventsource", ""),
]
ORIGIN = "https://game.example"
WAIT = (EXAMPLES / "wait.mjs").read_text().replace("export ", "")
PAGE = """
window.received = {};
let failures = 0;
const take = (name) => (data) => (window.received[name] ??= []).push(JSON.stringify(data));
window.follow = (name, transports, url, token) => {
  const socket = io(url, { auth: { token }, transports, extraHeaders: { "X-Game": "1" }, withCredentials: true,
                           reconnectionDelay: 200, reconnectionDelayMax: 500 });
  socket.on("connect", () => socket.emit("join:leaderboard"));
  for (const event of ["leaderboard:update", "score:update"]) socket.on(event, take(name));
};
window.followStream = async (name, url, token) => {
  const again = () => setTimeout(followStream, waitMs(failures++), name, url, token);
  try {
    const answer = await fetch(`${url}/api/v1/auth/ticket`,
                               { method: "POST", headers: { Authorization: `Bearer ${token}` }, credentials: "include" });
    const { ticket } = (await answer.json()).data;
    const source = new EventSource(`${url}/api/v1/scores/stream?ticket=${ticket}`, { withCredentials: true });
    for (const event of ["leaderboard:update", "score:update"]) source.addEventListener(event, (e) => take(name)(e.data));
    source.onopen = () => { failures = 0; };
    source.onerror = () => { source.close(); again(); };
  } catch { again(); }
};
"""


@contextmanager
def node_client(name: str, transports: str, url: str, token: str) -> Iterator[Received]:
    """One client of matrix.mjs in a process of its own."""
    received: Received = []
    command = [program("node", "nodejs"), "matrix.mjs", name, transports, url, token]
    process = subprocess.Popen(command, cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(target=received.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        yield received
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
        reader.join(5)
        process.stdout.close()


@contextmanager
def python_client(follow: PythonClient, url: str, token: str) -> Iterator[Received]:
    """One Python client in a thread."""
    received, stop = Received(), threading.Event()
    thread = threading.Thread(target=follow, args=(url, token, received, stop), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        stop.set()


def wait_for(player: str, unread: Callable[[], dict[str, Received]]) -> None:
    """Wait until all clients have received an event of the player."""
    until = time.monotonic() + PLAYER_S_MAX
    while missing := [name for name, texts in unread().items() if not any(player in text for text in list(texts))]:
        assert time.monotonic() < until, f"{missing} received no event of {player}"
        time.sleep(0.1)


def over_a_restart(server: ServerProcess, unread: Callable[[], dict[str, Received]]) -> None:
    """Assert that all clients receive the snapshot, a change, and after a restart a change again."""
    wait_for("first-player", unread)
    server.play("second-player")
    wait_for("second-player", unread)
    assert server.stop() == 0
    server.start()
    server.play("third-player")
    wait_for("third-player", unread)


def test_the_clients_of_node_and_python_come_back_after_a_restart(new_server: Callable[..., ServerProcess]) -> None:
    node_modules(NODE, "socket.io-client-3")
    server = new_server().start()
    server.play("first-player")
    clients: dict[str, Received] = {}
    with ExitStack() as stack:
        token = server.issue_token("viewer")
        for name, transports in NODE_CLIENTS:
            clients[f"{name} {transports}"] = stack.enter_context(node_client(name, transports, server.url, token))
        for name, follow in PYTHON_CLIENTS.items():
            clients[name] = stack.enter_context(python_client(follow, server.url, token))
        over_a_restart(server, lambda: clients)
    assert "Traceback" not in server.log


def test_a_page_of_another_origin_comes_back_through_nginx(
    new_server: Callable[..., ServerProcess], certificate: Path, tmp_path: Path
) -> None:
    script = (node_modules(NODE, "socket.io-client-3") / "socket.io-client" / "dist" / "socket.io.min.js").read_text()
    server = new_server(CORS_ORIGIN=ORIGIN, TRUSTED_PROXIES="127.0.0.1").start()
    server.play("first-player")
    port, token = free_port(), server.issue_token("viewer")
    url = f"https://{HOST}:{port}"
    with (
        running(nginx(tmp_path, certificate, port, server.port), tmp_path, certificate, port),
        chromium(None, f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--disable-features=LocalNetworkAccessChecks") as browser,
    ):
        page = browser.new_context(ignore_https_errors=True).new_page()
        html = "<!doctype html><meta charset=utf-8><title>A game</title>"
        page.route(f"{ORIGIN}/", lambda route: route.fulfill(content_type="text/html", body=html))
        page.goto(f"{ORIGIN}/")
        page.add_script_tag(content=script)
        page.add_script_tag(content=WAIT + PAGE)
        names = ["polling", "websocket", "polling,websocket", "EventSource"]
        for name in names[:-1]:
            page.evaluate(f"follow({json.dumps(name)}, {json.dumps(name.split(','))}, {json.dumps(url)}, {json.dumps(token)})")
        page.evaluate(f"followStream('EventSource', {json.dumps(url)}, {json.dumps(token)})")
        over_a_restart(server, lambda: {name: [] for name in names} | page.evaluate("window.received"))
    assert "Traceback" not in server.log
