"""`python -m scoreboard` and `scoreboard serve`: the same server as twistd's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.operations.test_start import GIVEN, ROOT

SERVE = Path(sys.executable).with_name("scoreboard")


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SCOREBOARD_DATA_DIR": str(directory / "var"),
        "PORT": "0",
        "WEBSOCKET_PORT": "",
        **GIVEN,
        **more,
    }


@pytest.mark.parametrize("words", [[sys.executable, "-m", "scoreboard"], [SERVE, "serve"]])
def test_the_server_starts_and_stops(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "scoreboard").mkdir()  # a directory of that name is not taken for the program
    with subprocess.Popen(words, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        listening = any("listening at" in text_line for text_line in server.stdout)
        server.terminate()
        server.stdout.read()
    assert (server.returncode, listening) == (0, True)


def test_wrong_settings_and_arguments_end_with_one_line(tmp_path: Path) -> None:
    wrong = environment(tmp_path, PORT="http")
    ended = subprocess.run([SERVE, "serve"], cwd=tmp_path, env=wrong, capture_output=True, text=True)
    said = "scoreboard: PORT should be a whole number from 0 to 65535, for example PORT=3000\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (78, "", said)
    ended = subprocess.run([sys.executable, "-m", "scoreboard", "--port", "1"], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (64, "", 1)
