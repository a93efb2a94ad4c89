"""Procedures of docs/operations.md, done as they are written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.journeys.server import ServerProcess


def test_a_restore_after_a_crash_and_without_redis_resets_every_client(
    tmp_path: Path, new_server: Callable[..., ServerProcess]
) -> None:
    """The backup is older than the log of the killed server, and Redis has lost everything: it needs no backup."""
    server = new_server().start()
    assert server.play("amy").status == 200
    backup = tmp_path / "backup.db"
    assert server.command_line("db", "backup", str(backup)).returncode == 0
    assert server.play("bob").status == 200
    reader = server.issue_token("reader")
    cursor = server.get("/api/v1/scores/changes", reader).body["data"]["cursor"]
    refused = server.command_line("db", "restore", str(backup), "--yes")
    assert refused.returncode == 3, "a server uses the ledger"
    server.kill()
    restored = server.command_line("db", "restore", str(backup), "--yes")
    assert restored.returncode == 0, restored.stderr
    assert list(server.data_dir.glob("ledger.db.before-restore-*"))
    shutil.rmtree(server.data_dir / "redis")
    server.start()
    changes = server.get(f"/api/v1/scores/changes?since={cursor}&wait=0", reader).body["data"]
    assert (changes["reset"], [row["userId"] for row in changes["leaderboard"]]) == (True, ["amy"])
    assert server.command_line("replay", "verify").returncode == 0
