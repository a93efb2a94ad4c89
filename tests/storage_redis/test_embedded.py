"""The embedded Redis is started, watched, restarted, and never left behind."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall

from scoreboard.storage.redis.client import RedisClient
from scoreboard.storage.redis.embedded import EmbeddedRedis, EmbeddedRedisBusy
from scoreboard.storage.redis.embedded_process import RedisProcess
from scoreboard.storage.redis.errors import RedisHasNoSpace, RedisUnusable
from scoreboard.storage.redis.paths import EmbeddedRedisPaths, redis_binary
from tests.awaiting import result_of, run
from tests.storage_redis.harness import CountingMeter, linked, logged, passed, the_reactor, until


@asynccontextmanager
async def embedded(data_dir: Path, patience_s: float = 5.0) -> AsyncIterator[EmbeddedRedis]:
    """An embedded Redis that is ready, and is stopped in the end."""
    redis = EmbeddedRedis(data_dir, the_reactor(), CountingMeter(), patience_s=patience_s)
    await redis.start()
    try:
        await redis.ready
        yield redis
    finally:
        await redis.stop()


def watched(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run, and reap children that end: `run` installs no signal handlers, so the reactor does not notice their end."""

    async def watching() -> None:
        reaping = LoopingCall(reapAllProcesses)
        reaping.start(0.02).addErrback(lambda _: None)
        try:
            await main()
        finally:
            reaping.stop()

    run(watching)


def url_of(data_dir: Path) -> str:
    return EmbeddedRedisPaths(data_dir).url


def child_pid(data_dir: Path) -> int | None:
    """The process id of the redis-server that runs in this data directory."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.joinpath("exe").samefile(redis_binary()) and process.joinpath("cwd").samefile(data_dir / "redis"):
                return int(process.name)
    return None


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ended(pid: int, within_s: float = 20.0) -> bool:
    until_s = time.monotonic() + within_s
    while lives(pid) and time.monotonic() < until_s:
        time.sleep(0.02)
    return not lives(pid)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "var"


def test_the_data_is_kept_in_a_private_directory_and_read_at_the_next_start(data_dir: Path) -> None:
    async def main() -> None:
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            await client.call("SET", "kept", "yes")
            settings = await client.call("CONFIG", "GET", "*")
            answered = dict(zip(settings[::2], settings[1::2], strict=True))
            assert (answered[b"port"], answered[b"appendonly"], answered[b"appendfsync"]) == (b"0", b"yes", b"everysec")
            assert (answered[b"save"], answered[b"maxmemory-policy"]) == (b"", b"noeviction")
            pid = child_pid(data_dir)
            assert pid is not None
            assert os.getpgid(pid) != os.getpgrp(), "a Ctrl-C in our terminal does not reach Redis"
        assert child_pid(data_dir) is None
        assert not lives(pid)
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            assert await client.call("GET", "kept") == b"yes"
        assert stat.S_IMODE((data_dir / "redis").stat().st_mode) == 0o700
        assert not (data_dir / "redis" / "redis.sock").exists()

    watched(main)


def test_a_child_that_ends_is_started_again(data_dir: Path) -> None:
    async def main() -> None:
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            first = child_pid(data_dir)
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda: not client.up)
            await client.reached(5_000)
            assert child_pid(data_dir) not in (None, first)

    watched(main)


def test_a_child_that_ignores_sigterm_is_killed(data_dir: Path) -> None:
    async def main() -> None:
        async with embedded(data_dir, patience_s=0.2):
            pid = child_pid(data_dir)
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        assert not lives(pid)

    watched(main)


def test_a_second_server_on_the_same_directory_is_refused(data_dir: Path) -> None:
    async def main() -> None:
        async with embedded(data_dir):
            second = EmbeddedRedis(data_dir, the_reactor(), CountingMeter())
            with pytest.raises(EmbeddedRedisBusy, match=f"in use by another server .process {os.getpid()}"):
                await second.start()
            await second.stop()
            pid = child_pid(data_dir)
            assert pid is not None
            assert lives(pid)

    watched(main)


def test_a_long_path_gets_a_short_private_socket_always_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        data_dir = tmp_path / ("long" * 30) / "var"
        paths = EmbeddedRedisPaths(data_dir)
        assert len(os.fsencode(paths.socket)) <= 107
        assert paths.url == EmbeddedRedisPaths(data_dir).url
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            await client.ping()
            assert stat.S_IMODE(paths.socket.parent.stat().st_mode) == 0o700
        paths.socket.parent.rmdir()

    watched(main)


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    (data_dir / "redis").symlink_to(tempfile.gettempdir())
    with pytest.raises(RedisUnusable, match=f"cannot use {data_dir}/redis .* set SCOREBOARD_DATA_DIR"):
        result_of(EmbeddedRedis(data_dir, the_reactor(), CountingMeter()).start())


@pytest.mark.parametrize("in_the_place", ["redis", "redis/lock"])
def test_another_file_at_its_path_is_reported_in_one_line(in_the_place: str, data_dir: Path) -> None:
    (data_dir / in_the_place).parent.mkdir(parents=True)
    if in_the_place == "redis":
        (data_dir / in_the_place).write_bytes(b"")
    else:
        (data_dir / in_the_place).mkdir()
    with pytest.raises(RedisUnusable, match=rf"^the embedded Redis cannot use {data_dir}/{in_the_place} \("):
        result_of(EmbeddedRedis(data_dir, the_reactor(), CountingMeter()).start())


def test_a_directory_that_cannot_be_created_is_reported_in_one_line() -> None:
    with pytest.raises(RedisUnusable, match=r"cannot use /dev/null/var \(Not a directory\): .* set SCOREBOARD_DATA_DIR"):
        result_of(EmbeddedRedis(Path("/dev/null/var"), the_reactor(), CountingMeter()).start())


def test_symbolic_links_in_a_circle_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "var").symlink_to(tmp_path / "var")
    with pytest.raises(RedisUnusable, match=r"cannot use .*/var \(Too many levels of symbolic links\): "):
        EmbeddedRedis(tmp_path / "var", the_reactor(), CountingMeter())


@pytest.mark.parametrize(
    ("call", "number", "kind"),
    [
        ("pathlib.Path.chmod", errno.EPERM, RedisUnusable),
        ("pathlib.Path.lstat", errno.EIO, RedisUnusable),
        ("pathlib.Path.mkdir", errno.ENOSPC, RedisHasNoSpace),
        ("os.open", errno.EROFS, RedisUnusable),
        ("os.open", errno.EDQUOT, RedisHasNoSpace),
        ("fcntl.flock", errno.ENOLCK, RedisUnusable),
        ("os.pwrite", errno.ENOSPC, RedisHasNoSpace),
        ("os.pwrite", errno.EIO, RedisUnusable),
    ],
)
def test_each_error_of_the_operating_system_is_reported_in_one_line(
    call: str, number: int, kind: type[Exception], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "redis").mkdir(parents=True)
    (data_dir / "redis").chmod(0o755)
    redis = EmbeddedRedis(data_dir, the_reactor(), CountingMeter())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(call, refuse)
        with pytest.raises(kind, match=r"\A[^\n]*SCOREBOARD_DATA_DIR[^\n]*\Z"):
            result_of(redis.start())


def test_an_unreadable_process_id_is_reported_in_one_line(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with embedded(data_dir):
            monkeypatch.setattr("os.pread", lambda *_: os.open("/nowhere/at/all", os.O_RDONLY))
            with pytest.raises(RedisUnusable, match=r"redis/lock \(No such file or directory\)"):
                await EmbeddedRedis(data_dir, the_reactor(), CountingMeter()).start()

    watched(main)


def test_a_child_whose_process_id_cannot_be_written_is_still_supervised(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def main() -> None:
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            monkeypatch.setattr("os.pwrite", full)
            with logged("EmbeddedRedis") as text_lines:
                for _ in range(2):
                    first = child_pid(data_dir)
                    assert first is not None
                    os.kill(first, signal.SIGKILL)
                    await until(lambda: not client.up)
                    await client.reached(5_000)
                    assert child_pid(data_dir) not in (None, first)
            assert len([text_line for text_line in text_lines if text_line.startswith("error no space left in ")]) == 1
            monkeypatch.undo()

    watched(main)


def test_a_child_that_cannot_be_started_is_started_later(data_dir: Path) -> None:
    class NoProcesses:
        """A reactor that cannot start the first two processes."""

        left = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(the_reactor(), name)

        def spawnProcess(self, *words: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left >= 0:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return the_reactor().spawnProcess(*words, **more)

    async def main() -> None:
        redis = EmbeddedRedis(data_dir, NoProcesses(), CountingMeter())
        await redis.start()
        await redis.ready
        assert child_pid(data_dir) is not None
        await redis.stop()

    watched(main)


def test_the_socket_path_is_short_even_if_the_temporary_directory_has_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 42)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))  # what TMPDIR sets

    async def main() -> None:
        data_dir = long / "var"
        paths = EmbeddedRedisPaths(data_dir)
        assert paths.url == EmbeddedRedisPaths(data_dir).url
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            await client.ping()
            assert stat.S_IMODE(paths.socket.parent.stat().st_mode) == 0o700
        paths.socket.parent.rmdir()

    watched(main)


def test_a_child_that_hangs_is_killed_and_started_again(data_dir: Path) -> None:
    async def main() -> None:
        redis = EmbeddedRedis(data_dir, the_reactor(), CountingMeter(), hung_s=1.0)
        await redis.start()
        try:
            await redis.ready
            async with linked(url_of(data_dir)) as client:
                await passed(1_500)
                first = child_pid(data_dir)
                assert first is not None
                os.kill(first, signal.SIGSTOP)
                await until(lambda: not client.up)
                await until(lambda: client.up, 6_000)
                assert child_pid(data_dir) not in (None, first)
        finally:
            await redis.stop()

    watched(main)


def test_a_damaged_file_is_renamed_and_redis_starts_without_it(data_dir: Path) -> None:
    async def main() -> None:
        paths = EmbeddedRedisPaths(data_dir)
        paths.prepare()
        paths.file.write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\nnonsense\r\n" * 3)
        async with embedded(data_dir), linked(url_of(data_dir)) as client:
            assert await client.call("DBSIZE") == 0
        assert paths.file.with_suffix(".spoiled").read_bytes().endswith(b"nonsense\r\n")

    watched(main)


SERVER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from scoreboard.storage.redis.embedded import EmbeddedRedis
from scoreboard.metrics import Metrics
redis = EmbeddedRedis(Path(sys.argv[1]), reactor, Metrics())
ensureDeferred(redis.start())
redis.ready.addCallback(lambda _: print("ready", flush=True))
reactor.run()
"""


def test_the_child_of_a_killed_server_ends_and_the_next_server_takes_over(data_dir: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    pid = child_pid(data_dir)
    assert pid is not None

    async def next_server() -> None:
        server.kill()
        server.wait()
        async with embedded(data_dir):  # while the orphan may still be writing its file
            assert child_pid(data_dir) not in (None, pid)

    watched(next_server)
    server.stdout.close()
    assert ended(pid)


def test_an_orphan_that_does_not_end_is_killed(data_dir: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    pid = child_pid(data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    server.kill()
    server.wait()
    server.stdout.close()

    async def next_server() -> None:
        async with embedded(data_dir, patience_s=0.2):
            assert child_pid(data_dir) not in (None, pid)

    watched(next_server)
    assert ended(pid)


def test_a_stop_while_it_waits_is_immediate(data_dir: Path) -> None:
    async def main() -> None:
        redis = EmbeddedRedis(data_dir, the_reactor(), CountingMeter())
        await redis.start()
        await redis.stop()
        assert child_pid(data_dir) is None
        client = RedisClient(url_of(data_dir), the_reactor(), CountingMeter())
        assert not client.up

    watched(main)


def test_the_binary_is_that_of_the_wheel() -> None:
    said = subprocess.run([redis_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert "v=6.2" in said


def test_what_redis_writes_at_every_start_and_stop_is_info(data_dir: Path) -> None:
    async def main() -> None:
        with logged("RedisProcess") as text_lines:
            async with embedded(data_dir):
                pass
        assert any("Redis is starting" in text_line for text_line in text_lines)
        assert [text_line for text_line in text_lines if not text_line.startswith("info ")] == []

    watched(main)


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("# Error writing to the AOF file: No space left on device", "error"),
        ("# Short write while writing to the AOF file: (nwritten=1, expected=9)", "warn"),
        ("* Ready to accept connections", "info"),
    ],
)
def test_a_line_of_redis_about_a_full_disk_is_an_error(said: str, level: str) -> None:
    with logged("RedisProcess") as text_lines:
        RedisProcess(lambda: None).outReceived(f"17809:M 23 Nov 2026 22:37:36.376 {said}\n".encode())
    assert text_lines == [f"{level} {said[2:]}"]
