"""Tests of the real reactor. It can run once a process, so each test starts its own."""

from __future__ import annotations

import signal
import subprocess
import sys

#: Restores SIGINT's handler: a process that a shell started in the background inherits that SIGINT is ignored.
BEGIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cli.reactor import default_sigint, run_on_reactor, sleep

async def work(reactor):
    try:
        print("working", flush=True)
        {body}
    finally:
        await sleep(reactor, 0.01)
        print("cleaned up")

print(run_on_reactor(work))
"""


def begin(body: str) -> subprocess.Popen[str]:
    code = BEGIN.format(body=body)
    return subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=20)
    return out, err.strip().rpartition("\n")[2]


def test_the_result_of_the_coroutine_is_returned() -> None:
    assert ended(begin("await sleep(reactor, 0.01); return 42")) == ("working\ncleaned up\n42\n", "")


def test_the_exception_of_the_coroutine_is_raised() -> None:
    assert ended(begin("raise LookupError('lost')")) == ("working\ncleaned up\n", "LookupError: lost")


def interrupted(body: str, by: signal.Signals) -> tuple[str, str]:
    process = begin(body)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(by)
    return ended(process)


def test_the_coroutine_cleans_up_after_ctrl_c_and_sigterm() -> None:
    for by in (signal.SIGINT, signal.SIGTERM):
        assert interrupted("await sleep(reactor, 60)", by) == ("cleaned up\n", "KeyboardInterrupt")


def test_ctrl_c_interrupts_a_prompt() -> None:
    body = "exec('with default_sigint():\\n    print(\"working\", flush=True); sys.stdin.readline()')"
    process = begin(body)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["working\n", "working\n"]
    process.send_signal(signal.SIGINT)
    assert ended(process) == ("cleaned up\n", "KeyboardInterrupt")
