"""The first submission of README.md, run literally against a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.journeys.server import ROOT, ServerProcess
from tests.programs import program


def test_the_first_submission_brings_the_expected_points(tmp_path: Path) -> None:
    program("curl", "curl")
    (shell,) = re.findall(r"## A first submission\n.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    server = ServerProcess(tmp_path / "var").start()
    try:
        assert shell.count("http://127.0.0.1:3000/") == 1
        script = shell.replace(":3000/", f":{server.port}/").replace(
            ".venv/bin/scoreboard", str(Path(sys.executable).with_name("scoreboard"))
        )
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=server.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        server.stop()
    assert (ran.returncode, ran.stderr) == (0, "")
    begun, receipt, me, board = (json.loads(text_line)["data"] for text_line in ran.stdout.splitlines())
    assert begun["expectedScore"] == 250
    assert receipt["scoreAwarded"] == 250
    assert me["score"] == 250
    assert [(row["username"], row["score"]) for row in board["leaderboard"]] == [("Ada", 250)]
