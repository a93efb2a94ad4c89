"""The wheel in a fresh virtual environment: each documented way starts the server, and SIGTERM ends it with 0."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.operations.test_start import GIVEN, ROOT


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with our wheel; it finds the packages that we need where the tests find them."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = directory / "source"
    subprocess.run(["cp", "-r", *(ROOT / name for name in _PACKED), f"{_made(source)}/"], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", directory, source], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    python = directory / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", *directory.glob("*.whl")], check=True)
    (own,) = (directory / "venv" / "lib").glob("python*/site-packages")
    (own / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "venv" / "bin"


_PACKED = ("scoreboard", "cli", "config", "pyproject.toml", "README.md")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.parametrize("words", ["python -m scoreboard", "scoreboard serve", "python -m cli.main serve"])
def test_the_wheel_starts_the_server(words: str, environment: Path, tmp_path: Path) -> None:
    program, *arguments = words.split()
    settings = {
        "PATH": os.environ["PATH"],
        "SCOREBOARD_DATA_DIR": str(tmp_path / "var"),
        "PORT": "0",
        "WEBSOCKET_PORT": "",
        **GIVEN,
    }
    with subprocess.Popen(
        [environment / program, *arguments],
        cwd=tmp_path,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        log = []
        for text_line in server.stdout:
            log.append(text_line)
            if "listening at" in text_line:
                server.terminate()
    assert server.returncode == 0, log
    assert any("listening at" in text_line for text_line in log), log
    assert any(f"{environment.parent}/lib" in text_line for text_line in log), "the wheel's own files ran"


def test_the_wheel_has_the_command(environment: Path, tmp_path: Path) -> None:
    for command in ([environment / "scoreboard"], [environment / "python", "-m", "cli.main"]):
        ran = subprocess.run(
            [*command, "config", "check", "--json"], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
        )
        assert f"{environment.parent}/lib" in ran.stdout, "the wheel's catalogue of actions"
