"""The reactor's timers while the wall clock is set. Each test has its own process, because a process has only one reactor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_clock import FakeClock

CODE = """
import os, sys, time
from cli.reactor import run_on_reactor, sleep

async def work(reactor):
    fired = []
    reactor.callLater(0.3, fired.append, "soon")
    reactor.callLater(60, fired.append, "later")
    began_s, wall_s = time.monotonic(), time.time()
    with open(os.environ["FAKETIME_TIMESTAMP_FILE"], "w") as clock:
        clock.write(sys.argv[1])
    assert abs(time.time() - wall_s) > 3000, "the wall clock was not set"
    for _ in range(5):
        await sleep(reactor, 0.1)
    return fired, time.monotonic() - began_s < 50

print(run_on_reactor(work))
"""


@pytest.mark.parametrize("step", ["-3600", "+3600", "-86400", "+86400"])
def test_timers_are_neither_late_nor_early_when_the_wall_clock_is_set(tmp_path: Path, step: str) -> None:
    clock = FakeClock(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CODE, step],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("(['soon'], True)\n", "")


def test_a_reactor_that_has_timers_already_is_refused() -> None:
    code = """
from twisted.internet import reactor
from scoreboard.monotonic import use_monotonic_time
reactor.callLater(1, print)
try:
    use_monotonic_time(reactor)
except RuntimeError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")
