"""Tests behind PgBouncer: each transaction may run in another session, so settings and prepared statements do not last."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import Award
from scoreboard.domain.players import SuspensionOrder
from scoreboard.storage.schema import migrate, require_schema
from scoreboard.storage.sql.postgres.session import connect
from tests.storage.claims import award_in, claim
from tests.storage.pgbouncer import PgBouncer, pgbouncer
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import open_player_sessions, open_store

USERS = 7


@pytest.fixture(
    scope="module",
    params=[
        {"pool_mode": "transaction"},
        {"pool_mode": "transaction", "ignore_startup_parameters": "options"},
        {"pool_mode": "session", "default_pool_size": "20"},
    ],
    ids=["transaction", "transaction, options ignored", "session"],
)
def bouncer(request: pytest.FixtureRequest) -> Iterator[PgBouncer]:
    with pgbouncer(postgres().directory, **request.param) as running:
        yield running


@pytest.fixture
def direct_url() -> str:
    url = postgres().fresh()
    migrate(url)
    return url


@pytest.fixture
def url(bouncer: PgBouncer, direct_url: str) -> str:
    bouncer.open_sessions(direct_url, 4)
    return bouncer.url(direct_url)


def test_three_servers_award_and_read_in_shared_sessions(url: str) -> None:
    require_schema(url)
    servers = [open_store(url) for _ in range(3)]
    for number in range(60):
        writes = servers[number % 3].writes
        verdicts = writes.award([claim(f"user-{user}", 1) for user in range(USERS)], [])
        assert all(isinstance(verdict, Award) for verdict in verdicts)
        if number % 20 == 0:
            servers[0].commit_probe.commit()
            assert writes.next_epoch(GLOBAL_BOARD, "run") > 0
    for server in servers:
        for _ in range(8):  # after so many calls psycopg would prepare the statement
            assert [one.points for one in server.order.accounts(GLOBAL_BOARD, "", 10)] == [60] * USERS
            assert server.order.changed_since(GLOBAL_BOARD, server.order.position(), "", 10).standings == []
        assert server.audits.verify("", 100) == (None, [])
        for half in (server.writes, server.reads, server.audits, server.order, server.commit_probe):
            half.close()


def test_the_player_store_changes_and_reads_in_shared_sessions(url: str) -> None:
    player_store = open_player_sessions(url)
    for number in range(8):
        suspended = number % 2 == 0
        order = SuspensionOrder(
            suspension_id=f"s{number}", user_id="amy", suspended=suspended, operator="ops", reason="test", at_ms=number
        )
        assert player_store.changes.suspend(order)
        assert player_store.reads.suspended("", 9) == (["amy"] if suspended else [])
    player_store.changes.close()
    player_store.reads.close()


def test_a_schema_upgrade_works_through_pgbouncer(bouncer: PgBouncer) -> None:
    url = bouncer.url(postgres().fresh())
    migrate(url)
    require_schema(url)


def test_calls_that_wait_for_a_lock_end_in_time(url: str, direct_url: str) -> None:
    store = open_store(url)
    award_in(store.writes.award([claim("amy")], [])[0])
    with psycopg.connect(direct_url) as other:
        other.execute("LOCK TABLE user_scores IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.writes.award([claim("amy")], [])
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.reads.account(GLOBAL_BOARD, "amy")
    assert award_in(store.writes.award([claim("amy")], [])[0]).score_after == 200
    store.writes.close()
    store.reads.close()


def test_a_direct_session_keeps_its_settings_and_a_pooled_session_is_recognized(direct_url: str, url: str) -> None:
    direct, pooled = connect(direct_url, 1_234), connect(url, 1_234)
    assert (direct.pooled, pooled.pooled) == (False, True)
    assert direct.execute("SHOW statement_timeout").fetchone() == ("1234ms",)
    assert direct.execute("SHOW timezone").fetchone() == ("UTC",)
    direct.close()
    pooled.close()


def test_the_options_of_an_operator_are_kept_and_commits_stay_synchronous(direct_url: str) -> None:
    session = connect(f"{direct_url}&options=-c%20synchronous_commit%3Dremote_apply%20-c%20work_mem%3D7MB", 1_234)
    assert session.execute("SHOW work_mem").fetchone() == ("7MB",)
    assert session.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)
    session.close()
    session = connect(f"{direct_url}&options=-c%20synchronous_commit%3Doff", 1_234)
    assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)
    session.close()
