"""Figures of a run: what was measured, what was promised, and the verdict; and what a server process costs meanwhile."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.journeys.server import ServerProcess


class Figures:
    """A small table that is printed as it grows, and a verdict."""

    def __init__(self, title: str) -> None:
        self.broken: list[str] = []
        _out(title)

    def say(self, what: str, value: object, promised: str = "") -> None:
        """A line of the table."""
        text = f"{value:,.1f}" if isinstance(value, float) else str(value)
        _out(f"  {what:<58}{text:>16}  {promised}".rstrip())

    def promise(self, what: str, value: float, at_most: float) -> None:
        """A line that is a promise: no more than so much."""
        self.say(what, value, f"at most {at_most:,.1f}")
        if not value <= at_most:
            self.broken.append(what)

    def expect(self, what: str, value: object, wanted: object) -> None:
        """A line that is a promise: exactly this."""
        self.say(what, value, f"must be {wanted}")
        if value != wanted:
            self.broken.append(what)

    def verdict(self) -> int:
        """Say it; 0 when all promises were kept, 1 otherwise."""
        _out("kept" if not self.broken else "BROKEN: " + "; ".join(self.broken))
        return 1 if self.broken else 0


def _out(text_line: str) -> None:
    sys.stdout.write(text_line + "\n")
    sys.stdout.flush()


def percentile(counted: Counter[int], share: float) -> int:
    """The value that this share of all does not exceed; 0 of nothing."""
    left = share * counted.total()
    for value, times in sorted(counted.items()):
        left -= times
        if left <= 0:
            return value
    return 0


def metrics(server: ServerProcess) -> dict[str, float]:
    """What the server measures of itself, without what has labels."""
    text_lines = (text_line.split() for text_line in server.get("/metrics").body.splitlines() if not text_line.startswith("#"))
    return {name: float(value) for name, value in text_lines if "{" not in name}


class Costs(threading.Thread):
    """Looks at a server process a few times a second: its memory at most, its CPU; and at last how late its reactor was."""

    _PAUSE_S = 0.25

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(daemon=True)
        assert server.process is not None
        self._server, self._paths = server, Path(f"/proc/{server.process.pid}")
        self._over = threading.Event()
        self.rss_kib = self.rss_kib_first = self._rss_kib()
        self.cpu_s_first = self._cpu_s()
        self.lag_s = 0.0

    @property
    def cpu_s(self) -> float:
        """CPU that it has used since we look."""
        return self._cpu_s() - self.cpu_s_first

    def run(self) -> None:
        with suppress(FileNotFoundError, StopIteration):  # it has ended, and somebody else will say so
            while not self._over.wait(self._PAUSE_S):
                self.rss_kib = max(self.rss_kib, self._rss_kib())

    def stop(self) -> None:
        """Look no more. ``lag_s`` is then the longest that the reactor was late in the last ten seconds."""
        self._over.set()
        self.join()
        self.lag_s = metrics(self._server)["reactor_lag_seconds"]

    def _rss_kib(self) -> int:
        text_lines = (self._paths / "status").read_text().splitlines()
        return int(next(text_line.split()[1] for text_line in text_lines if text_line.startswith("VmRSS")))

    def _cpu_s(self) -> float:
        fields = (self._paths / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server_for(crowd: int, **more: str) -> Iterator[ServerProcess]:
    """A server of one's own in a temporary directory, with a seat for everyone; stopped in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < crowd + 500:
        sys.exit(f"{crowd} sockets need more files than the {hard} that this machine allows a process (ulimit -Hn)")
    slots = str(crowd + 1_000)
    with tempfile.TemporaryDirectory(prefix="scoreboard-") as home_dir:
        server = ServerProcess(Path(home_dir), {"SOCKETS_MAX": slots, "SOCKETS_PER_ADDRESS_MAX": slots, **more})
        try:
            yield server.start()
        finally:
            server.kill()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
