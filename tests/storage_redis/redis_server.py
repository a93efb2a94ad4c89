"""A redis-server for tests, with our binary and options, in a temporary directory, without Twisted."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from scoreboard.storage.redis.paths import EmbeddedRedisPaths

_libc = ctypes.CDLL(None)


def _die_with_the_tests() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: also when the tests are killed


class RedisServer:
    """A redis-server on a unix socket, reached by ``url``. It can be killed, stopped and continued; `close` ends it for good.

    ``binary`` is another than the one that we ship, ``environment`` adds to the tests' own (another clock, say).
    """

    def __init__(self, *options: str, binary: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self._data_dir = Path(tempfile.mkdtemp(prefix="redis-test-"))
        self._paths = EmbeddedRedisPaths(self._data_dir)
        self._options = options
        self._binary = binary
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self.url = self._paths.url
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> Path:
        return self._paths.socket

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        self.launch()
        until = time.monotonic() + 20
        while not self.tell("PING").startswith(("+PONG", "-NOAUTH")):
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.005)

    def launch(self, *more_options: str) -> None:
        """Start it (again) without waiting."""
        self._paths.prepare()
        command = [*self._paths.command(), *self._options, *more_options]
        command[0] = self._binary or command[0]
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, preexec_fn=_die_with_the_tests
        )

    def kill(self) -> None:
        """End it as a crash would."""
        self.cont()
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the process: connections stay open, and nothing is answered."""
        self.stopped = True
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Continue the process."""
        self.stopped = False
        self._signal(signal.SIGCONT)

    def tell(self, *command: str) -> str:
        """Send one command over a new connection. Returns the first line of the reply, or "" without a server."""
        return self.ask(*command).split("\r\n")[0]

    def ask(self, *command: str, within_s: float = 5.0) -> str:
        """Send one command over a new connection. Returns the raw reply (up to 64 KiB), or "" without a server."""
        said = f"*{len(command)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within_s)
            try:
                connection.connect(str(self._paths.socket))
                connection.sendall(said.encode())
                return connection.recv(65_536).decode()
            except OSError:
                return ""

    def flush(self) -> None:
        """Delete all keys and scripts."""
        self.tell("FLUSHALL")
        self.tell("SCRIPT", "FLUSH")

    def close(self) -> None:
        """End it and delete its files."""
        self.kill()
        shutil.rmtree(self._data_dir, ignore_errors=True)
        if self._data_dir not in self._paths.socket.parents:
            shutil.rmtree(self._paths.socket.parent, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
