"""PostgreSQL goes silent under load: each player gets an answer in time, no refused action is awarded, and awards resume soon."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from scoreboard.storage.schema import migrate
from tests.drills.submissions import Answered, acknowledged, begun, keep_submitting, never_awarded, submitted
from tests.journeys.server import ServerProcess
from tests.pauses import pauses
from tests.storage.postgres_proxy import PostgresProxy, postgres_proxy
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import run_sql

PLAYERS = 1_200
SILENT_S = 8.0


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the tests may stop."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    url = postgres_server.fresh()
    migrate(url)
    return url


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[PostgresProxy]:
    with postgres_proxy(postgres_server.directory) as proxy:
        yield proxy


def awarded(database_url: str) -> set[str]:
    return {str(action_id) for (action_id,) in run_sql(database_url, "SELECT action_id FROM score_transactions")}


async def _submit_during_silence(
    server: ServerProcess, stop: Callable[[], None], go_on: Callable[[], None]
) -> tuple[list[tuple[str, Answered]], float, list[tuple[str, Answered]]]:
    users = [f"player-{number}" for number in range(PLAYERS)]
    submissions = await begun(server, users)
    stop()
    waiting = [asyncio.ensure_future(submitted(server, *one)) for one in zip(users, submissions, strict=True)]
    try:
        await asyncio.sleep(SILENT_S)
    finally:
        go_on()
    ended_s = time.monotonic()
    after = await keep_submitting(server, "latecomer", ended_s + 4)
    answered = [(submission["actionId"], await one) for submission, one in zip(submissions, waiting, strict=True)]
    return answered, ended_s, after


@pytest.mark.parametrize("fault", ["stopped", "swallowed"])
def test_after_the_first_timeout_all_waiting_submissions_are_refused_at_once(
    fault: str,
    new_server: Callable[..., ServerProcess],
    postgres_server: PostgresServer,
    database_url: str,
    proxy: PostgresProxy,
    record_property: Callable[[str, object], None],
) -> None:
    def stop() -> None:
        if fault == "stopped":
            postgres_server.signal(signal.SIGSTOP)
        else:
            proxy.quiet = "all"

    def go_on() -> None:
        postgres_server.signal(signal.SIGCONT)
        proxy.quiet = ""

    server = new_server(DATABASE_URL=database_url if fault == "stopped" else proxy.url(database_url)).start()
    server.play("early")
    with pauses() as paused:
        answered, ended_s, after = asyncio.run(_submit_during_silence(server, stop, go_on))
        paused_s = paused.seconds
    seconds = sorted(one.took_s for _, one in answered)
    first_s = min(one.asked_s + one.took_s for _, one in after if one.status == 200)
    record_property("seconds", f"p50 {seconds[PLAYERS // 2]:.2f}, max {seconds[-1]:.2f}, back after {first_s - ended_s:.2f}")

    assert {(one.status, one.retry_after) for _, one in answered} == {(503, "1")}
    assert {one.body["message"][:30] for _, one in answered} == {
        "The ledger cannot be reached; ",
        "The ledger did not take it in ",
    }
    assert seconds[-1] - paused_s <= 5
    assert first_s - ended_s - paused_s <= 1
    assert all(one.status == 200 for _, one in after if one.asked_s > ended_s + 1 + paused_s)
    kept = awarded(database_url)
    assert acknowledged(after) <= kept
    assert not never_awarded(answered) & kept
    assert server.stop() == 0
    assert "Traceback" not in server.log
