"""The samples for nginx and HAProxy, started as they are but for ports and paths: TLS, the base URL /v1, no ticket in a log."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.certificates import make_certificate
from tests.docs.pages import EXAMPLES
from tests.journeys.server import ServerProcess, free_port
from tests.pauses import until_true
from tests.programs import program

HOST = "api.example.com"


@dataclass
class Proxy:
    """A proxy with TLS in front of a server, and the files that it writes."""

    port: int
    trusted: ssl.SSLContext
    directory: Path

    def ask(self, method: str, path: str, token: str | None = None, body: object = None) -> tuple[int, bytes]:
        connection = self.connection()
        headers = {"Host": HOST, "Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=15, context=self.trusted)
        # Connect to loopback, and ask for the certificate of the host.
        opened = socket.create_connection(("127.0.0.1", self.port), source_address=(source, 0))
        connection.sock = self.trusted.wrap_socket(opened, server_hostname=HOST)
        return connection

    def written(self) -> str:
        return "\n".join(path.read_text() for path in self.directory.glob("*.log"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate of api.example.com: fullchain.pem, privkey.pem, and both in api.example.com.pem."""
    directory = tmp_path_factory.mktemp("tls")
    chain, key = make_certificate(directory, HOST)
    (directory / f"{HOST}.pem").write_text(chain.read_text() + key.read_text())
    return directory


def nginx(directory: Path, certificate: Path, port: int, server_port: int) -> list[str]:
    sample = (EXAMPLES / "nginx.conf").read_text()
    for stands, becomes in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:3000;", f"127.0.0.1:{server_port};"),
        (f"/etc/ssl/{HOST}", str(certificate)),
        ("/var/log/nginx", str(directory)),
    ):
        assert stands in sample
        sample = sample.replace(stands, becomes)
    (directory / "scoreboard.conf").write_text(sample)
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"pid {directory}/nginx.pid;\nerror_log {directory}/error.log info;\nevents {{}}\n"
        f"http {{\n{temporary}include {directory}/scoreboard.conf;\n}}\n"
    )
    return [program("nginx", "nginx-light"), "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]


def haproxy(directory: Path, certificate: Path, port: int, server_port: int) -> list[str]:
    sample = (EXAMPLES / "haproxy.cfg").read_text()
    for stands, becomes in (
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("127.0.0.1:3000 ", f"127.0.0.1:{server_port} "),
        (f"/etc/ssl/{HOST}.pem", str(certificate / f"{HOST}.pem")),
    ):
        assert stands in sample
        sample = sample.replace(stands, becomes)
    (directory / "haproxy.cfg").write_text(sample)
    return [program("haproxy", "haproxy"), "-db", "-f", str(directory / "haproxy.cfg")]


@contextmanager
def running(command: list[str], directory: Path, certificate: Path, port: int) -> Iterator[Proxy]:
    trusted = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    proxy = Proxy(port, trusted, directory)
    try:
        for _ in range(100):
            assert process.poll() is None, proxy.written()
            try:
                if proxy.ask("GET", "/healthz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        else:
            raise AssertionError(proxy.written())
        yield proxy
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


PROXIES: dict[str, Callable[[Path, Path, int, int], list[str]]] = {"nginx": nginx, "haproxy": haproxy}


@pytest.mark.parametrize("name", PROXIES)
def test_a_sample_serves_the_api_the_sockets_and_the_stream_and_logs_no_ticket(
    name: str, tmp_path: Path, certificate: Path, new_server: Callable[..., ServerProcess]
) -> None:
    server = new_server(TRUSTED_PROXIES="127.0.0.1").start()
    port = free_port()
    token = server.issue_token("amy")
    with running(PROXIES[name](tmp_path, certificate, port, server.port), tmp_path, certificate, port) as proxy:
        for base in ("/v1", "/api/v1"):  # production's, and the page's own
            assert proxy.ask("GET", f"{base}/scores/leaderboard", token)[0] == 200
            assert proxy.ask("GET", f"{base}/scores/me")[0] == 401
        wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "q"}}
        status, text = proxy.ask("POST", "/v1/actions/initialize", token, wish)
        grant = json.loads(text)["data"]
        signed = {key: grant[key] for key in ("actionId", "timestamp", "signature")}
        assert (status, proxy.ask("POST", "/v1/scores/submit", token, {**wish, **signed})[0]) == (200, 200)

        for path in (
            "/metrics",
            "/metrics?x=1",
            "/readyz?strict",
            "//metrics",
            "/v1/../metrics",
            "/%6detrics",
            "/v1/../../metrics",
        ):
            assert proxy.ask("GET", path)[0] in (400, 404), path
        assert proxy.ask("GET", "/")[0] == 200

        with connect(
            f"wss://{HOST}:{port}/ws",
            sock=socket.create_connection(("127.0.0.1", port)),
            ssl=proxy.trusted,
            server_hostname=HOST,
            additional_headers={"Authorization": f"Bearer {token}"},
        ) as live:
            live.send('{"event": "join:leaderboard", "id": 1}')
            assert json.loads(live.recv(10))["event"] == "ack"
        polled = proxy.ask("GET", "/socket.io/?EIO=4&transport=polling")
        assert (polled[0], polled[1][:7]) == (200, b'0{"sid"')

        tickets = []
        for base in ("/v1", "/api/v1"):
            ticket = json.loads(proxy.ask("POST", f"{base}/auth/ticket", token)[1])["data"]["ticket"]
            tickets.append(ticket)
            connection = proxy.connection()
            connection.request("GET", f"{base}/scores/stream?ticket={ticket}", headers={"Host": HOST})
            stream = connection.getresponse()
            began_s = time.monotonic()
            while b"leaderboard:update" not in stream.readline():
                assert stream.status == 200
            assert time.monotonic() - began_s < 14, "the proxy does not hold events back"
            connection.close()
        server.stop()
        for path in (f"/v1/scores/{of}?ticket={tickets[0]}" for of in ("stream", "changes")):
            assert proxy.ask("GET", path)[0] in (502, 503)
        until_true(lambda: "/v1/scores/changes" in proxy.written(), within_s=5)  # the proxy logs each request, the last one too
        written = proxy.written()
    assert "/v1/scores/stream" in written
    assert not [ticket for ticket in tickets if ticket in written]
    assert not re.search(r"ticket=", written)
    assert not [ticket for ticket in tickets if ticket in server.log]


@pytest.mark.parametrize("name", PROXIES)
def test_a_body_that_does_not_come_holds_no_connection_of_the_server(
    name: str, tmp_path: Path, certificate: Path, new_server: Callable[..., ServerProcess]
) -> None:
    server = new_server(TRUSTED_PROXIES="127.0.0.1", HTTP_CONNECTIONS_MAX="16").start()
    port, token = free_port(), server.issue_token("amy")
    with running(PROXIES[name](tmp_path, certificate, port, server.port), tmp_path, certificate, port) as proxy:
        slow = [proxy.connection("127.0.0.2") for _ in range(24)]
        for connection in slow:
            connection.putrequest("POST", "/v1/scores/submit")
            connection.putheader("Content-Length", "16000")
            connection.endheaders(b"{")
        assert proxy.ask("GET", "/v1/scores/leaderboard", token)[0] == 200
        assert server.get("/readyz").status == 200
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("name", PROXIES)
def test_the_server_counts_the_client_that_the_sample_names(
    name: str, tmp_path: Path, certificate: Path, new_server: Callable[..., ServerProcess]
) -> None:
    """The client cannot choose its address: what it sends as X-Forwarded-For does not count."""
    server = new_server(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_IP_MAX="5").start()
    port = free_port()
    with running(PROXIES[name](tmp_path, certificate, port, server.port), tmp_path, certificate, port) as proxy:
        statuses = []
        for n in range(8):
            connection = proxy.connection("127.0.0.2")  # a client: 127.0.0.1 is the proxy's own address, which is trusted
            forged = {"Host": HOST, "X-Forwarded-For": f"203.0.113.{n}"}
            connection.request("GET", "/v1/scores/me", headers=forged)
            statuses.append(connection.getresponse().status)
            connection.close()
    assert 429 in statuses, statuses
