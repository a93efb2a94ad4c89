"""How a command waits on the real reactor, which runs once a process: so each of these has a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

#: Ctrl-C works as at a terminal: what a shell starts in the background inherits that SIGINT is ignored.
BEGIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from cli.reactor import interruptible, on_reactor, pause

async def work(reactor):
    try:
        print("working", flush=True)
        {body}
    finally:
        await pause(reactor, 0.01)
        print("cleaned up")

print(on_reactor(work))
"""


def begin(body: str) -> subprocess.Popen[str]:
    code = BEGIN.format(body=body)
    return subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=20)
    return out, err.strip().rpartition("\n")[2]


def test_what_the_work_returns_comes_out() -> None:
    assert ended(begin("await pause(reactor, 0.01); return 42")) == ("working\ncleaned up\n42\n", "")


def test_what_the_work_raises_comes_out() -> None:
    assert ended(begin("raise LookupError('lost')")) == ("working\ncleaned up\n", "LookupError: lost")


def interrupted(body: str, by: signal.Signals) -> tuple[str, str]:
    process = begin(body)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(by)
    return ended(process)


def test_ctrl_c_and_sigterm_let_it_clean_up() -> None:
    for by in (signal.SIGINT, signal.SIGTERM):
        assert interrupted("await pause(reactor, 60)", by) == ("cleaned up\n", "KeyboardInterrupt")


def test_ctrl_c_interrupts_a_question() -> None:
    body = "exec('with interruptible():\\n    print(\"working\", flush=True); sys.stdin.readline()')"
    process = begin(body)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["working\n", "working\n"]
    process.send_signal(signal.SIGINT)
    assert ended(process) == ("cleaned up\n", "KeyboardInterrupt")
