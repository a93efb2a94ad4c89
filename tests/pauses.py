"""Pauses of the machine, which may decide no test: a busy machine can stand still for seconds, and so can its disk.

A test that asserts a promised time subtracts the pauses. tests/conftest.py runs a test again if it failed during a pause.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

#: A step that is late by less is no pause, so that the load of the test itself does not count.
_PAUSE_S_MIN: Final = 0.2
_SLEEP_S: Final = 0.05
_SYNC_EVERY_S: Final = 0.25


class _Watch:
    """Does a step of a known time again and again in a thread; ``seconds`` is how much too long the steps took in all."""

    def __init__(self, step_s: float, step: Callable[[], bool]) -> None:
        """``step`` returns whether this was the last one."""
        self._step_s, self._step = step_s, step
        self._lock = threading.Lock()
        self._seconds = 0.0
        self._began_s = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def seconds(self) -> float:
        """With the step that is still under way."""
        with self._lock:
            return self._seconds + self._late_s(time.monotonic())

    def _late_s(self, now_s: float) -> float:
        late_s = now_s - self._began_s - self._step_s
        return late_s if late_s > _PAUSE_S_MIN else 0.0

    def _run(self) -> None:
        while not self._step():
            with self._lock:
                now_s = time.monotonic()
                self._seconds += self._late_s(now_s)
                self._began_s = now_s


class Pauses:
    """The pauses since it was made: of the processors, which a sleep shows, and of the disk, which fsync shows."""

    def __init__(self, ended: threading.Event) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the thread may use it after the end

        def sync() -> bool:
            with suppress(OSError):  # a test may limit what this process writes
                os.pwrite(file.fileno(), b"x", 0)
                os.fsync(file.fileno())
            return ended.wait(_SYNC_EVERY_S)

        self._watches = (_Watch(_SLEEP_S, lambda: ended.wait(_SLEEP_S)), _Watch(_SYNC_EVERY_S, sync))

    @property
    def seconds(self) -> float:
        """The seconds of all pauses."""
        return max(watch.seconds for watch in self._watches)


@contextmanager
def pauses() -> Iterator[Pauses]:
    """Measure the pauses of the machine while the block runs."""
    ended = threading.Event()
    try:
        yield Pauses(ended)
    finally:
        ended.set()


@contextmanager
def within(seconds_max: float) -> Iterator[None]:
    """Assert that the block takes less than this, without the pauses."""
    with pauses() as paused:
        began_s = time.monotonic()
        yield
        took_s = time.monotonic() - began_s
        assert took_s - paused.seconds < seconds_max, f"{took_s:.2f} s, with pauses of {paused.seconds:.2f} s"


def until_true(true: Callable[[], bool], within_s: float) -> None:
    """Wait until this is true, and assert that it takes less than ``within_s``, without the pauses."""
    until_s = time.monotonic() + 30
    with within(within_s):
        while not true():
            assert time.monotonic() < until_s, "the condition was not met in time"
            time.sleep(_SLEEP_S)


def sleep_without_pauses(seconds: float) -> None:
    """Sleep until the machine has run for this time: after a pause, servers need the rest of the time as well."""
    for _ in range(round(seconds / _SLEEP_S)):
        time.sleep(_SLEEP_S)
