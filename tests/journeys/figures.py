"""Figures of a load test: measured values, their limits and the verdict; and the cost of the server process."""

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
    """A table that is printed row by row, and the verdict over its limits."""

    def __init__(self, title: str) -> None:
        self.broken: list[str] = []
        _out(title)

    def say(self, what: str, value: object, promised: str = "") -> None:
        """Print a row of the table."""
        text = f"{value:,.1f}" if isinstance(value, float) else str(value)
        _out(f"  {what:<58}{text:>16}  {promised}".rstrip())

    def promise(self, what: str, value: float, at_most: float) -> None:
        """Print a row with an upper limit."""
        self.say(what, value, f"at most {at_most:,.1f}")
        if not value <= at_most:
            self.broken.append(what)

    def expect(self, what: str, value: object, wanted: object) -> None:
        """Print a row with the one allowed value."""
        self.say(what, value, f"must be {wanted}")
        if value != wanted:
            self.broken.append(what)

    def verdict(self) -> int:
        """Print the verdict; 0 if all limits were kept, otherwise 1."""
        _out("kept" if not self.broken else "BROKEN: " + "; ".join(self.broken))
        return 1 if self.broken else 0


def _out(text_line: str) -> None:
    sys.stdout.write(text_line + "\n")
    sys.stdout.flush()


def percentile(counted: Counter[int], share: float) -> int:
    """The value that this share of all values does not exceed; 0 if there are none."""
    left = share * counted.total()
    for value, times in sorted(counted.items()):
        left -= times
        if left <= 0:
            return value
    return 0


def metrics(server: ServerProcess) -> dict[str, float]:
    """The server's metrics without labels, by name."""
    text_lines = (text_line.split() for text_line in server.get("/metrics").body.splitlines() if not text_line.startswith("#"))
    return {name: float(value) for name, value in text_lines if "{" not in name}


class Costs(threading.Thread):
    """Samples a server process: its highest memory, its CPU time, and in the end the lag of its reactor."""

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
        """The CPU time in seconds since this object was made."""
        return self._cpu_s() - self.cpu_s_first

    def run(self) -> None:
        with suppress(FileNotFoundError, StopIteration):  # the process has ended; another check reports that
            while not self._over.wait(self._PAUSE_S):
                self.rss_kib = max(self.rss_kib, self._rss_kib())

    def stop(self) -> None:
        """Stop the sampling. ``lag_s`` is then the longest lag of the reactor in the last ten seconds."""
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
def server_for(sockets: int, **more: str) -> Iterator[ServerProcess]:
    """A server in a temporary directory that allows ``sockets`` sockets; it is killed after the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < sockets + 500:
        sys.exit(f"{sockets} sockets need more files than the {hard} that this machine allows a process (ulimit -Hn)")
    slots = str(sockets + 1_000)
    with tempfile.TemporaryDirectory(prefix="scoreboard-") as home_dir:
        server = ServerProcess(Path(home_dir), {"SOCKETS_MAX": slots, "SOCKETS_PER_ADDRESS_MAX": slots, **more})
        try:
            yield server.start()
        finally:
            server.kill()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
