"""A full disk: within two seconds `/readyz` fails and no action can begin; both recover when there is space again."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from scoreboard.storage.schema import migrate
from tests.drills.small_disk import SmallDisk, small_disk
from tests.journeys.server import ServerProcess
from tests.operations.test_start import GIVEN, started
from tests.pauses import within
from tests.storage.postgres_server import postgres

KNOWN_S_MAX = 2.0
NewServer = Callable[..., ServerProcess]


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(48) as disk:
        yield disk


def sqlite_on(disk: SmallDisk) -> str:
    return f"sqlite:///{disk.directory}/ledger.db"


def postgres_on(disk: SmallDisk) -> str:
    """A database with its tables on this disk; the write-ahead log of PostgreSQL is on another."""
    player_rank = disk.directory / "tablespace"
    player_rank.mkdir()
    os.chown(player_rank, 65534, 65534)
    with psycopg.connect(postgres().url(), autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{player_rank}'".encode())
        admin.execute(b"CREATE DATABASE on_a_small_disk TABLESPACE small")
    url = postgres().url("on_a_small_disk")
    migrate(url)
    return url


@pytest.fixture
def postgres_url(disk: SmallDisk) -> Iterator[str]:
    """A database without autovacuum, because a vacuum of pg_class frees 160 KB on the disk, which is enough for awards."""
    with psycopg.connect(postgres().url(), autocommit=True) as admin:
        admin.execute(b"ALTER SYSTEM SET autovacuum = off")
        admin.execute(b"SELECT pg_reload_conf()")
    yield postgres_on(disk)
    with psycopg.connect(postgres().url(), autocommit=True) as admin:
        admin.execute(b"DROP DATABASE on_a_small_disk WITH (FORCE)")
        admin.execute(b"DROP TABLESPACE small")
        admin.execute(b"ALTER SYSTEM RESET autovacuum")
        admin.execute(b"SELECT pg_reload_conf()")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, disk: SmallDisk) -> str:
    found: str = sqlite_on(disk) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return found


def wait_for(server: ServerProcess, status: int) -> None:
    """Wait until readiness has this status; it must have it in the promised time."""
    until_s = time.monotonic() + 20
    with within(KNOWN_S_MAX):
        while server.get("/readyz").status != status:
            assert time.monotonic() < until_s, server.get("/readyz?strict").body
            time.sleep(0.05)


def begin(server: ServerProcess, user_id: str) -> tuple[int, str | None, str | None]:
    """Initialize an action; returns (status, error, Retry-After)."""
    wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}
    answer = server.post("/api/v1/actions/initialize", server.issue_token(user_id), wish)
    return answer.status, answer.body.get("error"), answer.headers.get("retry-after")


def test_readiness_shows_whether_the_disk_can_take_awards(url: str, disk: SmallDisk, new_server: NewServer) -> None:
    server = new_server(DATABASE_URL=url).start()
    waiting = [server.initialize(f"player-{n}") for n in range(400)]
    assert server.submit("player-0", waiting[0]).status == 200
    disk.fill()
    for number, submission in enumerate(waiting[1:], 1):
        if server.submit(f"player-{number}", submission).status == 503:
            break
        time.sleep(0.02)
    else:
        raise AssertionError("the disk was not full")
    wait_for(server, 503)
    answer = server.get("/readyz")
    assert (answer.status, answer.body["error"]) == (503, "UNAVAILABLE")
    assert "ledger: " in answer.body["message"]
    time.sleep(5)
    assert server.get("/readyz").status == 503, "the condition stays without any submission"
    assert {begin(server, "keen") for _ in range(120)} == {(503, "UNAVAILABLE", "1")}
    disk.empty()
    wait_for(server, 200)
    assert server.play("keen").status == 200, "the attempts to begin an action counted against no limit"
    assert server.submit("player-399", waiting[399]).status == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log
    said = [json.loads(text) for text in server.log.splitlines() if re.search("disk is full|[Nn]o space left", text)]
    assert {one["level"] for one in said if one["level"] != "info"} == {"error"}, said


def test_a_full_disk_of_postgresql_is_detected_without_submissions(
    postgres_url: str, disk: SmallDisk, new_server: NewServer
) -> None:
    server = new_server(DATABASE_URL=postgres_url).start()
    disk.fill()
    wait_for(server, 503)
    disk.empty()
    wait_for(server, 200)


def test_a_first_start_on_a_full_disk_exits_with_69_and_one_line(disk: SmallDisk, tmp_path: Path) -> None:
    disk.fill()
    ended = started({"DATABASE_URL": sqlite_on(disk), **GIVEN}, tmp_path)
    assert re.fullmatch(
        rf"scoreboard: DATABASE_URL: the ledger {disk.directory}/ledger\.db has no space left.*\n", ended.stderr
    ), ended.stderr
    assert ended.returncode == 69
    assert "Traceback" not in ended.stdout
