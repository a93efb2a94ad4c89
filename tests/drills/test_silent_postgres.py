"""A PostgreSQL that stops answering: each wait ends, no abandoned award is committed, and a retry shows an unknown result."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.task import deferLater

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreAway, StoreUnavailable
from scoreboard.domain.judgement import Claim, Verdict
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.ledger import SqlLedger
from tests.awaiting import run
from tests.pauses import within
from tests.storage.claims import award_in, claim, receipt_in
from tests.storage.harnesses import opened
from tests.storage.postgres_proxy import PostgresProxy, Quiet, postgres_proxy
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import run_sql

BACK_S_MAX = 3.0


@pytest.fixture
def proxy() -> Iterator[PostgresProxy]:
    with postgres_proxy(postgres().directory) as proxy:
        yield proxy


@pytest.fixture
def url() -> str:
    url = postgres().fresh()
    migrate(url)
    return url


@pytest.fixture
def ledger(proxy: PostgresProxy, url: str) -> Iterator[SqlLedger]:
    ledger = opened(proxy.url(url))
    yield ledger
    with within(2.5):
        run(ledger.stop)


def award(ledger: SqlLedger, one: Claim) -> Verdict:
    (verdict,) = run(lambda: ledger.award([one], []))
    return verdict


def refused(seconds_max: float, ask: Callable[[], Coroutine[Any, Any, object]]) -> StoreUnavailable:
    with within(seconds_max), pytest.raises(StoreUnavailable) as refusal:
        run(ask)
    return refusal.value


def award_when_back(ledger: SqlLedger, one: Claim) -> Verdict:
    async def main() -> Verdict:
        from twisted.internet import reactor

        with within(BACK_S_MAX):
            while True:
                with suppress(StoreAway):
                    (verdict,) = await ledger.award([one], [])
                    break
                await deferLater(reactor, 0.05)
        return verdict

    return run(main)


@pytest.mark.parametrize("quiet", ["after login", "all"])
def test_a_server_silent_after_the_login_is_given_up(quiet: Quiet, proxy: PostgresProxy, ledger: SqlLedger, url: str) -> None:
    proxy.quiet = quiet
    first = claim("amy")
    assert not isinstance(refused(3.0, lambda: ledger.award([first], [])), StoreAway)
    for _ in range(20):
        assert isinstance(refused(0.1, lambda: ledger.award([claim("amy")], [])), StoreAway)
    refused(3.2, lambda: ledger.board(GLOBAL_BOARD).state())
    proxy.quiet = ""
    assert award_in(award_when_back(ledger, first)).score_after == 100
    assert run_sql(url, "SELECT count(*) FROM score_transactions") == [(1,)]


def test_a_commit_that_never_arrived_awards_nothing(proxy: PostgresProxy, ledger: SqlLedger, url: str) -> None:
    award_in(award(ledger, claim("amy")))
    proxy.quiet = "commit lost"
    given_up = claim("amy")
    assert not isinstance(refused(3.0, lambda: ledger.award([given_up], [])), StoreAway)
    proxy.quiet = ""
    assert award_in(award_when_back(ledger, given_up)).score_after == 200
    assert run_sql(url, "SELECT score FROM user_scores") == [(200,)]


def test_a_retry_gets_the_result_of_a_commit_without_an_answer(proxy: PostgresProxy, ledger: SqlLedger, url: str) -> None:
    award_in(award(ledger, claim("amy")))
    proxy.quiet = "commit unanswered"
    unknown = claim("amy")
    assert not isinstance(refused(3.0, lambda: ledger.award([unknown], [])), StoreAway)
    proxy.quiet = ""
    assert receipt_in(award_when_back(ledger, unknown)).total == 200
    assert run_sql(url, "SELECT score FROM user_scores") == [(200,)]


def test_a_deadline_shorter_than_the_timeout_is_kept(proxy: PostgresProxy, ledger: SqlLedger) -> None:
    award_in(award(ledger, claim("amy")))
    proxy.quiet = "all"
    refused(1.3, lambda: ledger.award([claim("amy")], [], 1.0))
    proxy.quiet = ""
    assert award_in(award_when_back(ledger, claim("amy"))).score_after == 200


def test_close_does_not_wait_for_a_silent_connection(proxy: PostgresProxy, url: str) -> None:
    ledger = opened(proxy.url(url))
    award_in(award(ledger, claim("amy")))
    proxy.quiet = "all"

    async def main() -> None:
        from twisted.internet.defer import ensureDeferred

        for ask in (ledger.award([claim("amy")], []), ledger.verify("", 10)):
            ensureDeferred(_refused(ask))
        with within(2.5):
            await ledger.stop()

    run(main)


async def _refused(ask: Coroutine[Any, Any, object]) -> None:
    with pytest.raises(StoreUnavailable):
        await ask
