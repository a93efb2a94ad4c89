"""The CPU seconds of the server, its Redis and PostgreSQL."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import redis

from tests.journeys.server import ServerProcess
from tests.storage.postgres_server import PostgresServer

_TICKS = os.sysconf("SC_CLK_TCK")


class CpuUsage:
    """Measures the CPU seconds since this object was made."""

    def __init__(self, server: ServerProcess, store: redis.Redis, database: PostgresServer | None) -> None:
        assert server.process is not None
        self._pids = {"server": server.process.pid, "Redis": int(store.info()["process_id"])}
        if database is not None:
            self._pids["PostgreSQL"] = database.pid
        self._before = self._now()

    def so_far(self) -> dict[str, float]:
        """The CPU seconds of each process, by name."""
        return {name: round(now - self._before[name], 2) for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: _cpu_s(pid, whole=name == "PostgreSQL") for name, pid in self._pids.items()}


def _cpu_s(pid: int, *, whole: bool) -> float:
    """The CPU seconds of a process; with ``whole`` also those of its children, running or ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = sum(int(field) for field in fields[11 : 15 if whole else 13]) / _TICKS
    if whole:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(FileNotFoundError):
                cpu += _cpu_s(int(child), whole=True)
    return cpu
