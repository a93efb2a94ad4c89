"""`make` on a machine that lacks what it needs: one line that says what."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.journeys.server import ROOT


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("sys.version_info", "Python 3.11 or newer is needed: make run PYTHON=python3.12"),
        ("ensurepip", "Python's venv is needed: on Debian and Ubuntu, apt-get install python3-venv"),
    ],
)
def test_a_python_that_is_too_old_or_has_no_venv_is_named(lacking: str, said: str, tmp_path: Path) -> None:
    """A stand-in for Python fails the check that the machine would fail, and nothing is made."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *{lacking}*) exit 1;; esac\n')
    python.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}  # of `make test`
    command = ["make", "run", f"PYTHON={python}"]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == said
    assert not (tmp_path / ".venv").exists()
