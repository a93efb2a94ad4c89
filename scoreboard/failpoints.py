"""Failpoints: steps at which a test kills the process. A leaf. Only SCOREBOARD_ENV=test can set one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

#: Called with the name of the step that a score has just passed: validated, judged, committed, projected, cached, announcing.
#: With a failpoint it may kill the process; otherwise it does nothing.
Failpoint = Callable[[str], None]


def no_failpoint(_step: str) -> None:
    """Do nothing."""


def failpoint(setting: str | None) -> Failpoint:
    """The failpoint of a setting: ``STEP`` or ``STEP:N`` kills the process (SIGKILL) at the first or the N-th such step."""
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
