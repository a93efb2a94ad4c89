"""Contract of the boards that a ledger feeds beside the global one: in memory, SQLite and PostgreSQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from scoreboard.domain.board_scores import Counted, fold
from scoreboard.domain.boards import BoardBucket, BoardDefinition
from scoreboard.domain.entries import RESET, ResetOrder
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.judgement import DAY_MS, Claim
from scoreboard.domain.periods import CalendarPeriod, Slots
from scoreboard.domain.rules import ActionRule
from scoreboard.domain.standings import Standing
from scoreboard.storage.sql.stores import SqlStore
from scoreboard.zones import zone_named
from tests.drills.filled_ledger import NOW_MS as FILLED_MS
from tests.drills.filled_ledger import fill
from tests.storage.claims import NOW, award_in, claim
from tests.storage.harnesses import Harness, SqlHarness, harness_of
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store, run_sql

RUN, WALK = (ActionRule(action_type=name, points=0) for name in ("RUN", "WALK"))
ALL = BoardDefinition(board_id="all", title="All")
DAILY = BoardDefinition(board_id="daily", title="Daily", period=CalendarPeriod(unit="daily", zone=zone_named("UTC")))
RUNS = BoardDefinition(board_id="runs", title="Runs", counts=frozenset({"RUN"}), period=Slots(length_ms=3_600_000))
BEST = BoardDefinition(board_id="best", title="Best", score="best")
LATEST = BoardDefinition(board_id="latest", title="Latest", score="latest")
TODAY = BoardBucket(board_id="daily", bucket="2027-01-15")
TOMORROW = BoardBucket(board_id="daily", bucket="2027-01-16")


@pytest.fixture(params=("memory", "sqlite", "postgresql"))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    harness = harness_of(request.param, tmp_path)
    yield harness
    harness.close()


def fed(harness: Harness, *boards: BoardDefinition) -> None:
    """The ledger feeds these boards, and all of them are filled in."""
    harness.do(harness.ledger.declare_boards(boards))
    while harness.do(harness.ledger.fill_boards(3)):
        pass


def shown(harness: Harness, bucket: BoardBucket) -> list[tuple[str, int]]:
    return [(one.user_id, one.points) for one in harness.do(harness.ledger.board(bucket).top(0, 100))]


def reset(at_ms: int, *user_ids: str) -> ResetOrder:
    return ResetOrder(reset_id="reset-1", user_ids=user_ids or None, operator="root", reason="season's end", at_ms=at_ms)


def test_an_award_is_on_the_boards_that_count_its_type_in_the_bucket_of_its_time(harness: Harness) -> None:
    fed(harness, ALL, DAILY, RUNS)
    awards = [claim("amy", 5, rule=RUN), claim("bob", 7, rule=WALK), claim("amy", 3, rule=WALK, at_ms=NOW + DAY_MS)]
    harness.do(harness.ledger.award(awards, []))
    assert shown(harness, BoardBucket(board_id="all")) == [("amy", 8), ("bob", 7)]
    assert shown(harness, TODAY) == [("bob", 7), ("amy", 5)]
    assert shown(harness, TOMORROW) == [("amy", 3)]
    assert shown(harness, BoardBucket(board_id="runs", bucket="2027-01-15T08:00Z")) == [("amy", 5)]
    assert shown(harness, BoardBucket(board_id="none")) == []


def test_a_standing_has_the_name_of_the_account_and_the_version_of_the_award(harness: Harness) -> None:
    fed(harness, DAILY)
    harness.do(harness.ledger.award([claim("amy", 5), claim("amy", 0, at_ms=NOW + 1), claim("amy", 2, at_ms=NOW + DAY_MS)], []))
    harness.do(harness.ledger.award([claim("amy", 1, at_ms=NOW + DAY_MS, username="Amélie")], []))
    today = Standing(user_id="amy", username="Amélie", avatar=None, points=5, version=2, reached_at_ms=NOW, updated_at_ms=NOW)
    board = harness.ledger.board(TODAY)
    assert harness.do(board.account("amy")) == today
    assert harness.do(board.accounts_of(["nobody", "amy"])) == [today]
    assert harness.do(board.accounts("", 10)) == harness.do(board.ranked(None, 10)) == [today]
    assert harness.do(board.ranked(today, 10)) == harness.do(board.unranked("", 10)) == []
    assert harness.do(board.ranked_count()) == 1
    assert harness.do(board.account("nobody")) is None


def test_changes_of_a_bucket_are_read_after_a_position(harness: Harness) -> None:
    fed(harness, DAILY)
    board = harness.ledger.board(TODAY)
    harness.do(harness.ledger.award([claim("amy", 5)], []))
    position = harness.do(board.position())
    harness.do(harness.ledger.award([claim("bob", 7), claim("cat", 1, at_ms=NOW + DAY_MS)], []))
    page = harness.do(board.changed_since(position, "", 100))
    while page.after:
        assert not page.standings
        page = harness.do(board.changed_since(position, page.after, 100))
    assert [(one.user_id, one.points) for one in page.standings] == [("bob", 7)]


def test_a_reset_takes_a_player_off_the_buckets_that_are_open(harness: Harness) -> None:
    fed(harness, ALL, DAILY)
    harness.do(harness.ledger.award([claim(user, 5, at_ms=at) for user in ("amy", "bob") for at in (NOW, NOW + DAY_MS)], []))
    harness.do(harness.ledger.reset(reset(NOW + DAY_MS + 1, "amy")))
    assert shown(harness, TODAY) == [("bob", 5), ("amy", 5)], "this bucket was over"
    assert shown(harness, TOMORROW) == [("bob", 5)]
    assert shown(harness, BoardBucket(board_id="all")) == [("bob", 10)]
    assert [one.user_id for one in harness.do(harness.ledger.board(TOMORROW).unranked("", 10))] == ["amy"]
    harness.do(harness.ledger.award([claim("amy", 4, at_ms=NOW + DAY_MS + 2)], []))
    assert shown(harness, TOMORROW) == [("bob", 5), ("amy", 4)]
    harness.do(harness.ledger.reset(reset(NOW + DAY_MS + 3)))
    assert shown(harness, TOMORROW) == shown(harness, BoardBucket(board_id="all")) == []
    assert len(shown(harness, TODAY)) == 2


def test_what_is_declared_is_fed_and_nothing_else(harness: Harness) -> None:
    def changes(*boards: BoardDefinition) -> list[tuple[str, str]]:
        return [(one.kind, one.definition.board_id) for one in harness.do(harness.ledger.declare_boards(boards))]

    assert changes(ALL, DAILY) == [("added", "all"), ("added", "daily")]
    assert changes(DAILY, ALL) == []
    assert changes(replace(DAILY, title="Today", keep_closed=9), ALL) == [("changed", "daily")]
    assert [one.definition.title for one in harness.do(harness.ledger.fed_boards())] == ["All", "Today"]
    assert changes(RUNS) == [("added", "runs"), ("removed", "all"), ("removed", "daily")]
    assert [one.definition for one in harness.do(harness.ledger.fed_boards())] == [RUNS]


@pytest.mark.parametrize(
    ("member", "value"), [("score", "best"), ("counts", frozenset({"WALK"})), ("period", Slots(length_ms=60_000))]
)
def test_what_decides_the_standings_of_a_board_cannot_change(harness: Harness, member: str, value: object) -> None:
    fed(harness, RUNS)
    with pytest.raises(BoardCannotChange) as refused:
        harness.do(harness.ledger.declare_boards([ALL, replace(RUNS, **{member: value})]))
    assert str(refused.value) == f"[runs] {member} cannot be changed: declare a board of another name, and remove this one"
    assert [one.definition for one in harness.do(harness.ledger.fed_boards())] == [RUNS], "no part of it was applied"


def test_a_board_that_is_declared_again_has_all_that_happened_meanwhile(harness: Harness) -> None:
    fed(harness, ALL)
    harness.do(harness.ledger.award([claim("amy", 5)], []))
    fed(harness)
    harness.do(harness.ledger.award([claim("amy", 2), claim("bob", 1)], []))
    assert shown(harness, BoardBucket(board_id="all")) == []
    fed(harness, ALL)
    assert shown(harness, BoardBucket(board_id="all")) == [("amy", 7), ("bob", 1)]


def test_the_standings_of_a_removed_board_are_deleted_in_parts(harness: Harness) -> None:
    fed(harness, ALL, DAILY)
    harness.do(harness.ledger.award([claim(user) for user in ("amy", "bob", "cat")], []))
    assert harness.do(harness.ledger.clear_boards(2)) is False
    fed(harness, DAILY)
    assert [harness.do(harness.ledger.clear_boards(2)) for _ in range(3)] == [True, True, False]
    assert len(shown(harness, TODAY)) == 3


def test_a_board_that_is_declared_again_begins_without_an_epoch(harness: Harness) -> None:
    fed(harness, DAILY)
    other = BoardBucket(board_id="dailyx", bucket="2027-01-15")
    for bucket in (TODAY, other):
        harness.do(harness.ledger.board(bucket).next_epoch("run-1"))
    fed(harness)
    fed(harness, DAILY)
    assert harness.do(harness.ledger.board(TODAY).state()).epoch == 0
    assert harness.do(harness.ledger.board(other).state()).epoch > 0


class Entries:
    """What was entered for each player, in the order of the commits."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.by_user: dict[str, list[Counted]] = {}

    def award(self, claims: Sequence[Claim]) -> None:
        for verdict in self._harness.do(self._harness.ledger.award(claims, [])):
            given = award_in(verdict)
            entry = Counted(given.claim.grant.action_type, given.points, given.claim.at_ms)
            self.by_user.setdefault(given.user_id, []).append(entry)

    def reset(self, order: ResetOrder) -> None:
        for one in self._harness.do(self._harness.ledger.reset(order)).standings:
            self.by_user[one.user_id].append(Counted(RESET, 0, order.at_ms))

    def folded(self, boards: Sequence[BoardDefinition]) -> dict[tuple[str, BoardBucket], tuple[object, ...]]:
        """What they make of each bucket: points, time and version."""
        return {
            (user_id, score.bucket): (score.score, score.reached_at_ms, score.version)
            for user_id, counted in self.by_user.items()
            for board in boards
            for score in fold(board, counted).values()
        }


@pytest.mark.parametrize("seed", range(12))
def test_standings_are_what_the_entries_make_of_them_however_filling_and_awards_take_turns(harness: Harness, seed: int) -> None:
    """Also when the clocks of servers differ or go back: the order of commits decides, not that of times."""
    chance = random.Random(seed)
    boards = [ALL, DAILY, RUNS, BEST, LATEST]
    entered = Entries(harness)
    at_ms = NOW + DAY_MS
    for _ in range(60):
        at_ms += chance.choice([1, 1_000, 3_600_000, -1, -5_000, -3_600_000])
        users = [f"p{number}" for number in chance.sample(range(9), 3)]
        match chance.randrange(8):
            case 0:
                harness.do(harness.ledger.declare_boards([board for board in boards if chance.random() < 0.7]))
            case 1 | 2 | 3:
                harness.do(harness.ledger.fill_boards(2))
            case 4:
                entered.reset(reset(at_ms, *users))
            case _:
                entered.award(
                    [
                        claim(user, chance.randrange(-5, 9), rule=chance.choice([RUN, WALK]), at_ms=at_ms - chance.randrange(3))
                        for user in [*users, users[0]]
                    ]
                )
    fed(harness, *boards)
    expected = entered.folded(boards)
    buckets = {bucket for _, bucket in expected}
    found = {
        (one.user_id, bucket): (one.points, one.reached_at_ms, one.version)
        for bucket in buckets
        for one in harness.do(harness.ledger.board(bucket).accounts("", 100))
    }
    assert found == expected
    assert harness.do(harness.ledger.verify("", 100)) == (None, [])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_entries_from_before_the_boards_are_older_than_all_others(dialect: Dialect, tmp_path: Path) -> None:
    harness = SqlHarness(dialect, tmp_path)
    fill(harness.url, 3)  # without versions, as schema 0004 left them
    harness.do(harness.ledger.award([claim("player-2", 7, at_ms=FILLED_MS - 1)], []))
    fed(harness, LATEST)
    assert shown(harness, BoardBucket(board_id="latest")) == [("player-2", 7), ("player-1", 1), ("player-0", 0)]
    harness.do(harness.ledger.award([claim("player-2", 2, at_ms=FILLED_MS - 2)], []))
    assert shown(harness, BoardBucket(board_id="latest")) == [("player-2", 2), ("player-1", 1), ("player-0", 0)]
    assert harness.do(harness.ledger.verify("", 10)) == (None, [])
    harness.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_verify_finds_each_standing_that_is_not_what_the_entries_make_of_it(dialect: Dialect, tmp_path: Path) -> None:
    harness = SqlHarness(dialect, tmp_path)
    fed(harness, ALL, DAILY)
    harness.do(harness.ledger.award([claim("amy", 5), claim("bob", 7), claim("amy", 1, at_ms=NOW + DAY_MS)], []))
    assert harness.do(harness.ledger.verify("", 10)) == (None, [])
    run_sql(harness.url, "UPDATE board_standings SET score = 500 WHERE user_id = 'amy' AND bucket = '2027-01-15'")
    run_sql(harness.url, "UPDATE board_standings SET bucket = '2027-01-20' WHERE user_id = 'bob' AND bucket = '2027-01-15'")
    _, findings = harness.do(harness.ledger.verify("", 10))
    assert [(one.user_id, one.where, one.expected.partition(" at ")[0], one.found.partition(" at ")[0]) for one in findings] == [
        ("amy", "daily:2027-01-15", "5 points", "500 points"),
        ("bob", "daily:2027-01-15", "7 points", "no standing"),
        ("bob", "daily:2027-01-20", "no standing", "7 points"),
    ]
    harness.close()


def test_the_first_award_of_a_player_that_began_before_a_board_was_declared_is_on_it(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    began, may_end = threading.Event(), threading.Event()

    def judged(step: str) -> None:
        if step == "judged":
            began.set()
            assert may_end.wait(20)

    slow, quick = open_store(url, judged), open_store(url)
    quick.writes.award([claim("zoe", 1)], [])
    awarding = threading.Thread(target=slow.writes.award, args=([claim("amy", 5)], []))

    def fill_in() -> None:
        quick.keeper.declare_boards([ALL])
        while quick.keeper.fill_boards(100):
            pass

    filling = threading.Thread(target=fill_in)
    awarding.start()
    try:
        assert began.wait(20)
        filling.start()
        filling.join(0.5)
        assert filling.is_alive(), "amy's account has no row yet, so a page would pass this player"
    finally:
        may_end.set()
        awarding.join()
        filling.join()
    assert [one.user_id for one in quick.reads.top(BoardBucket(board_id="all"), 0, 10)] == ["amy", "zoe"]
    for store in (slow.writes, quick.writes, quick.keeper, quick.reads):
        store.close()


@pytest.mark.parametrize("seed", range(3))
def test_boards_that_are_filled_in_while_players_are_awarded_lack_nothing(tmp_path: Path, seed: int) -> None:
    """Three writers and a filler at once on PostgreSQL: accounts are opened, boards are removed and declared again."""
    chance, url = random.Random(seed), fresh_url("postgresql", tmp_path)
    faults: list[Exception] = []

    def awards(number: int) -> None:
        store, own = open_store(url), random.Random(seed * 10 + number)
        try:
            for step in range(150):
                users = {f"p{own.randrange(3 + step)}" for _ in range(4)}
                claims = [claim(user, own.randrange(-5, 9), rule=own.choice([RUN, WALK]), at_ms=NOW + step) for user in users]
                store.writes.award(claims, [])
        except Exception as fault:
            faults.append(fault)
        finally:
            close(store)

    keeper = open_store(url)
    writers = [threading.Thread(target=awards, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        keeper.keeper.declare_boards([board for board in (ALL, RUNS, LATEST) if chance.random() < 0.8])
        for _ in range(chance.randrange(12)):
            keeper.keeper.fill_boards(7)
    keeper.keeper.declare_boards([ALL, RUNS, LATEST])
    while keeper.keeper.fill_boards(50):
        pass
    assert faults == []
    after: str | None = ""
    while after is not None:
        after, findings = keeper.reads.verify(after, 100)
        assert findings == []
    close(keeper)


def close(store: SqlStore) -> None:
    for one in (store.writes, store.keeper, store.reads):
        one.close()
