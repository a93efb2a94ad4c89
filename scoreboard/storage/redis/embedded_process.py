"""The child process of the embedded Redis: how it is started, what it writes to its log, and how it ended."""

from __future__ import annotations

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

#: Becomes Redis, after asking the kernel for SIGTERM (15) when the parent ends: prctl(PR_SET_PDEATHSIG = 1), which exec keeps.
#: A parent that ended before that was asked is not told of any more, so look. In a session of its own a Ctrl-C in our terminal
#: does not reach it: we stop it when we have finished. What it writes is for us alone.
_LAUNCHER: Final = """
import ctypes, os, sys
os.setsid()
os.umask(0o077)
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
#: "17809:M 23 Nov 2026 22:37:36.376 * The server is now ready …": the mark tells how grave it is, # being a warning.
_LOG_LINE: Final = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ ([*#.-]) (.*)$")
#: What it marks as a warning whenever it starts and stops. Its advice on memory is for a Redis that must not lose a key.
_ROUTINE: Final = re.compile(
    "^(oO0OoO|Redis version=|Configuration loaded|Server initialized|WARNING Memory overcommit|User requested shutdown"
    "|Redis is now ready to exit)"
)


class RedisProcess(ProcessProtocol):
    """Reads what Redis says: into our log, and to know when it is ready or its file is spoiled."""

    _log = Logger(namespace="redis-server")
    transport: Any

    def __init__(self, tell_accepting: Callable[[], None]) -> None:
        self.ended: Deferred[None] = Deferred()
        self.accepting = False
        self.file_is_damaged = False
        self.why = ""
        self._tell_accepting = tell_accepting
        self._rest = b""

    def spawn(self, reactor: Any, paths: EmbeddedRedisPaths, directory_lock: DirectoryLock) -> None:
        """Start it; OSError when there are no more processes or descriptors."""
        arguments = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *paths.command()]
        # Descriptor 3 is the lock: the claim outlasts us for as long as the child does.
        fds: dict[int, int | str] = {0: "w", 1: "r", 2: "r", 3: directory_lock.descriptor}
        reactor.spawnProcess(self, sys.executable, arguments, env={}, childFDs=fds)

    def signal(self, name: str) -> None:
        """Send a signal, if there is still someone to receive it."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)

    def outReceived(self, data: bytes) -> None:
        """Twisted: Redis wrote to its log."""
        *log_lines, self._rest = (self._rest + data).split(b"\n")
        for log_line in log_lines:
            self._read(log_line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        """Twisted: so did whoever failed to become Redis."""
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        """Twisted: it ended, and all that it wrote was read."""
        self.why = reason.getErrorMessage()
        self.ended.callback(None)

    def _read(self, log_line: str) -> None:
        found = _LOG_LINE.match(log_line)
        grave, said = found.groups() if found else ("*", log_line)
        warns = grave == "#" and _ROUTINE.search(said) is None
        self._log.emit(LogLevel.warn if warns else LogLevel.info, "{said}", said=said)
        self.file_is_damaged = self.file_is_damaged or "Bad file format" in said
        if "ready to accept connections" in said:
            self.accepting = True
            self._tell_accepting()
