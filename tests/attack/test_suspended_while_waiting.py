"""A submission waits for a silent ledger, and its player is suspended: it is refused, on a real server and both databases."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from scoreboard.domain.players import ledger_shard
from tests.attack.attacks import new_user_id, valid_submission
from tests.attack.client_session import ClientSession
from tests.attack.conftest import honest, target_server
from tests.attack.endpoints import FORBIDDEN, outcome_of
from tests.journeys.server import ServerProcess
from tests.storage.postgres_server import postgres

SILENT_S = 1.0
STORES = ("sqlite", "postgresql")


@pytest.fixture(scope="module", params=STORES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = target_server(tmp_path_factory.mktemp("waiting"))
    if request.param == "postgresql":
        server.more["DATABASE_URL"] = postgres().fresh()
        assert server.command_line("db", "upgrade").returncode == 0
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log


@contextmanager
def suspension_under_way(server: ServerProcess, user_id: str) -> Iterator[None]:
    """An open transaction of a suspension: its row is inserted, it blocks the player's awards, and it is not committed yet."""
    entered = "INSERT INTO suspensions (ledger_shard, suspension_id, user_id, suspended, operator, reason, at, turn) VALUES "
    shard = ledger_shard(user_id)
    url = server.more.get("DATABASE_URL")
    if url is not None:
        with psycopg.connect(url) as order:
            (step,) = order.execute("UPDATE turns SET number = number + 1 RETURNING number").fetchone() or (0,)
            order.execute("SELECT 1 FROM user_scores WHERE user_id = %s FOR NO KEY UPDATE", [user_id])
            order.execute(f"{entered}(%s, %s, %s, true, 'root', 'r', now(), %s)", [shard, str(uuid.uuid4()), user_id, step])
            yield
        return
    handle = sqlite3.connect(server.data_dir / "ledger.db", isolation_level=None)
    handle.execute("BEGIN IMMEDIATE")
    ((step,),) = handle.execute("UPDATE turns SET number = number + 1 RETURNING number").fetchall()
    handle.execute(f"{entered}(?, ?, ?, true, 'root', 'r', 0, ?)", [shard, str(uuid.uuid4()), user_id, step])
    yield
    handle.execute("COMMIT")
    handle.close()


def test_an_award_that_waits_is_refused_once_the_suspension_commits(server: ServerProcess) -> None:
    one, user = ClientSession(server, honest), new_user_id("mallory")
    assert one.request("POST", "/api/v1/scores/submit", honest(user), valid_submission(one, user))[0] == 200
    before = one.request("GET", "/api/v1/scores/me", honest(user))[1]["data"]["score"]
    waiting = [valid_submission(one, user) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        with suspension_under_way(server, user):
            began_s = time.monotonic()
            answers = [
                pool.submit(ClientSession(server, honest).request, "POST", "/api/v1/scores/submit", honest(user), one)
                for one in waiting
            ]
            time.sleep(SILENT_S)
            assert not any(answer.done() for answer in answers), "the submissions wait for the ledger"
        results = [outcome_of(*answer.result(10)) for answer in answers]
    assert time.monotonic() - began_s < SILENT_S + 5
    assert results == [FORBIDDEN] * 3
    shown = server.command_line("player", "show", user, "--json")
    assert f'"points": {before}' in shown.stdout or f'"points":{before}' in shown.stdout, shown.stdout
    assert server.command_line("replay", "verify").returncode == 0
