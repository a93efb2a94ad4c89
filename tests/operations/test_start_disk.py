"""Starts on a disk that cannot be written: 69 when the fault may pass, 78 when an operator has to repair it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.drills.small_disk import small_disk
from tests.operations.test_start import GIVEN, started


def test_a_first_start_on_a_full_disk_ends_with_one_line_and_69(tmp_path: Path) -> None:
    with small_disk(1) as disk:
        (disk.directory / "var").mkdir(mode=0o700)
        disk.fill()
        ended = started({**GIVEN, "SCOREBOARD_DATA_DIR": str(disk.directory / "var")}, tmp_path)
    assert ended.stderr == (
        f"scoreboard: no space left in {disk.directory}/var/redis (No space left on device): the embedded Redis cannot write "
        "lock; make room, or set SCOREBOARD_DATA_DIR to a directory on another disk\n"
    )
    assert (ended.returncode, "Traceback" in ended.stdout) == (69, False)


def test_secrets_that_do_not_fit_on_the_disk_end_a_start_with_69_and_no_file(tmp_path: Path) -> None:
    with small_disk(1) as disk:
        var = disk.directory / "var"
        var.mkdir(mode=0o700)
        disk.fill()
        ended = started({"SCOREBOARD_DATA_DIR": str(var)}, tmp_path)
        left = list(var.iterdir())
    assert ended.stderr.startswith(f"scoreboard: no space left in {var} (No space left on device): SCOREBOARD_DATA_DIR ")
    assert (ended.returncode, ended.stderr.count("\n"), left) == (69, 1, [])


@pytest.mark.parametrize(("mode", "path"), [(0o700, "var/redis/lock"), (0o755, "var/redis")])
def test_a_read_only_data_directory_ends_a_start_with_one_line_and_78(mode: int, path: str, tmp_path: Path) -> None:
    with small_disk(1) as disk:
        (disk.directory / "var" / "redis").mkdir(parents=True)
        (disk.directory / "var" / "redis").chmod(mode)
        subprocess.run(["mount", "-o", "remount,ro", str(disk.directory)], check=True)
        ended = started({**GIVEN, "SCOREBOARD_DATA_DIR": str(disk.directory / "var")}, tmp_path)
    assert ended.stderr == (
        f"scoreboard: the embedded Redis cannot use {disk.directory}/{path} (Read-only file system): mend that, or set "
        "SCOREBOARD_DATA_DIR to another directory, or REDIS_URL\n"
    )
    assert (ended.returncode, "Traceback" in ended.stdout) == (78, False)
