"""Early signals: what a stop signal does until the server has its own handlers. A leaf that imports nothing slow."""

from __future__ import annotations

import os
import signal


def end_at_once_on_stop_signals() -> None:
    """End the process with 0 on SIGTERM, SIGINT and SIGHUP, because nothing is open yet; ignore SIGUSR1 and SIGUSR2.

    A signal that the parent ignored stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(0))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
