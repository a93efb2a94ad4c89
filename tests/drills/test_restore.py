"""A SQLite ledger is restored as docs/operations.md says, after the server was stopped or killed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.journeys.server import ServerProcess


@pytest.mark.parametrize("killed", [True, False])
def test_a_server_shows_a_restored_ledger_and_awards_on_it(killed: bool, new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    backup = str(server.data_dir / "backup.db")
    server.play("ann")
    assert server.command_line("db", "backup", backup).returncode == 0
    submission = server.initialize("ann")
    assert server.submit("ann", submission).status == 200
    server.play("bea")
    refused = server.command_line("db", "restore", backup, "--yes")
    assert (refused.returncode, "stop the server first" in refused.stderr) == (3, True)
    assert dict(server.board()) == {"ann": 200, "bea": 100}

    if killed:
        server.kill()
        assert (server.data_dir / "ledger.db-wal").exists()
    else:
        server.stop()
    restored = server.command_line("db", "restore", backup, "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "kept as" in restored.stdout
    server.start()
    assert server.board() == [("ann", 100)]
    assert server.submit("ann", submission).body["data"]["newTotalScore"] == 200
    assert server.command_line("replay", "verify").returncode == 0
    assert server.stop() == 0
    assert "Traceback" not in server.log
