"""The child process of the embedded Redis: how it is started, what it writes to its log, and how it ended."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths

#: Asks the kernel for SIGTERM (15) when the parent ends (prctl PR_SET_PDEATHSIG = 1, which exec keeps), then becomes Redis.
#: The parent may have ended before that call, so the script compares the parent's process id with the expected one. In a session
#: of its own, Redis gets no Ctrl-C of our terminal: the server stops it last. The umask makes Redis' files private.
_LAUNCHER: Final = """
import ctypes, os, sys
os.setsid()
os.umask(0o077)
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
#: A line of Redis' log: "17809:M 23 Nov 2026 22:37:36.376 * The server is now ready …". The mark is the level; # is a warning.
_LOG_LINE: Final = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ ([*#.-]) (.*)$")
#: Warnings that Redis logs at every start and stop. Its advice on memory is for a Redis that must not lose a key.
_ROUTINE: Final = re.compile(
    "^(oO0OoO|Redis version=|Configuration loaded|Server initialized|WARNING Memory overcommit|User requested shutdown"
    "|Redis is now ready to exit)"
)


class RedisProcess(ProcessProtocol):
    """Copies Redis' log into ours, and learns from it when Redis is ready and whether its file is damaged."""

    _log = Logger(namespace="redis-server")
    transport: Any

    def __init__(self, on_accepting: Callable[[], None]) -> None:
        self.ended: Deferred[None] = Deferred()
        self.accepting = False
        self.file_is_damaged = False
        self.why = ""
        self._on_accepting = on_accepting
        self._rest = b""

    def spawn(self, reactor: Any, paths: EmbeddedRedisPaths, directory_lock: DirectoryLock) -> None:
        """Start it. Raises OSError when there are no more processes or descriptors."""
        arguments = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *paths.command()]
        # Descriptor 3 is the lock, which is held as long as the child lives.
        fds: dict[int, int | str] = {0: "w", 1: "r", 2: "r", 3: directory_lock.descriptor}
        reactor.spawnProcess(self, sys.executable, arguments, env={}, childFDs=fds)

    def signal(self, name: str) -> None:
        """Send a signal, if the process has not ended."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)

    def outReceived(self, data: bytes) -> None:
        """Twisted: Redis wrote to its log."""
        *log_lines, self._rest = (self._rest + data).split(b"\n")
        for log_line in log_lines:
            self._read(log_line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        """Twisted: the launcher script failed."""
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        """Twisted: the process ended, and all its output was read."""
        self.why = reason.getErrorMessage()
        self.ended.callback(None)

    def _read(self, log_line: str) -> None:
        found = _LOG_LINE.match(log_line)
        grave, said = found.groups() if found else ("*", log_line)
        level = LogLevel.info
        if grave == "#" and _ROUTINE.search(said) is None:
            level = LogLevel.error if os.strerror(errno.ENOSPC) in said else LogLevel.warn
        self._log.emit(level, "{said}", said=said)
        self.file_is_damaged = self.file_is_damaged or "Bad file format" in said
        if "ready to accept connections" in said:
            self.accepting = True
            self._on_accepting()
