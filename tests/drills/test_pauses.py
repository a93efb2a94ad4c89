"""The helpers against pauses of the machine, with processes that are stopped for a while, as a machine that pauses looks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pauses import within

ROOT = Path(__file__).parents[2]
#: Stops its own process for a second, by a shell that continues it.
PAUSE = """
import os, subprocess, time
def pause():
    waking = subprocess.Popen(["sh", "-c", f"kill -STOP {os.getpid()}; sleep 1; kill -CONT {os.getpid()}"])
    waking.wait()
"""


def test_a_pause_is_measured_and_a_sleep_is_not() -> None:
    code = f"""{PAUSE}
from tests.pauses import pauses
with pauses() as paused:
    time.sleep(0.5)
    pause()
    print(paused.seconds)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert float(ran.stdout) == pytest.approx(1, abs=0.4)


def test_a_slow_fsync_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: time.sleep(0.7))
    with within(0.3):
        time.sleep(0.8)
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="with pauses of"), within(0.3):
        time.sleep(0.8)


@pytest.mark.parametrize(("paused", "runs"), [(True, 2), (False, 1)])
def test_only_a_test_that_failed_during_a_pause_runs_again(paused: bool, runs: int, tmp_path: Path) -> None:
    """With new fixtures, also those of the whole module."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_one.py").write_text(
        PAUSE
        + f"""
import pathlib, pytest
runs = []

@pytest.fixture(scope="module")
def new():
    return []

def test_one(new):
    runs.append(1)
    new.append(1)
    pathlib.Path({str(tmp_path / "runs")!r}).write_text(f"{{len(runs)}} {{len(new)}}")
    if {paused}:
        pause()
    assert len(runs) == 2

def test_two(new):
    assert new == [1]
"""
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        "-c",
        "/dev/null",
        str(tmp_path),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (tmp_path / "runs").read_text() == f"{runs} 1", ran.stdout
    assert ("run again, because the machine paused: test_one.py::test_one" in ran.stdout) is paused
    assert (ran.returncode == 0) is paused
