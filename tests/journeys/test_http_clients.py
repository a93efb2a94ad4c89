"""HTTP clients and SSE clients that people use, each over connections that it keeps, and the proxies before them."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import httpx
import pytest
import requests
import requests_sse
import sseclient
import urllib3

from tests.journeys.server import ServerProcess, free_port
from tests.programs import program

#: (method, path, headers, body) -> (status, headers in lower case, JSON or None)
Ask = Callable[[str, str, dict[str, str], bytes | None], tuple[int, dict[str, str], Any]]
BOARD = "/api/v1/scores/leaderboard?limit=100"


def plays(server: ServerProcess, user: str, ask: Ask) -> None:
    """Initialize, submit, read the own score and the board, and the board again by its ETag."""
    token = {"Authorization": f"Bearer {server.issue_token(user)}"}
    sends = {**token, "Content-Type": "application/json"}
    wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-1"}}
    status, _, begun = ask("POST", "/api/v1/actions/initialize", sends, json.dumps(wish).encode())
    assert (status, begun["success"]) == (200, True)
    grant = {name: begun["data"][name] for name in ("actionId", "timestamp", "signature")}
    assert ask("POST", "/api/v1/scores/submit", sends, json.dumps(wish | grant).encode())[0] == 200
    assert ask("GET", "/api/v1/scores/me", token, None)[2]["data"]["score"] == 100
    status, headers, board = ask("GET", BOARD, token, None)
    assert user in [row["userId"] for row in board["data"]["leaderboard"]]
    assert ask("GET", BOARD, {**token, "If-None-Match": headers["etag"]}, None)[0] == 304
    assert ask("GET", "/nothing", token, None)[0] == 404
    assert ask("GET", "/healthz", {}, None)[0] == 200, "after a refusal the connection goes on"


def _answer(status: int, headers: Any, body: bytes) -> tuple[int, dict[str, str], Any]:
    return status, {name.lower(): value for name, value in headers.items()}, json.loads(body) if body else None


def with_requests(url: str) -> Ask:
    session = requests.Session()

    def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, dict[str, str], Any]:
        reply = session.request(method, url + path, headers=headers, data=body, timeout=15)
        return _answer(reply.status_code, reply.headers, reply.content)

    return ask


def with_urllib3(url: str) -> Ask:
    pool = urllib3.PoolManager(maxsize=1)

    def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, dict[str, str], Any]:
        reply = pool.request(method, url + path, headers=headers, body=body, timeout=15, retries=False)
        return _answer(reply.status, reply.headers, reply.data)

    return ask


def with_httpx(url: str) -> Ask:
    client = httpx.Client()

    def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, dict[str, str], Any]:
        reply = client.request(method, url + path, headers=headers, content=body, timeout=15)
        return _answer(reply.status_code, reply.headers, reply.content)

    return ask


def with_curl(url: str) -> Ask:
    curl = program("curl", "curl")

    def ask(method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, dict[str, str], Any]:
        command = [curl, "-sS", "-i", "-X", method, url + path]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        if body is not None:
            command += ["--data-binary", "@-"]
        output = subprocess.run(command, input=body or b"", capture_output=True, timeout=30, check=True).stdout
        head, _, content = output.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        return _answer(int(first.split(" ")[1]), dict(one.split(": ", 1) for one in fields), content)

    return ask


CLIENTS = {"requests": with_requests, "urllib3": with_urllib3, "httpx": with_httpx, "curl": with_curl}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_plays_over_its_kept_connections(name: str, live_server: ServerProcess) -> None:
    plays(live_server, f"client-{name}", CLIENTS[name](live_server.url))


def test_aiohttp_plays_over_one_connection_and_with_chunked_bodies(live_server: ServerProcess) -> None:
    async def play() -> None:
        token = {"Authorization": f"Bearer {live_server.issue_token('client-aiohttp')}"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), base_url=live_server.url) as session:

            async def pieces(text: str) -> Any:
                yield text[:5].encode()
                yield text[5:].encode()

            wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-1"}}
            headers = {**token, "Content-Type": "application/json"}
            async with session.post("/api/v1/actions/initialize", data=pieces(json.dumps(wish)), headers=headers) as reply:
                data = (await reply.json())["data"]
            grant = {name: data[name] for name in ("actionId", "timestamp", "signature")}
            async with session.post("/api/v1/scores/submit", json=wish | grant, headers=token) as reply:
                assert reply.status == 200
            async with session.get(BOARD, headers=token) as reply:
                tag = reply.headers["ETag"]
            async with session.get(BOARD, headers={**token, "If-None-Match": tag}) as reply:
                assert reply.status == 304

    asyncio.run(play())


NODE = """
import http from 'node:http';
const [base, token] = process.argv.slice(2);
const headers = {authorization: `Bearer ${token}`, 'content-type': 'application/json'};
const wish = {actionType: 'COMPLETE_QUEST', metadata: {questId: 'quest-1'}};
const viaFetch = async (method, path, more, body) => {
  const reply = await fetch(base + path, {method, headers: {...headers, ...more}, body});
  const text = await reply.text();
  return [reply.status, reply.headers.get('etag'), text && JSON.parse(text)];
};
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const viaAgent = (method, path, more, body) => new Promise((resolve, reject) => {
  const request = http.request(base + path, {method, headers: {...headers, ...more}, agent}, (reply) => {
    let text = '';
    reply.on('data', (piece) => { text += piece; });
    reply.on('end', () => resolve([reply.statusCode, reply.headers.etag, text && JSON.parse(text)]));
  });
  request.on('error', reject);
  request.end(body);
});
const seen = [];
for (const ask of [viaFetch, viaAgent]) {
  const [, , {data}] = await ask('POST', '/api/v1/actions/initialize', {}, JSON.stringify(wish));
  const {actionId, timestamp, signature} = data;
  seen.push((await ask('POST', '/api/v1/scores/submit', {}, JSON.stringify({...wish, actionId, timestamp, signature})))[0]);
  const [status, etag] = await ask('GET', '/api/v1/scores/leaderboard', {});
  seen.push(status, (await ask('GET', '/api/v1/scores/leaderboard', {'if-none-match': etag}))[0]);
  seen.push((await ask('GET', '/api/v1/scores/me', {}))[2].data.score);
}
console.log(JSON.stringify(seen));
process.exit(0);
"""


def test_node_plays_with_fetch_and_with_a_keep_alive_agent(live_server: ServerProcess, tmp_path: Path) -> None:
    script = tmp_path / "client.mjs"
    script.write_text(NODE)
    command = [program("node", "nodejs"), str(script), live_server.url, live_server.issue_token("client-node")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [200, 200, 304, 100, 200, 200, 304, 200]


def test_a_client_that_closes_its_half_gets_its_award(live_server: ServerProcess) -> None:
    """As `nc -N` sends it: a submission, then FIN."""
    body = json.dumps(live_server.initialize("client-half")).encode()
    head = f"POST http://any.example/api/v1/scores/submit HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: application/json\r\nAuthorization: Bearer {live_server.issue_token('client-half')}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=15) as client:
        client.sendall(head.encode() + body + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b'"scoreAwarded":100' in received


def events_of_sseclient(url: str, token: str) -> Iterator[str]:
    response = requests.get(url, headers={"Authorization": token, "Accept": "text/event-stream"}, stream=True, timeout=10)
    for event in sseclient.SSEClient(cast(Any, response)).events():
        yield event.data


def events_of_requests_sse(url: str, token: str) -> Iterator[str]:
    with requests_sse.EventSource(url, headers={"Authorization": token}, timeout=10) as source:
        for event in source:
            yield event.data or ""


@pytest.mark.parametrize("events_of", [events_of_sseclient, events_of_requests_sse])
def test_each_event_of_a_stream_arrives_at_once(
    events_of: Callable[[str, str], Iterator[str]], live_server: ServerProcess
) -> None:
    user = f"client-{events_of.__name__}"
    events = events_of(f"{live_server.url}/api/v1/scores/stream", f"Bearer {live_server.issue_token(user)}")
    assert json.loads(next(events))["data"]["reset"] is True
    for points in (100, 200):
        award = threading.Timer(0.2, live_server.play, [user])
        award.start()
        while not (f'"{user}"' in (text := next(events)) and f":{points}" in text):
            pass  # a client that held the event back would get it with the heartbeat after 15 s: its time limit is less
        award.join()


def test_a_client_of_http_1_0_gets_the_stream_without_chunks(live_server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=15) as client:
        token = live_server.issue_token("client-old")
        client.sendall(f"GET /api/v1/scores/stream HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = b""
        while b"leaderboard:update" not in received:
            received += client.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"retry: 2000\n\nid: ")


NGINX = """
daemon off; pid {tmp}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {tmp}/b; proxy_temp_path {tmp}/p; fastcgi_temp_path {tmp}/f; uwsgi_temp_path {tmp}/u;
  scgi_temp_path {tmp}/s;
  upstream board {{ server 127.0.0.1:{server}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://board; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 70s
  timeout server 70s
  option forwardfor
frontend front
  bind 127.0.0.1:{port}
  default_backend board
backend board
  http-reuse always
  server one 127.0.0.1:{server}
"""


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_client_plays_and_follows_a_stream_through_a_proxy(proxy: str, live_server: ServerProcess, tmp_path: Path) -> None:
    port, config = free_port(), tmp_path / "proxy.conf"
    text = NGINX if proxy == "nginx" else HAPROXY
    config.write_text(text.format(tmp=tmp_path, server=live_server.port, port=port))
    options = ["-p", str(tmp_path), "-c", str(config)] if proxy == "nginx" else ["-f", str(config)]
    with subprocess.Popen([program(proxy, proxy), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _wait_for(port, process)
            url = f"http://127.0.0.1:{port}"
            plays(live_server, f"client-{proxy}", with_requests(url))
            token = f"Bearer {live_server.issue_token(f'client-{proxy}')}"
            assert json.loads(next(events_of_sseclient(f"{url}/api/v1/scores/stream", token)))["data"]["reset"] is True
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        assert process.poll() is None, process.communicate()[1]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the proxy did not listen")
