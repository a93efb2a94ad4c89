"""The SQLite file of a running server is removed or overwritten: the server takes no more awards and reports it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.server import ServerProcess


@pytest.mark.parametrize("overwritten", [False, True])
def test_a_server_without_its_ledger_file_takes_no_awards(
    overwritten: bool, new_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = new_server().start()
    assert server.play("amy").status == 200
    path = server.data_dir / "ledger.db"
    begun = [server.initialize(f"player-{n}") for n in range(3)]
    if overwritten:
        shutil.copyfile(path, tmp_path / "copy.db")
        time.sleep(0.02)
        shutil.copyfile(tmp_path / "copy.db", path)
    else:
        path.unlink()
    assert server.submit("player-0", begun[0]).status == 503
    until_s = time.monotonic() + 20
    while server.get("/readyz").status == 200:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert server.submit("player-1", begun[1]).status == 503
    assert "ledger.db" in server.log
    assert server.stop() == 0
    assert "Traceback" not in server.log
