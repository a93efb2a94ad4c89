"""Signals from a terminal, a supervisor or an operator."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.operations.test_start import GIVEN, ROOT, TWISTD
from tests.pauses import within


@contextmanager
def serving(directory: Path, before: Callable[[], object] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A server whose log can be read from ``stdout``. It is killed at the end of the test if it still runs."""
    with subprocess.Popen(
        [TWISTD, "--nodaemon", "--pidfile=", f"--python={ROOT / 'scoreboard.tac'}"],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SCOREBOARD_DATA_DIR": str(directory / "var"),
            "PORT": "0",
            "WEBSOCKET_PORT": "",
            **GIVEN,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=before,
    ) as server:
        try:
            yield server
        finally:
            server.kill()


def read_until(server: subprocess.Popen[str], said: str) -> None:
    assert server.stdout is not None
    assert any(said in text_line for text_line in server.stdout), said


def rest_of(server: subprocess.Popen[str]) -> str:
    """The log from now to the end. The server must end within its promised time."""
    assert server.stdout is not None
    killing = threading.Timer(60, server.kill)  # the read has no time limit
    killing.start()
    with within(15):
        log = server.stdout.read()
        server.wait(15)
    killing.cancel()
    return log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_stops_the_server_in_order(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        read_until(server, "listening at")
        server.send_signal(number)
        log = rest_of(server)
    assert server.returncode == 0
    assert f"stopping: {number.name}" in log
    assert "Traceback" not in log


def test_other_signals_are_ignored_and_logged_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        read_until(server, "listening at")
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            server.send_signal(number)
            time.sleep(0.1)
        assert server.poll() is None
        server.terminate()
        log = rest_of(server)
    assert server.returncode == 0
    assert [log.count(f"SIGUSR{n} is ignored") for n in (1, 2)] == [1, 1]


def test_with_nohup_the_server_survives_a_closed_terminal(tmp_path: Path) -> None:
    with serving(tmp_path, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as server:
        read_until(server, "listening at")
        server.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert server.poll() is None
        server.terminate()
        assert "stopping: SIGTERM" in rest_of(server)
    assert server.returncode == 0


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.5, 0.8])
def test_a_stop_during_the_start_ends_with_0(after_s: float, tmp_path: Path) -> None:
    """This holds once Python has run the first lines of scoreboard.tac; before that, the kernel ends the process."""
    with serving(tmp_path) as server:
        until_s = time.monotonic() + 60
        while not catches(server.pid, signal.SIGTERM):
            assert time.monotonic() < until_s
            time.sleep(0.005)
        time.sleep(after_s)
        server.terminate()
        log = rest_of(server)
    assert server.returncode == 0
    assert "Traceback" not in log


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal."""
    (mask,) = [text_line for text_line in Path(f"/proc/{pid}/status").read_text().splitlines() if text_line.startswith("SigCgt:")]
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def test_a_second_ctrl_c_does_not_disturb_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        read_until(server, "listening at")
        for _ in range(3):
            server.send_signal(signal.SIGINT)
            time.sleep(0.02)
        log = rest_of(server)
    assert server.returncode == 0
    assert "Traceback" not in log


def test_a_shell_that_ignores_ctrl_c_for_its_background_jobs_keeps_the_server_running(tmp_path: Path) -> None:
    with serving(tmp_path, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as server:
        read_until(server, "listening at")
        server.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert server.poll() is None
        server.terminate()
        log = rest_of(server)
    assert (server.returncode, "stopping: SIGTERM" in log, "Traceback" in log) == (0, True, False)
