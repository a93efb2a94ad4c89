"""Where a test may stop the process dead. A leaf; only a test profile ever makes one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

#: Called with the name of each step a score has just passed: validated, judged, committed, drawn, marked, telling.
#: A test profile may stop the process dead there; otherwise it does nothing.
Failpoint = Callable[[str], None]


def no_failpoint(_step: str) -> None:
    """Nothing happens here."""


def failpoint(setting: str | None) -> Failpoint:
    """``STEP`` or ``STEP:N``: kill -9 ourselves when that step is passed (the N-th time). None: nothing ever happens."""
    if setting is None:
        return no_failpoint
    step, _, times = setting.partition(":")
    left = int(times or 1)

    def pass_by(passed: str) -> None:
        nonlocal left
        if passed == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
