"""A wall clock (libfaketime) that a test can set while processes use it. Their monotonic clocks stay true."""

from __future__ import annotations

import os
from pathlib import Path

from tests.programs import libfaketime


class FakeClock:
    """Processes started with ``environment`` see the true wall clock plus the sum of all steps."""

    def __init__(self, directory: Path, name: str = "clock") -> None:
        self._file = directory / name
        self.ahead_s = 0
        self.environment = {
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.step(0)

    def step(self, by_s: int) -> None:
        """Set the clock forward by so many seconds, or back if negative."""
        self.ahead_s += by_s
        written = self._file.with_name(self._file.name + ".new")
        written.write_text(f"{self.ahead_s:+d}")
        os.replace(written, self._file)  # atomic: no process reads a partial file
