"""Commands that fail, as real processes: one line names the setting or the file, with an exit code and no partial results."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoreboard.storage.schema import migrate
from tests.drills.small_disk import SmallDisk, small_disk
from tests.journeys.server import ServerProcess
from tests.operations.test_start import ROOT, started
from tests.storage.claims import claim
from tests.storage.sql_stores import open_store
from tests.storage_redis.redis_server import RedisServer

SCOREBOARD = Path(sys.executable).with_name("scoreboard")


def command(directory: Path, *words: str, said: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this directory; ``said`` is its stdin."""
    return subprocess.run(
        [SCOREBOARD, *words],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environ},
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def harness(tmp_path: Path) -> Path:
    """A directory after a run of the server: var/ has a ledger with one award."""
    (tmp_path / "var").mkdir(mode=0o700)
    url = f"sqlite:///{tmp_path}/var/ledger.db"
    migrate(url)
    writes = open_store(url).writes
    writes.award([claim("amy")], [])
    writes.close()
    return tmp_path


@pytest.fixture
def full_disk() -> Iterator[SmallDisk]:
    with small_disk(1) as disk:
        disk.fill()
        yield disk


@pytest.mark.parametrize(
    "words", ["top", "audit list", "audit export", "replay verify", "reset board --reason r", "player show amy", "db backup b.db"]
)
def test_a_command_in_a_wrong_directory_names_the_missing_file_and_creates_none(words: str, tmp_path: Path) -> None:
    ended = command(tmp_path, *words.split())
    assert ended.stderr == (
        f"Error: no ledger at {tmp_path}/var/ledger.db: run the command where the server runs, "
        "or set DATABASE_URL or SCOREBOARD_DATA_DIR as the server's are\n"
    )
    assert (ended.returncode, ended.stdout, list(tmp_path.iterdir())) == (3, "", [])


def test_no_token_is_signed_without_the_secrets_of_a_server(tmp_path: Path) -> None:
    ended = command(tmp_path, "token", "mint", "--user", "amy")
    assert ended.stderr.startswith(f"Error: SCOREBOARD_DATA_DIR: there are no secrets at {tmp_path}/var/secrets.json: ")
    assert (ended.returncode, ended.stdout, list(tmp_path.iterdir())) == (78, "", [])


def test_db_status_without_a_ledger_names_the_path_and_creates_no_file(tmp_path: Path) -> None:
    ended = command(tmp_path, "db", "status")
    assert f"{tmp_path}/var/ledger.db" in ended.stdout.replace("\n", "").replace(" " * 9, "")
    assert (ended.returncode, list(tmp_path.iterdir())) == (1, [])


def test_a_file_that_is_no_ledger_is_named_with_its_setting(tmp_path: Path) -> None:
    junk, foreign = tmp_path / "junk.db", tmp_path / "foreign.db"
    junk.write_text("a letter\n" * 100)
    sqlite3.connect(foreign).execute("CREATE TABLE theirs (id integer)")
    for path in (junk, foreign):
        ended = command(tmp_path, "audit", "list", DATABASE_URL=f"sqlite:///{path}")
        assert ended.stderr.startswith("Error: DATABASE_URL")
        assert ended.stderr.count(str(path)) == 1
        assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)


def test_a_read_only_ledger_is_named_with_its_setting(harness: Path) -> None:
    path = harness / "var" / "ledger.db"
    with small_disk(4) as disk:
        copy = disk.directory / "ledger.db"
        shutil.copy(path, copy)
        subprocess.run(["mount", "-o", "remount,ro", str(disk.directory)], check=True)
        try:
            ended = command(harness, "reset", "board", "--reason", "r", "--yes", DATABASE_URL=f"sqlite:///{copy}")
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(disk.directory)], check=True)
    assert ended.stderr.startswith("Error: DATABASE_URL")
    assert (ended.returncode, ended.stderr.count("\n"), ended.stderr.count(str(copy))) == (3, 1, 1)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "sqlite:///{0}/ledger.db?bogus=1",
            "DATABASE_URL: a SQLite URL takes no options: leave out what begins with '?', for example sqlite:////path/to/file",
        ),
        (
            "postgresql://amy:hunter2@localhost/x?bogus=1",
            "DATABASE_URL: what follows '?' should be options that PostgreSQL's client knows, for example ?sslmode=require",
        ),
    ],
)
def test_an_unknown_url_option_is_refused_with_its_setting(url: str, said: str, tmp_path: Path) -> None:
    url = url.format(tmp_path)
    assert command(tmp_path, "audit", "list", DATABASE_URL=url).stderr == f"Error: {said}\n"
    ended = started({"DATABASE_URL": url}, tmp_path)
    assert (ended.stderr, ended.returncode) == (f"scoreboard: {said}\n", 78)
    assert list(tmp_path.glob("ledger*")) == []


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    ended = command(tmp_path, "audit", "list", DATABASE_URL="postgresql://amy:hunter2@127.0.0.1:1/scores")
    assert ended.stderr.startswith("Error: DATABASE_URL, database 'scores' at 127.0.0.1 port 1: the ledger cannot be reached: ")
    assert (ended.returncode, ended.stderr.count("\n"), "hunter2" in ended.stderr) == (3, 1, False)


@pytest.mark.parametrize("words", ["audit export --out {0}", "db backup {0}"])
@pytest.mark.parametrize(("target", "why"), [("nowhere/a.out", "no such directory"), ("there", "it is a directory")])
def test_an_impossible_target_is_named_as_the_operator_wrote_it(words: str, target: str, why: str, harness: Path) -> None:
    (harness / "there").mkdir()
    ended = command(harness, *words.format(target).split())
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == f"Error: {target} cannot be written: {why}\n"
    assert sorted(path.name for path in harness.iterdir()) == ["there", "var"]


@pytest.mark.parametrize("words", ["audit export --out {0}", "db backup {0}"])
def test_a_target_on_a_full_disk_is_named_and_no_partial_file_is_left(words: str, harness: Path, full_disk: SmallDisk) -> None:
    target = full_disk.directory / "a.out"
    before = sorted(full_disk.directory.iterdir())
    ended = command(harness, *words.format(target).split())
    assert ended.stderr == f"Error: {target} cannot be written: no space left\n"
    assert (ended.returncode, ended.stdout) == (3, "")
    assert sorted(full_disk.directory.iterdir()) == before


def test_an_export_to_a_device_writes_to_it_and_does_not_replace_it(harness: Path) -> None:
    os.mkfifo(harness / "pipe")
    with subprocess.Popen(["cat", harness / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        ended = command(harness, "audit", "export", "--out", "pipe")
        assert reader.stdout is not None
        assert reader.stdout.read().startswith("at,transaction_id,")
    assert ended.returncode == 0
    assert (harness / "pipe").is_fifo()


def test_a_full_disk_behind_stdout_gives_one_line(harness: Path) -> None:
    for words in ("audit export", "audit list", "audit list --json", "db status"):
        ended = subprocess.run(
            ["sh", "-c", f"{SCOREBOARD} {words} > /dev/full"],
            cwd=harness,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stderr) == (3, "Error: stdout cannot be written: no space left\n"), words


@pytest.mark.parametrize("words", ["audit export", "audit list", "audit list --json", "top", "top --json", "replay check {0}"])
def test_a_closed_pipe_ends_a_command_without_a_message(words: str, harness: Path) -> None:
    written, reads = os.pipe()
    os.close(written)  # the reader closes the pipe before the first byte is written
    ended = subprocess.run(
        [SCOREBOARD, *words.format("00000000-0000-4000-8000-000000000000").split()],
        cwd=harness,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=reads,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(reads)
    assert ended.stderr == ""
    assert ended.returncode == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_closed_in_the_middle_ends_a_command_without_a_message(unbuffered: str, harness: Path) -> None:
    writes = open_store(f"sqlite:///{harness}/var/ledger.db").writes
    writes.award([claim(f"user-{number}") for number in range(300)], [])
    writes.close()
    for words in ("audit list -n 1000 --json", "audit export --until 2030-01-01 --format jsonl"):
        with subprocess.Popen(
            [SCOREBOARD, *words.split()],
            cwd=harness,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as ended:
            assert ended.stdout is not None
            assert ended.stderr is not None
            ended.stdout.read(1)
            ended.stdout.close()
            assert ended.stderr.read() == b""
        assert ended.returncode == 141, words


def test_a_long_path_is_printed_in_one_piece(harness: Path) -> None:
    target = harness / ("long-" * 16)
    assert command(harness, "db", "backup", str(target)).stdout == f"The ledger is copied to {target}.\n"
    restored = command(harness, "db", "restore", str(target), "--yes")
    assert re.fullmatch(rf"The ledger is {target}\. The former ledger is kept as {harness}/var/\S+\.\n", restored.stdout)


@pytest.mark.parametrize("words", ["reset board --reason r", "player suspend amy --reason r", "db restore b.db"])
def test_a_confirmation_without_a_terminal_gives_one_line_and_changes_nothing(words: str, harness: Path) -> None:
    assert command(harness, "db", "backup", "b.db").returncode == 0
    ended = command(harness, *words.split())
    assert ended.stderr == "Error: this command asks for confirmation: answer at a terminal, or give --yes; nothing was changed\n"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(json.loads(command(harness, "audit", "list", "--json").stdout)) == 1
    assert sorted(path.name for path in (harness / "var").iterdir()) == ["ledger.db"]


def test_a_confirmation_fits_into_80_columns(harness: Path) -> None:
    assert command(harness, "db", "backup", "b.db").returncode == 0
    long = ("--reason", "r" * 300, "--operator", "o" * 64)
    for words in (["reset", "board", *long], ["reset", "user", "amy", *long], ["db", "restore", "b.db"]):
        ended = command(harness, *words, said="n\n")
        question, _, answer = ended.stderr.partition("[y/N] \n")
        assert answer == "Error: not confirmed, so nothing was changed; with --yes the command does not ask\n"
        assert 0 < max(len(text_line) for text_line in f"{question}[y/N] ".splitlines()) < 80
        assert ended.returncode == 2


def test_an_impossible_restore_is_refused_before_the_confirmation(harness: Path) -> None:
    assert command(harness, "db", "backup", "b.db").returncode == 0
    (harness / "junk.db").write_text("a letter")
    for file, said in (("nowhere.db", "nowhere.db is not a file"), ("junk.db", "junk.db cannot be read as a ledger")):
        ended = command(harness, "db", "restore", file, said="y\n")
        assert (ended.returncode, ended.stderr.startswith(f"Error: {said}")) == (3, True), ended.stderr
    handle = sqlite3.connect(harness / "var" / "ledger.db")
    handle.execute("PRAGMA journal_mode = WAL")
    handle.execute("SELECT count(*) FROM boards").fetchall()
    ended = command(harness, "db", "restore", "b.db", said="y\n")
    assert ended.stderr == f"Error: {harness}/var/ledger.db is in use: stop the server first\n"
    assert ended.returncode == 3
    handle.close()


def test_a_restore_into_a_missing_directory_names_the_setting(harness: Path) -> None:
    assert command(harness, "db", "backup", "b.db").returncode == 0
    ended = command(harness, "db", "restore", "b.db", "--yes", SCOREBOARD_DATA_DIR="elsewhere")
    assert ended.stderr.startswith(f"Error: SCOREBOARD_DATA_DIR: there is no directory {harness}/elsewhere ")
    assert ended.returncode == 3


def test_a_start_and_a_command_name_a_missing_ledger_directory_and_create_none(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/typo/ledger.db"
    text_line = f"DATABASE_URL: there is no directory {tmp_path}/typo for the ledger ledger.db: make it, or correct the setting\n"
    ended = started({"DATABASE_URL": url}, tmp_path)
    assert (ended.stderr, ended.returncode) == (f"scoreboard: {text_line}", 78)
    upgraded = command(tmp_path, "db", "upgrade", DATABASE_URL=url)
    assert (upgraded.stderr, upgraded.returncode) == (f"Error: {text_line}", 3)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("login", "why"),
    [
        ("", "REDIS_URL: Redis asks for a password, and none is set"),
        ("?password=hunter2", "REDIS_URL: Redis refuses the user or the password"),
        ("?password=right&db=99", "REDIS_URL: this Redis has no database of that number"),
    ],
)
def test_a_command_and_a_server_name_a_redis_that_refuses_the_login(login: str, why: str, harness: Path, tmp_path: Path) -> None:
    redis = RedisServer("--requirepass", "right")
    try:
        ended = command(harness, "reset", "board", "--reason", "r", "--yes", REDIS_URL=redis.url + login)
        server = ServerProcess(tmp_path / "server")
        server.launch(REDIS_URL=redis.url + login)
        server.wait_until_ready()
        condition = server.get("/readyz?strict").body["message"]
        assert server.stop() == 0
    finally:
        redis.close()
    assert (ended.returncode, ended.stderr, ended.stdout) == (78, f"Error: {why}\n", "")
    assert f"Redis cannot be asked: {why} (" in server.log
    assert "Redis refuses what the settings say" in condition
    for said in ("hunter2", "right&", "[redacted]"):
        assert said not in server.log


def test_a_command_names_a_redis_that_does_not_answer(harness: Path) -> None:
    ended = command(harness, "reset", "board", "--reason", "r", "--yes", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert ended.stderr.startswith("Error: Redis (AWAY): Connection was refused ")
    assert ended.stderr.endswith(" (REDIS_URL 127.0.0.1 port 1, without TLS)\n")
    assert (ended.returncode, ended.stderr.count("\n"), "hunter2" in ended.stderr) == (3, 1, False)
