"""Fifty identical submissions at once bring one award and the same receipt 49 times again, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.journeys.server import ServerProcess

COPIES = 50


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_fifty_identical_submissions_bring_one_award(
    store: str, new_server: Callable[..., ServerProcess], request: pytest.FixtureRequest
) -> None:
    more = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if store == "postgresql" else {}
    server = new_server(**more)
    if store == "postgresql":
        assert server.command_line("db", "upgrade").returncode == 0
    server.start()
    server.play("rival")
    submission = server.initialize("amy")
    with ThreadPoolExecutor(COPIES) as pool:
        answers = list(pool.map(lambda _: server.submit("amy", submission), range(COPIES)))
    first = [answer for answer in answers if answer.status == 200]
    again = [answer for answer in answers if answer.status == 409]
    assert (len(first), len(again)) == (1, COPIES - 1)
    receipt = {"scoreAwarded": 100, "newTotalScore": 100, "currentRank": 2, "previousRank": None}
    boards = first[0].body["data"].pop("boards")
    assert first[0].body["data"] == receipt
    assert [(one["board"], one["rank"], one["previousRank"]) for one in boards] == [
        (name, 2, None) for name in ("daily", "weekly", "monthly")
    ]
    assert {answer.body["code"] for answer in again} == {4003}
    assert all(answer.body["data"] == receipt for answer in again)
    assert all(answer.headers["idempotent-replayed"] == "true" for answer in again)
    assert dict(server.board()) == {"rival": 100, "amy": 100}
    assert server.stop() == 0
    assert "Traceback" not in server.log
