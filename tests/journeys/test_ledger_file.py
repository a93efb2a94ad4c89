"""The SQLite file is removed or written over under a running server: it takes no more awards, and says so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.server import ServerProcess


@pytest.mark.parametrize("overwritten", [False, True])
def test_no_award_is_taken_any_more(overwritten: bool, new_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
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
    until_s = time.monotonic() + 3
    while server.get("/readyz").status == 200:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert server.submit("player-1", begun[1]).status == 503
    assert "ledger.db" in server.log
    assert server.stop() == 0
    assert "Traceback" not in server.log
