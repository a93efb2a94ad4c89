"""The example for Godot, parsed by gdtoolkit: no Godot 4 comes with a package of Debian 12."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import EXAMPLES


def test_the_example_for_godot_is_gdscript(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True, timeout=60)
    install: list[str | Path] = [
        tmp_path / "bin" / "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "gdtoolkit==4.5.0",
        "setuptools<81",
    ]
    subprocess.run(install, check=True, timeout=300, capture_output=True)
    for program in ("gdparse", "gdlint"):
        parsed = subprocess.run(
            [tmp_path / "bin" / program, EXAMPLES / "scoreboard_client.gd"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert parsed.returncode == 0, parsed.stdout + parsed.stderr
