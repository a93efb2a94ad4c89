"""`scoreboard config check` ends as the start of a server with the same settings ends: 78 for good, 3 where a start may be tried
again, 0 where a server starts. It makes no file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from config import BadSettings
from config.settings import load_settings
from scoreboard.domain.errors import StoreMisconfigured
from scoreboard.service.config_report import report_settings
from scoreboard.service.wiring import fitted_capacity
from scoreboard.storage.redis.paths import DirectoryLock, EmbeddedRedisPaths
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.sql.errors import LedgerUnusable
from tests.journeys.server import ServerProcess
from tests.operations.test_sqlite_start import a_letter, anothers_database
from tests.operations.test_start import GIVEN, started
from tests.storage.postgres_server import postgres
from tests.storage_redis.redis_server import RedisServer

COMMAND = str(Path(sys.executable).with_name("scoreboard"))


def checked(environ: dict[str, str], directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "config", "check", *options],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "SCOREBOARD_DATA_DIR": str(directory / "var"), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_before_its_first_start_there_is_no_ledger_and_nothing_is_wrong(tmp_path: Path) -> None:
    ended = checked({}, tmp_path, "--connect")
    assert ended.returncode == 0, ended.stderr
    assert "There is no ledger yet: the server makes it at its start.\n" in ended.stderr
    assert list(tmp_path.iterdir()) == [], "the check makes no file"


def test_before_its_first_start_redis_is_tried(tmp_path: Path) -> None:
    ended = checked({"REDIS_URL": "redis://127.0.0.1:1/0"}, tmp_path, "--connect")
    assert ended.returncode == 3
    assert "REDIS_URL 127.0.0.1 port 1" in ended.stderr
    assert "REDIS_URL /nowhere/s" in checked({"REDIS_URL": "unix:///nowhere/s"}, tmp_path, "--connect").stderr
    redis = RedisServer()
    try:
        ended = checked({"REDIS_URL": redis.url}, tmp_path, "--connect")
    finally:
        redis.close()
    assert (ended.returncode, ended.stderr.splitlines()[1:]) == (0, ["Redis answers."])


def test_a_redis_that_may_evict_keys_is_78_in_production(tmp_path: Path) -> None:
    redis = RedisServer("--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
    secrets = {"JWT_SECRET": os.urandom(32).hex(), "ACTION_SIGNATURE_SECRET": os.urandom(32).hex()}
    try:
        ended = checked({"SCOREBOARD_ENV": "production", "REDIS_URL": redis.url, **secrets}, tmp_path, "--connect")
    finally:
        redis.close()
    assert ended.returncode == 78
    assert ended.stderr.startswith("Error: REDIS_URL: Redis may evict keys")


def found(environ: dict[str, str]) -> tuple[str, ...]:
    """The complaints of `config check` without --connect."""
    return report_settings(environ, lambda _: GIVEN).complaints


@pytest.mark.parametrize("make", [a_letter, anothers_database, os.mkfifo])
def test_a_file_that_can_be_no_ledger_is_78_for_the_check_and_the_start(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "ledger.db")
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/ledger.db", **GIVEN}
    ended, check = started(environ, tmp_path), checked(environ, tmp_path, "--connect")
    assert (ended.returncode, check.returncode) == (78, 78), (ended.stderr, check.stderr)
    assert ended.stderr.removeprefix("scoreboard: ") == check.stderr.removeprefix("Error: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device", "no directory", "in a file"])
def test_a_path_that_can_be_no_ledger_is_found_without_a_connection(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "file").touch()
    path = {
        "device": Path("/dev/null"),
        "no directory": tmp_path / "nowhere" / "ledger.db",
        "in a file": tmp_path / "file" / "ledger.db",
        "link to a pipe": tmp_path / "link",
    }.get(kind, tmp_path / "pipe")
    (complaint,) = found({"DATABASE_URL": f"sqlite:///{path}", **GIVEN})
    assert complaint.startswith("DATABASE_URL: ")


def test_a_start_upgrades_a_ledger_of_an_older_release(tmp_path: Path) -> None:
    (tmp_path / "old.db").touch()
    assert checked({"DATABASE_URL": f"sqlite:///{tmp_path}/old.db"}, tmp_path, "--connect").returncode == 0


@pytest.mark.parametrize("directory", ["/proc", "/proc/x/y"])
@pytest.mark.parametrize("environ", [{}, GIVEN, {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h/0"}])
def test_a_data_directory_that_cannot_be_written_is_found_without_a_connection(directory: str, environ: dict[str, str]) -> None:
    (complaint,) = found({**environ, "SCOREBOARD_DATA_DIR": directory})
    assert complaint.startswith("SCOREBOARD_DATA_DIR should name a directory into which the server can write, for example")


def test_a_data_directory_that_nothing_needs_is_not_looked_at() -> None:
    stores = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h/0"}
    assert found({**stores, **GIVEN, "SCOREBOARD_DATA_DIR": "/proc"}) == ()


@pytest.mark.parametrize(
    "query",
    [
        "port=99999",
        "port=0",
        "port=x",
        "port=1_0",
        "host=h..x",
        "host=/tmp,h..x",
        f"host={'h' * 64}.org",
        "sslrootcert=/dev/zero",
    ],
)
def test_what_libpq_would_refuse_at_each_login_is_found_without_a_connection(query: str) -> None:
    (complaint,) = found({"DATABASE_URL": f"postgresql:///d?{query}"})
    assert complaint.startswith("DATABASE_URL")


@pytest.mark.parametrize(
    "options", ["-c nosuch=off", "-c work_mem=much", "nonsense", "-c shared_buffers=1GB", "--x", "-c work_mem"]
)
def test_options_that_postgresql_refuses_are_the_operators_to_mend(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres().url()
    with pytest.raises(StoreMisconfigured, match=r"^DATABASE_URL: its options set a parameter"):
        require_schema(f"{url}{'&' if '?' in url else '?'}options={quote(options)}")
    monkeypatch.setenv("PGOPTIONS", options)
    with pytest.raises(StoreMisconfigured, match=r"^PGOPTIONS set a parameter"):
        require_schema(url)


def test_a_host_of_the_environment_that_no_resolver_takes_is_the_operators_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "h..x")
    with pytest.raises(StoreMisconfigured, match=r"^DATABASE_URL"):
        require_schema("postgresql:///d")


@pytest.mark.parametrize("spelled", ["SOCKETS_MAX", "sockets_max (in {file})"])
def test_the_line_about_open_files_names_the_setting_as_it_was_written(spelled: str, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text("sockets_max = 9000000000\n")
    secrets = {"JWT_SECRET": os.urandom(32).hex(), "ACTION_SIGNATURE_SECRET": os.urandom(32).hex()}
    environ = {"SOCKETS_MAX": "9000000000"} if spelled == "SOCKETS_MAX" else {"SCOREBOARD_CONFIG_FILE": str(file)}
    with pytest.raises(BadSettings) as refused:
        fitted_capacity(load_settings({"SCOREBOARD_ENV": "production", **secrets, **environ}))
    assert str(refused.value).startswith(f"{spelled.format(file=file)} (9000000000) and HTTP_CONNECTIONS_MAX (8000) need 9")


@pytest.mark.parametrize(
    ("url", "said"),
    [("rediss://h/3", "h port 6379, with TLS, database 3"), ("unix:///run/r.sock?db=2", "/run/r.sock, database 2")],
)
def test_it_shows_whether_redis_is_asked_with_tls_and_which_database(url: str, said: str) -> None:
    report = report_settings({"REDIS_URL": url}, lambda _: GIVEN)
    assert [one.value for one in report.settings if one.name == "REDIS_URL"] == [f"Redis at {said}"]


def test_a_working_directory_that_was_removed_is_one_line_and_78(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"]}
    for command in (f"{COMMAND} config check", f"{sys.executable} -P -m scoreboard"):
        gone = tmp_path / "gone"
        gone.mkdir()
        script = f"cd {gone}; rmdir {gone}; exec {command}"
        ended = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 78, ended.stderr
        assert "SCOREBOARD_DATA_DIR should be an absolute path" in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environ", "status"), [({"PORT": "x"}, 78), ({"DATABASE_URL": "postgresql://127.0.0.1:1/d", **GIVEN}, 69)]
)
def test_the_exit_code_is_the_same_if_stderr_is_closed(environ: dict[str, str], status: int, tmp_path: Path) -> None:
    script = f"exec {sys.executable} -P -m scoreboard 2>&- >/dev/null"
    environ = {"PATH": os.environ["PATH"], "SCOREBOARD_DATA_DIR": str(tmp_path / "var"), **environ}
    assert subprocess.run(["sh", "-c", script], env=environ, cwd=tmp_path, timeout=60, check=False).returncode == status


def test_a_data_directory_that_another_server_uses_may_become_free(tmp_path: Path) -> None:
    paths = EmbeddedRedisPaths(tmp_path / "var")
    paths.prepare()
    directory_lock = DirectoryLock(paths)
    assert directory_lock.acquire()
    directory_lock.sign(os.getpid(), 0)
    try:
        ended = started(GIVEN, tmp_path)
    finally:
        directory_lock.release()
    said = f"scoreboard: SCOREBOARD_DATA_DIR: {paths.directory} is in use by another server (process {os.getpid()})\n"
    assert (ended.returncode, ended.stderr) == (69, said)


def test_a_ledger_that_the_user_may_only_read_is_found_before_the_first_award(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may write every file."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    migrate(url)
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).endswith(".db"))
    with pytest.raises(LedgerUnusable, match=r"ledger\.db is not writable for the user that runs the server"):
        migrate(url)
    (complaint,) = found({"DATABASE_URL": url, **GIVEN})
    assert complaint.startswith(f"DATABASE_URL: {tmp_path}/ledger.db is not writable")


def test_a_file_of_boards_that_the_ledger_cannot_follow_is_refused_by_the_check_and_by_a_start(tmp_path: Path) -> None:
    boards_file = tmp_path / "boards.toml"
    environ = {"SCOREBOARD_BOARDS_FILE": str(boards_file), "SCOREBOARD_ENV": "test", **GIVEN}
    boards_file.write_text('[high]\nscore = "best"\n')
    server = ServerProcess(tmp_path / "var", {"SCOREBOARD_BOARDS_FILE": str(boards_file)}).start()
    assert checked(environ, tmp_path, "--connect").returncode == 0
    boards_file.write_text('[high]\nscore = "count"\n')
    said = (
        f"SCOREBOARD_BOARDS_FILE ({boards_file}): [high] score cannot be changed: "
        "declare a board of another name, and remove this one"
    )
    ended = checked(environ, tmp_path, "--connect")
    assert (ended.returncode, ended.stderr) == (78, f"Error: {said}\n")
    assert server.stop() == 0
    server.launch()
    assert server.wait() == 78
    assert f"scoreboard: {said}" in server.log.splitlines()
