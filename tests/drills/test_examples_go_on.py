"""The examples of docs/examples/ when a login service, the server or a proxy refuses: they go on, or say why not.

They run as they are, with a wait of 50 ms in place of that of `wait.mjs` and `wait.py`, which have tests of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLES
from tests.drills.test_examples import JOURNEYS_NODE, NODE_PLAY, node, running
from tests.journeys.server import ServerProcess
from tests.programs import node_modules
from tests.retry_after import RETRY_AFTER

NODE_WAIT = """
export const waitMs = (attempt, retryAfter) => { console.log(`wait ${attempt} ${retryAfter ?? null}`); return 50; };
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
"""
PYTHON_WAIT = """
def wait_s(attempt, retry_after=None):
    print("wait", attempt, retry_after, flush=True)
    return 0.05
"""

#: Calls `follow` with a getToken that returns each argument once, and the last one from then on; an empty one fails.
NODE_FOLLOW = """
import { EventSource } from "eventsource";
import { follow } from "./follow_%s.mjs";
globalThis.EventSource = EventSource;
const [url, ...tokens] = process.argv.slice(1);
let calls = 0;
async function getToken() {
  const token = tokens[Math.min(calls++, tokens.length - 1)];
  console.log(`token ${calls}`);
  if (!token) throw new Error("the login service is away");
  return token;
}
follow(url, getToken, (event, data) => console.log(JSON.stringify({ event, data })));
"""
PYTHON_FOLLOW = """
import sys
import follow_%s
url, *tokens = sys.argv[1:]
calls = 0
def get_token():
    global calls
    calls += 1
    print("token", calls, flush=True)
    token = tokens[min(calls, len(tokens)) - 1]
    if not token:
        raise OSError("the login service is away")
    return token
for event in follow_%s.events(url, get_token):
    print(event, flush=True)
"""


def python_follow(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", PYTHON_FOLLOW % (name, name), *arguments)


def node_follow(name: str, *arguments: str) -> tuple[str, ...]:
    return node(NODE_FOLLOW % name, *arguments)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples whose waits are short and are printed."""
    copy = tmp_path_factory.mktemp("examples") / "examples"
    shutil.copytree(EXAMPLES, copy)
    (copy / "wait.mjs").write_text(NODE_WAIT)
    (copy / "wait.py").write_text(PYTHON_WAIT)
    (copy / "node_modules").symlink_to(node_modules(JOURNEYS_NODE, "socket.io-client"))
    return copy


def test_every_follower_goes_on_without_a_token_and_ends_when_its_account_is_suspended(
    quick: Path, live_server: ServerProcess
) -> None:
    """The login service fails, gives an ended token, one that ends soon, fails when that ends, and then gives a good one."""
    token, port = live_server.issue_token, live_server.port
    tokens = ("", token("goes-on", life_s=-5), token("goes-on", life_s=2), "", token("goes-on"))
    api, socket = f"{live_server.url}/api/v1", f"ws://127.0.0.1:{port}/ws"
    commands = {
        "websocket.mjs": node_follow("websocket", socket, *tokens),
        "socketio.mjs": node_follow("socketio", live_server.url, *tokens),
        "stream.mjs": node_follow("stream", api, *tokens),
        "websocket.py": python_follow("websocket", socket, *tokens),
        "socketio.py": python_follow("socketio", live_server.url, *tokens),
        "stream.py": python_follow("stream", api, *tokens),
    }
    with ExitStack() as stack:
        outputs = {name: stack.enter_context(running(*command, directory=quick)) for name, command in commands.items()}
        for output in outputs.values():
            output.until(lambda text_line: "token 5" in text_line)
        for player in ("goes-on", "dora"):
            assert live_server.play(player, questId="quest-123", difficulty="hard").status == 200
        for output in outputs.values():
            output.until(lambda text_line: "dora" in text_line)
        suspended = live_server.command_line("player", "suspend", "goes-on", "--reason", "a test", "--yes")
        assert suspended.returncode == 0, suspended.stderr
        for name, output in outputs.items():
            output.until(lambda text_line: "suspended" in text_line)
            assert output.has_ended(), f"{name} goes on, though its account is suspended"


#: Status, headers and body.
Answer = tuple[int, dict[str, str], str]
Answers = Callable[[int], Answer]


@contextmanager
def server_of(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """A server with these answers to the n-th request, and the bodies that it received."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, headers, body = answers(len(received) - 1)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def refusal(error: str, status: int, **headers: str) -> Answer:
    return status, headers, json.dumps({"success": False, "error": error, "message": f"Message of {error}", "code": 4000})


GRANT: Answer = (200, {}, json.dumps({"success": True, "data": {"actionId": "a", "timestamp": 1, "signature": "s"}}))
RECEIPT = {"scoreAwarded": 250}
USED: Answer = (409, {}, json.dumps({"success": False, "error": "ACTION_ALREADY_USED", "message": "again", "data": RECEIPT}))


def play(language: str, directory: Path, api: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "play.py", api, "t") if language == "python" else node(NODE_PLAY, api, "t")
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("language", ["python", "node"])
def test_play_sends_the_same_body_again_only_after_an_answer_that_may_change(language: str, quick: Path) -> None:
    doubtful = [
        refusal("RATE_LIMIT_EXCEEDED", 429, **{"Retry-After": "7"}),
        refusal("UNAVAILABLE", 503, **{"Retry-After": "1"}),
        refusal("INTERNAL_ERROR", 500),
        (502, {}, "<html>Bad Gateway</html>"),
        (502, {}, '{"error": "Bad Gateway"}'),
        (200, {}, "[]"),
        refusal("ACTION_TOO_EARLY", 409, **{"Retry-After": "12"}),
    ]
    with server_of(lambda number: [GRANT, *doubtful, USED][number]) as (api, received):
        ran = play(language, quick, api)
    assert ran.returncode == 0, ran.stderr
    *waits, receipt = ran.stdout.splitlines()
    assert json.loads(receipt) == RECEIPT
    nothing = "None" if language == "python" else "null"
    wanted = ["7", "1", nothing, nothing, nothing, nothing, "12"]
    assert waits == [f"wait {attempt} {retry_after}" for attempt, retry_after in enumerate(wanted)]
    assert len(received) == 9
    assert len(set(received[1:])) == 1


@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize(("error", "status"), [("DAILY_LIMIT", 429), ("INVALID_TOKEN", 401), ("SCORE_LIMIT", 422)])
def test_play_does_not_repeat_what_a_final_refusal_answers(error: str, status: int, language: str, quick: Path) -> None:
    final = refusal(error, status, **{"Retry-After": "21387"})
    with server_of(lambda number: GRANT if number == 0 else final) as (api, received):
        ran = play(language, quick, api)
    assert (ran.returncode, ran.stdout, len(received)) == (1, "", 2)
    assert error in ran.stderr
    assert f"Message of {error}" in ran.stderr


@pytest.mark.parametrize("language", ["python", "node"])
def test_play_gives_up_with_the_last_refusal(language: str, quick: Path) -> None:
    with server_of(lambda number: refusal("RATE_LIMIT_EXCEEDED", 429) if number else GRANT) as (api, received):
        ran = play(language, quick, api)
    assert (ran.returncode, len(received)) == (1, 9)
    assert "RATE_LIMIT_EXCEEDED" in ran.stderr
    assert "Message of RATE_LIMIT_EXCEEDED" in ran.stderr
    assert "after 8 attempts" in ran.stderr


PYTHON_WAITS = "import json, sys; from wait import wait_s; print(json.dumps([wait_s(*call) for call in json.loads(sys.argv[1])]))"
NODE_WAITS = (
    "import { waitMs } from './wait.mjs';"
    "console.log(JSON.stringify(JSON.parse(process.argv[1]).map((call) => waitMs(...call) / 1000)));"
)


@pytest.mark.parametrize("language", ["python", "node"])
def test_the_wait_of_the_examples_grows_from_half_a_second_to_30_s_and_obeys_retry_after(language: str) -> None:
    values = [None, *(header for header, _ in RETRY_AFTER)]
    calls = [(attempt, value) for attempt in (0, 1, 4, 5, 8, 2_000) for value in values for _ in range(20)]
    asked = json.dumps(calls)
    command = (sys.executable, "-c", PYTHON_WAITS, asked) if language == "python" else node(NODE_WAITS, asked)
    ran = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=30, check=True)
    waits = list(zip(calls, json.loads(ran.stdout), strict=True))
    assert all(0.5 <= wait_s <= 30 for _, wait_s in waits)
    for attempt in (0, 1, 4, 5, 8, 2_000):
        backoffs = [wait_s for call, wait_s in waits if call == (attempt, None)]
        assert all(min(20, 2**attempt) * 0.5 <= wait_s <= min(20, 2**attempt) * 1.5 for wait_s in backoffs)
        assert len(set(backoffs)) > 10, "no random part"
    for header, least_s in (("7", 7), ("1.5", 1.5), ("30", 24), ("3000000", 24)):
        assert all(wait_s >= least_s for (_, value), wait_s in waits if value == header)
