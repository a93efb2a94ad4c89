"""The commands of docs/cli.md, run as they are written, on the ledger of a running server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.journeys.server import ROOT, ServerProcess

COMMANDS = re.findall(r"^    (scoreboard .*)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
ASKING = re.compile(r"scoreboard (reset|player suspend|player reinstate|db restore)\b")


def test_every_command_of_the_page_works_as_it_is_written(tmp_path: Path, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    assert server.play("user-123").status == 200
    (tmp_path / "token.txt").write_text(server.issue_token("user-123"))
    environ = server.environment()
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    assert len(COMMANDS) >= 13
    for command in COMMANDS:
        if "db restore" in command:
            assert server.stop() == 0
        asked = command.replace("/backup/", f"{tmp_path}/") + (" --yes" if ASKING.match(command) else "")
        ran = subprocess.run(
            ["sh", "-c", asked], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), (asked, ran.stdout, ran.stderr)
