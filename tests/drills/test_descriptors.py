"""The limit of open files: the server raises it where it may, keeps to it, and refuses settings that need more."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from scoreboard.service.descriptors import OWN, Capacity, TooFewDescriptors, fitted
from tests.journeys.server import ROOT, ServerProcess
from tests.operations.test_start import started

SECRETS = {"JWT_SECRET": "3b8e1d5f7c2a49069e4d80b7f6a1c352", "ACTION_SIGNATURE_SECRET": "d2c5f8a17b3e49608c1d4e7f0a9b6352"}
SMALL = 256
WARNING = '"message": "SOCKETS_MAX ('


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    """Give this limit of open files to all processes that are started from now on."""
    start: Any = subprocess.Popen

    def popen(*arguments: Any, **more: Any) -> Any:
        return start(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)), **more)

    monkeypatch.setattr(subprocess, "Popen", popen)


def limit_of(server: ServerProcess) -> int:
    assert server.process is not None
    return resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0]


def test_connection_limits_are_reduced_only_if_they_exceed_the_limit_of_files() -> None:
    wanted = Capacity(sockets_max=1_000, http_connections_max=500, handshaking_max=100)
    warnings: list[str] = []
    assert fitted(wanted, wanted.descriptors, promised=1_500, warn=warnings.append) is wanted
    assert warnings == []
    less = fitted(wanted, 928, promised=928, warn=warnings.append)
    assert (less.sockets_max, less.http_connections_max, less.handshaking_max) == (500, 250, 50)
    assert less.descriptors <= 928
    assert "SOCKETS_MAX (1000) and HTTP_CONNECTIONS_MAX (500) need 1728 open files, but the limit is 928" in warnings[0]


@pytest.mark.parametrize(("limit", "promised"), [(1_499, 1_500), (OWN + 10, 0)])
def test_settings_that_need_too_many_files_are_refused(limit: int, promised: int) -> None:
    with pytest.raises(TooFewDescriptors, match="need 1728 open files"):
        fitted(
            Capacity(sockets_max=1_000, http_connections_max=500, handshaking_max=100),
            limit,
            promised=promised,
            warn=lambda _: None,
        )


def test_production_refuses_to_start_with_one_line_and_78(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, 1_024, 4_096)
    ended = started({"SCOREBOARD_ENV": "production", "PYTHONPATH": str(ROOT), **SECRETS}, tmp_path)
    assert (ended.returncode, ended.stdout) == (78, "")
    assert ended.stderr == (
        "scoreboard: SOCKETS_MAX (10000) and HTTP_CONNECTIONS_MAX (8000) need 19128 open files, but the limit is 4096:"
        " raise it (LimitNOFILE= in the unit, ulimit -n) or lower them\n"
    )


@pytest.mark.parametrize(("more", "code"), [({}, None), ({"HTTP_CONNECTIONS_MAX": "500"}, 78), ({"SOCKETS_MAX": "2001"}, 78)])
def test_production_reduces_only_default_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: dict[str, str], code: int | None
) -> None:
    """The limit of files equals SOCKETS_MAX, so a default limit must be reduced. Two limits that are set must both fit."""
    limited(monkeypatch, 2_000, 2_000)
    environment = {"SCOREBOARD_ENV": "production", "SOCKETS_MAX": "2000", **more}
    if code is not None:
        ended = started({**environment, "PYTHONPATH": str(ROOT), **SECRETS}, tmp_path)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (code, 1)
        return
    server = ServerProcess(tmp_path, {**environment, **SECRETS}).start()
    try:
        assert server.log.count(WARNING) == 1
    finally:
        assert server.stop() == 0


def test_the_systemd_unit_allows_the_files_that_the_defaults_need() -> None:
    (allowed,) = re.findall(r"^LimitNOFILE=(\d+)$", (ROOT / "systemd" / "scoreboard.service").read_text(), re.MULTILINE)
    assert int(allowed) >= Capacity(sockets_max=10_000, http_connections_max=8_000).descriptors


def test_the_soft_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, 1_024, 8_192)
    server = ServerProcess(tmp_path, {"SOCKETS_MAX": "2000", "HTTP_CONNECTIONS_MAX": "1000"}).start()
    try:
        assert limit_of(server) == 2_000 + 1_000 + 1_000 + OWN
        assert WARNING not in server.log
    finally:
        server.stop()


def test_a_flood_of_connections_leaves_descriptors_for_the_operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limited(monkeypatch, SMALL, SMALL)
    server = ServerProcess(tmp_path).start()
    try:
        assert server.log.count(WARNING) == 1, "in development the server starts and logs a warning"
        began_s = time.monotonic()
        with ExitStack() as connections:
            for _ in range(400):
                connections.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=15))
            for _ in range(5):
                assert server.get("/healthz").status == 200
                assert server.play("amy").status == 200
            time.sleep(1.1)
        seconds = time.monotonic() - began_s
        assert 1 <= server.log.count('"message": "too many connections') <= seconds + 1, "at most one log line a second"
        assert "EMFILE" not in server.log
        assert server.get("/readyz?strict").status == 200
    finally:
        assert server.stop() == 0
    assert "Traceback" not in server.log


def test_exhausted_descriptors_cause_one_log_line_a_second(tmp_path: Path) -> None:
    """This can happen if other code uses them up, or if an operator lowers the limit of a running process."""
    server = ServerProcess(tmp_path).start()
    try:
        assert server.process is not None
        used = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used, used))
        before, began_s = len(server.log.splitlines()), time.monotonic()
        for _ in range(60):
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as one:
                one.recv(1)
        text_lines = len(server.log.splitlines()) - before
        assert 1 <= text_lines <= time.monotonic() - began_s + 6
    finally:
        server.kill()
