"""The helpers against pauses of the machine, with processes that are stopped for a while, as a machine that pauses looks."""

from __future__ import annotations

import os
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


def pytest_with_our_conftest(directory: Path, test: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    """A run of pytest on one file with the conftest of our tests, in CI or not."""
    (directory / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (directory / "test_one.py").write_text(PAUSE + test)
    command = [
        sys.executable,
        *["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"],
        f"--rootdir={directory}",
        str(directory),
    ]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(("paused", "runs"), [(True, 2), (False, 1)])
def test_only_a_test_that_failed_during_a_pause_runs_again(paused: bool, runs: int, tmp_path: Path) -> None:
    """With new fixtures, also those of the whole module."""
    ran = pytest_with_our_conftest(
        tmp_path,
        f"""
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
""",
    )
    assert (tmp_path / "runs").read_text() == f"{runs} 1", ran.stdout
    assert ("run again, because the machine paused: test_one.py::test_one" in ran.stdout) is paused
    assert (ran.returncode == 0) is paused


#: Which runs of a test fail, and which are skipped; how many such tests there are; how many of them count as failed in CI.
UNSTEADY = [
    ([1], [], 1, 0),
    ([1], [], 3, 0),
    ([1], [], 4, 1),
    ([1, 2], [], 1, 1),
    ([1, 4], [], 1, 1),
    ([1, 2, 3, 4], [], 1, 1),
    ([1], [2, 3, 4], 1, 1),
    ([1], [3], 1, 1),
]


@pytest.mark.parametrize(("failing", "skipped", "tests", "failed"), UNSTEADY)
def test_in_ci_a_test_that_failed_once_must_pass_three_times_more_and_is_named(
    failing: list[int], skipped: list[int], tests: int, failed: int, tmp_path: Path
) -> None:
    """At most three such tests a run. The first failure is shown, with what it printed."""
    test = f"""
import collections, pytest
runs = collections.Counter()

@pytest.fixture
def new():
    return []

@pytest.mark.parametrize("number", range({tests}))
def test_one(new, number):
    runs[number] += 1
    new.append(number)
    assert new == [number]
    print("printed in run", runs[number])
    if runs[number] in {skipped}:
        pytest.skip("it does not run")
    assert runs[number] not in {failing}, f"it is unsteady in run {{runs[number]}}"
"""
    ran = pytest_with_our_conftest(tmp_path, test, ci="true")
    assert (ran.returncode == 0) is (failed == 0), ran.stdout
    named = ran.stdout.count("UNSTEADY: failed once, then passed 3 times. Mend it: test_one.py::test_one")
    assert (named, ran.stdout.count("FAILED ")) == (tests - failed, failed)
    assert "it is unsteady in run 1" in ran.stdout
    assert "printed in run 1" in ran.stdout
    assert pytest_with_our_conftest(tmp_path, test).stdout.count("FAILED ") == tests, "a developer sees each failure"


def test_in_ci_what_an_earlier_test_left_in_a_fixture_of_the_module_still_fails_a_test(tmp_path: Path) -> None:
    test = """
import pytest

@pytest.fixture(scope="module")
def shared():
    return []

def test_one(shared):
    shared.append("left behind")

def test_two(shared):
    assert not shared

def test_three(shared):
    pass
"""
    ran = pytest_with_our_conftest(tmp_path, test, ci="true")
    assert (ran.returncode, "test_one.py::test_two - " in ran.stdout, "UNSTEADY" in ran.stdout) == (1, True, False)
