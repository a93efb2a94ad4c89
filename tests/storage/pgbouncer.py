"""A PgBouncer process for tests: it stands before the PostgreSQL server of the tests, in the pool mode that a test needs."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.journeys.server import free_port
from tests.programs import program

_START_SECONDS_MAX = 20.0


class PgBouncer:
    """A running PgBouncer. It listens on a port of its own and accepts every user."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def url(self, database_url: str) -> str:
        """The URL of a database, through PgBouncer."""
        path = database_url.partition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{path}"

    def open_sessions(self, database_url: str, sessions: int) -> None:
        """Make PgBouncer open this many sessions of the database. From then on it uses them in turn."""
        with contextlib.ExitStack() as stack:
            for _ in range(sessions):
                stack.enter_context(psycopg.connect(self.url(database_url))).execute("SELECT 1")


@contextlib.contextmanager
def pgbouncer(server: Path, *, pool_mode: str = "transaction", **settings: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer before the PostgreSQL server whose socket is in the directory ``server``. ``settings`` are its own."""
    binary = program("pgbouncer", "pgbouncer")
    directory = Path(tempfile.mkdtemp(prefix="scoreboard-pgbouncer-"))
    port = free_port()
    text_lines = {"listen_addr": "127.0.0.1", "listen_port": str(port), "unix_socket_dir": "", "auth_type": "trust"}
    text_lines |= {
        "auth_file": str(directory / "users"),
        "pool_mode": pool_mode,
        "default_pool_size": "4",
        "server_round_robin": "1",
    } | settings
    (directory / "users").write_text('"postgres" ""\n')
    ini = directory / "pgbouncer.ini"
    ini.write_text(
        f"[databases]\n* = host={server}\n[pgbouncer]\n" + "".join(f"{key} = {value}\n" for key, value in text_lines.items())
    )
    directory.chmod(0o755)
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([binary, *as_user, str(ini)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + _START_SECONDS_MAX
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((directory / "log").read_text()[-2000:])
            time.sleep(0.02)
        yield PgBouncer(port, process)
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)
