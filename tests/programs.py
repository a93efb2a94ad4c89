"""Programs and libraries, not Python packages, that some tests need: without them a test is skipped, or fails in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

#: The file that the Debian 12 package libfaketime installs. `.ci/run` installs the packages of all programs.
NPM_S_MAX = 300
_LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def program(name: str, package: str) -> str:
    """The path of a program. Without it the test is skipped, or fails in CI."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return _or_skip(found, name, package)


def libfaketime() -> str:
    """The path of libfaketime, which gives a process another clock by LD_PRELOAD."""
    return _or_skip(_LIBFAKETIME if Path(_LIBFAKETIME).exists() else None, "libfaketime", "libfaketime")


def node_modules(directory: Path, package: str) -> Path:
    """The node_modules of a directory, as its package-lock.json says. Without them the test is skipped, or fails in CI."""
    npm, installed = program("npm", "npm"), directory / "node_modules"
    if not (installed / package).exists():
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        ran = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=NPM_S_MAX, check=False)
        if ran.returncode:
            return Path(_or_skip(None, f"{package} ({ran.stderr[-300:]})", "npm"))
    return installed


def _or_skip(found: str | None, name: str, package: str) -> str:
    if found is None:
        missing = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
