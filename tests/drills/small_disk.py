"""A disk that a test can fill: a tmpfs of a few megabytes. To mount it needs root; otherwise the test is skipped."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A directory on a separate disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"

    def fill(self) -> None:
        """Write until no byte is free."""
        with self._filler.open("ab", buffering=0) as file:
            block = b"x" * 65_536
            while block:
                try:
                    file.write(block)
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise
                    block = block[: len(block) // 2]

    def empty(self) -> None:
        """Free the space again."""
        self._filler.unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """A disk of this size, mounted where any user can access it."""
    directory = Path(tempfile.mkdtemp(prefix="scoreboard-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        directory.rmdir()
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    os.chmod(directory, 0o777)
    try:
        yield SmallDisk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
        directory.rmdir()
