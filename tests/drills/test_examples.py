"""The examples of docs/examples/, run against a real server: play, follow over each transport, and sign tokens."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLES
from tests.journeys.server import JWT_SECRET, ServerProcess, free_port
from tests.programs import node_modules, program

JOURNEYS_NODE = Path(__file__).parents[1] / "journeys" / "node"
LINE_S_MAX = 15.0
QUEST = {"questId": "quest-123", "difficulty": "hard"}


def run(*command: str, **environment: str) -> str:
    """The output of a program that succeeds and prints nothing to stderr but Node's warnings of experiments."""
    ran = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False, cwd=EXAMPLES
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def node(script: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs an ES module. Node before 22 has its WebSocket behind an option."""
    flags = ("--no-warnings", "--experimental-websocket") if node_release() < 22 else ()
    return (program("node", "nodejs"), *flags, "--input-type=module", "--eval", script, *arguments)


def node_release() -> int:
    return int(run(program("node", "nodejs"), "--version")[1:].split(".")[0])


class Output:
    """The output that a program prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._queue: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stdout: Iterator[str]) -> None:
        for text_line in stdout:
            self._queue.put(text_line)

    def join(self) -> None:
        self._reader.join(5)

    def has_ended(self) -> bool:
        """Whether the program ends within a time."""
        self._reader.join(LINE_S_MAX)
        return not self._reader.is_alive()

    def until(self, found: Callable[[str], bool]) -> str:
        """The first line that fits, within a time."""
        seen, until_s = [], time.monotonic() + LINE_S_MAX
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                text_line = self._queue.get(timeout=left_s)
            except queue.Empty:
                break
            if found(text_line):
                return text_line
            seen.append(text_line)
        raise AssertionError(f"no such line: {seen}")


@contextmanager
def running(*command: str, environment: Mapping[str, str] = os.environ, directory: Path = EXAMPLES) -> Iterator[Output]:
    """A program that goes on until the end of the block."""
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        output = Output(process)
        try:
            yield output
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with what a shell started
            output.join()


NODE_PLAY = """
import { play } from "./play.mjs";
const [api, token] = process.argv.slice(1);
console.log(JSON.stringify(await play(api, token, "COMPLETE_QUEST", { questId: "quest-123", difficulty: "hard" })));
"""


def play_command(language: str, api: str, token: str) -> tuple[str, ...]:
    return (sys.executable, "play.py", api, token) if language == "python" else node(NODE_PLAY, api, token)


@pytest.mark.parametrize("language", ["python", "node"])
def test_play_gets_a_receipt(language: str, live_server: ServerProcess) -> None:
    user_id = f"play-{language}"
    receipt = json.loads(run(*play_command(language, f"{live_server.url}/api/v1", live_server.issue_token(user_id))))
    assert (receipt["scoreAwarded"], receipt["newTotalScore"]) == (250, 250)
    assert live_server.get("/api/v1/scores/me", live_server.issue_token(user_id)).body["data"]["score"] == 250


@pytest.mark.parametrize("language", ["python", "node"])
def test_play_says_why_the_server_refuses(language: str, live_server: ServerProcess) -> None:
    command = play_command(language, f"{live_server.url}/api/v1", live_server.issue_token("x", role="spectator"))
    ran = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert "FORBIDDEN" in ran.stderr
    assert "This token may watch, not play" in ran.stderr


@pytest.mark.parametrize("language", ["python", "node"])
def test_play_waits_for_a_server_that_starts_later(language: str, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server()
    with running(*play_command(language, f"{server.url}/api/v1", server.issue_token("early"))) as output:
        time.sleep(0.5)
        server.start()
        assert json.loads(output.until(lambda text_line: text_line.startswith("{")))["scoreAwarded"] == 250


NODE_FOLLOW = """
import { follow } from "./follow_%s.mjs";
const [url, token] = process.argv.slice(1);
follow(url, async () => token, (event, data) => console.log(JSON.stringify({ event, data })));
"""
FOLLOWERS = {
    "websocket.py": lambda server, token: (sys.executable, "follow_websocket.py", f"ws://127.0.0.1:{server.port}/ws", token),
    "socketio.py": lambda server, token: (sys.executable, "follow_socketio.py", server.url, token),
    "stream.py": lambda server, token: (sys.executable, "follow_stream.py", f"{server.url}/api/v1", token),
    "stream.sh": lambda server, token: (program("bash", "bash"), "follow_stream.sh", f"{server.url}/api/v1", token),
    "websocket.mjs": lambda server, token: node(NODE_FOLLOW % "websocket", f"ws://127.0.0.1:{server.port}/ws", token),
}


@pytest.mark.parametrize("name", FOLLOWERS)
def test_a_follower_gets_what_changes_and_what_it_missed(name: str, new_server: Callable[..., ServerProcess]) -> None:
    """The server restarts meanwhile, and the follower reconnects by itself (curl does not)."""
    server = new_server().start()
    with running(*FOLLOWERS[name](server, server.issue_token("reader"))) as output:
        output.until(lambda text_line: "leaderboard:update" in text_line)
        assert server.play("amy", **QUEST).status == 200
        if name == "stream.sh":
            output.until(lambda text_line: "data:" in text_line and '"userId":"amy"' in text_line)
            return
        output.until(lambda text_line: '"amy"' in text_line and "250" in text_line)
        server.stop()
        server.start()
        assert server.play("bob", **QUEST).status == 200
        output.until(lambda text_line: '"bob"' in text_line)


def test_socket_io_follows_as_well(tmp_path: Path, live_server: ServerProcess) -> None:
    """The example imports socket.io-client by its name, so it runs where the package is installed."""
    (tmp_path / "node_modules").symlink_to(node_modules(JOURNEYS_NODE, "socket.io-client"))
    example = tmp_path / "follow_socketio.mjs"
    example.write_text((EXAMPLES / example.name).read_text())
    (tmp_path / "wait.mjs").write_text((EXAMPLES / "wait.mjs").read_text())
    script = (NODE_FOLLOW % "socketio").replace("./follow_socketio.mjs", str(example))
    with running(*node(script, live_server.url, live_server.issue_token("reader"))) as output:
        output.until(lambda text_line: "leaderboard:update" in text_line)
        assert live_server.play("cai", **QUEST).status == 200
        output.until(lambda text_line: '"cai"' in text_line)


@pytest.mark.parametrize("command", [(sys.executable, "login_service.py"), ("node", "login_service.mjs")])
def test_a_login_service_without_the_secret_says_so_at_the_start(command: tuple[str, str]) -> None:
    words = command if command[0] == sys.executable else (program("node", "nodejs"), command[1])
    without = {name: value for name, value in os.environ.items() if name != "JWT_SECRET"}
    ran = subprocess.run(words, cwd=EXAMPLES, env=without, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "Set JWT_SECRET to the secret that the server has in its JWT_SECRET\n"


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_login_service_gives_a_token_to_a_signed_in_player_only(language: str, live_server: ServerProcess) -> None:
    port = free_port()
    python = (
        "import login_service as service\n"
        "service.SESSIONS['c00kie'] = ('user-7', 'Ada')\n"
        f"service.ThreadingHTTPServer(('127.0.0.1', {port}), service.Login).serve_forever()\n"
    )
    script = (
        'import { login, sessions } from "./login_service.mjs";\n'
        'sessions.set("c00kie", { userId: "user-7", username: "Ada" });\n'
        f'login.listen({port}, "127.0.0.1");\n'
    )
    command = (sys.executable, "-c", python) if language == "python" else node(script)
    with running(*command, environment={**os.environ, "JWT_SECRET": JWT_SECRET}):
        service = ServerProcess(Path("unused"), port=port)
        for _ in range(100):
            try:
                refused = service.request("POST", "/", None, None, {})
                break
            except OSError:
                time.sleep(0.1)
        assert refused.status == 401
        assert service.request("POST", "/", None, None, {"Cookie": "session=other"}).status == 401
        assert "token" not in refused.body
        given = service.request("POST", "/", None, None, {"Cookie": "a=b; session=c00kie"})
    assert (given.status, given.headers["cache-control"]) == (200, "no-store")
    me = live_server.get("/api/v1/scores/me", given.body["token"])
    assert (me.status, me.body["data"]["userId"], me.body["data"]["username"]) == (200, "user-7", "Ada")
