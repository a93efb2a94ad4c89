"""A server with a Redis behind TLS: the right certificate works; a wrong one is one line in the log that names the setting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.journeys.server import ServerProcess, free_port
from tests.pauses import until_true
from tests.programs import program
from tests.storage_redis.redis_server import RedisServer

Start = Callable[..., tuple[str, Path]]


@pytest.fixture
def redis_with_tls(tmp_path: Path) -> Iterator[Start]:
    """Starts a redis-server with a certificate for a host. Returns its address at localhost, and the certificate."""
    started: list[RedisServer] = []

    def start(host: str = "localhost", *, tls: bool = True, days_ago: int = 0) -> tuple[str, Path]:
        chain, key = make_certificate(tmp_path, host, days_ago=days_ago)
        port = str(free_port())
        with_tls = ["--tls-port", port, "--tls-cert-file", str(chain), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
        options = with_tls if tls else ["--port", port]
        started.append(RedisServer("--bind", "127.0.0.1", *options, binary=program("redis-server", "redis-server")))
        return f"localhost:{port}", chain

    yield start
    for redis in started:
        redis.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path / "server")
    yield server
    server.kill()


def refused(server: ServerProcess, *, silent: bool = False) -> tuple[str, str]:
    """Level and text of the one line of the log that says why Redis cannot be asked. The server awards without Redis.

    Unless ``silent``, a line about silence is left out: a server that starts may be late for its first attempt.
    """

    def complaints() -> list[dict[str, str]]:
        found = [json.loads(text_line) for text_line in server.log.splitlines() if "Redis cannot be asked" in text_line]
        return [one for one in found if silent or "SILENT" not in one["message"]]

    server.launch()
    server.wait_until_ready()
    assert server.submit("amy", server.initialize("amy")).status == 200
    until_true(lambda: bool(complaints()), within_s=5)
    (one,) = complaints()
    assert server.stop() == 0
    assert "Traceback" not in server.log
    return one["level"], one["message"].removeprefix("Redis cannot be asked: ")


def test_a_certificate_of_the_operators_own_authority_is_taken(redis_with_tls: Start, server: ServerProcess) -> None:
    where, chain = redis_with_tls()
    server.more = {"REDIS_URL": f"rediss://{where}/0", "REDIS_CA_FILE": str(chain)}
    server.start()
    assert server.submit("amy", server.initialize("amy")).status == 200
    assert dict(server.board()) == {"amy": 100}
    assert server.command_line("replay", "verify").returncode == 0
    assert server.stop() == 0


@pytest.mark.parametrize("fault", ["no authority is named", "another authority is named", "it is out of date"])
def test_a_certificate_that_tls_does_not_trust_is_refused(
    fault: str, redis_with_tls: Start, server: ServerProcess, tmp_path: Path
) -> None:
    where, chain = redis_with_tls(days_ago=10 if fault == "it is out of date" else 0)
    server.more = {"REDIS_URL": f"rediss://{where}"}
    if fault != "no authority is named":
        (tmp_path / "other").mkdir()
        named = make_certificate(tmp_path / "other", "localhost")[0] if "another" in fault else chain
        server.more["REDIS_CA_FILE"] = str(named)
    words = "REDIS_CA_FILE: no trusted authority signed the certificate of Redis, or it is out of date"
    assert refused(server) == ("error", f"{words} ({where.replace(':', ' port ')})")


def test_a_certificate_for_another_host_is_refused(redis_with_tls: Start, server: ServerProcess) -> None:
    where, chain = redis_with_tls("redis.example.com")
    server.more = {"REDIS_URL": f"rediss://{where}", "REDIS_CA_FILE": str(chain)}
    words = "REDIS_URL: the certificate of Redis is for another host"
    assert refused(server) == ("error", f"{words} ({where.replace(':', ' port ')})")


@pytest.mark.parametrize("tls", [True, False])
def test_tls_on_one_side_alone_is_said(tls: bool, redis_with_tls: Start, server: ServerProcess) -> None:
    where, chain = redis_with_tls(tls=not tls)
    server.more = {"REDIS_URL": f"rediss://{where}", "REDIS_CA_FILE": str(chain)} if tls else {"REDIS_URL": f"redis://{where}"}
    level, text = refused(server, silent=tls)
    assert level == "warn"  # a Redis that hangs looks the same
    assert text.endswith(f" (REDIS_URL {where.replace(':', ' port ')}, {'with' if tls else 'without'} TLS)")
