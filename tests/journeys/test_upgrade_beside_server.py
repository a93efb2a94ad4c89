"""`scoreboard db upgrade` where there is nothing to do: beside a running server, and in a wrong directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.journeys.server import ServerProcess


def test_an_upgrade_with_nothing_to_do_does_not_stop_the_awards_of_a_running_server(
    new_server: Callable[..., ServerProcess],
) -> None:
    server = new_server().start()
    assert server.play("amy").status == 200
    for _ in range(2):
        upgraded = server.command_line("db", "upgrade")
        assert (upgraded.returncode, upgraded.stderr) == (0, "")
        assert server.play("amy").status == 200
    assert server.get("/readyz?strict").status == 200
    assert server.stop() == 0


def test_an_upgrade_in_a_wrong_directory_makes_no_ledger(tmp_path: Path) -> None:
    scoreboard = Path(sys.executable).with_name("scoreboard")
    ended = subprocess.run(
        [scoreboard, "db", "upgrade"], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert ended.stderr == (
        f"Error: no ledger at {tmp_path}/var/ledger.db: run the command where the server runs, "
        "or set DATABASE_URL or SCOREBOARD_DATA_DIR as the server's are\n"
    )
    assert (ended.returncode, ended.stdout, list(tmp_path.iterdir())) == (3, "", [])
