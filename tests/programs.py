"""Programs and libraries that some tests need and that are not Python packages: skipped without them, but never by CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: What a package brings, by its name in Debian 12. `.ci/run` installs all of them.
_LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def program(name: str, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where CI runs it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return _or_skip(found, name, package)


def libfaketime() -> str:
    """The library that gives a process (by LD_PRELOAD) another clock."""
    return _or_skip(_LIBFAKETIME if Path(_LIBFAKETIME).exists() else None, "libfaketime", "libfaketime")


def _or_skip(found: str | None, name: str, package: str) -> str:
    if found is None:
        missing = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
