"""A server behind PgBouncer in transaction mode: every award is committed, and the entries add up to the totals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from scoreboard.storage.schema import migrate
from tests.drills.submissions import begun, submitted
from tests.journeys.server import ServerProcess
from tests.storage.pgbouncer import pgbouncer
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import run_sql

AWARDS = 500
PLAYERS = 50


@pytest.mark.parametrize("ignored", ["", "options"])
def test_every_award_is_committed_behind_pgbouncer(
    ignored: str, new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    migrate(postgres_url)
    users = [f"player-{number % PLAYERS}" for number in range(AWARDS)]

    async def play(server: ServerProcess) -> Counter[int]:
        submissions = await begun(server, users)
        rate_limiter = asyncio.Semaphore(32)

        async def submit(user_id: str, number: int) -> int:
            async with rate_limiter:
                return (await submitted(server, user_id, submissions[number])).status

        return Counter(await asyncio.gather(*(submit(user_id, number) for number, user_id in enumerate(users))))

    with pgbouncer(postgres().directory, ignore_startup_parameters=ignored) as bouncer:
        bouncer.open_sessions(postgres_url, 4)
        server = new_server(DATABASE_URL=bouncer.url(postgres_url)).start()
        assert asyncio.run(play(server)) == {200: AWARDS}
        assert run_sql(postgres_url, "SELECT count(*) FROM score_transactions") == [(AWARDS,)]
        verified = server.command_line("replay", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert server.stop() == 0
    assert "Traceback" not in server.log
