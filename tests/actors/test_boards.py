"""Boards and their buckets over time, on stores in memory and a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import Clock

from scoreboard.actors.board_series import AHEAD_MS, FOLLOWED_MAX, FOLLOWED_MS, OPENING_MAX, BoardSeries
from scoreboard.actors.boards import LOOK_S, SWEEP_S, Boards
from scoreboard.actors.open_bucket import OpenBucket, open_bucket
from scoreboard.actors.ranking import LAGGING_S_MAX
from scoreboard.domain.actions import BoardRank, Receipt
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition, FedBoard
from scoreboard.domain.judgement import DAY_MS, Award
from scoreboard.domain.periods import Bucket, CalendarPeriod, Seasons, Slots
from scoreboard.domain.refusals import Reason, Refused
from scoreboard.domain.rules import ActionRule
from scoreboard.storage.memory.board import MemoryBoard, SharedBoardState
from scoreboard.storage.memory.board_ledger import MemoryBoardLedger
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.zones import zone_named
from tests.actors.fakes import FakeMeter
from tests.awaiting import result_of
from tests.storage.claims import award_in, claim

#: 2026-11-28T23:58Z, and the seconds until midnight.
BEGIN = 1_795_910_280_000
LEFT_S = 120
GLOBAL = BoardDefinition(board_id="global", title="All time")
DAILY = BoardDefinition(
    board_id="daily", title="Today", period=CalendarPeriod(unit="daily", zone=zone_named("UTC")), keep_closed=7
)
RUNS = BoardDefinition(board_id="runs", title="Runs", counts=frozenset({"RUN"}), period=Slots(length_ms=60_000), keep_closed=90)
WEEKS = BoardDefinition(
    board_id="weeks", title="Weeks", period=CalendarPeriod(unit="weekly", zone=zone_named("UTC")), keep_closed=40
)
RUN = ActionRule(action_type="RUN", points=0)


class Server:
    """One process with its boards. A second one may share the ledger and the store of the first."""

    def __init__(self, *definitions: BoardDefinition, beside: Server | None = None) -> None:
        self.clock: Clock = Clock() if beside is None else beside.clock
        self.ledger: MemoryLedger = MemoryLedger(clock_ms=self.now_ms) if beside is None else beside.ledger
        self.store: dict[str, SharedBoardState] = {} if beside is None else beside.store
        self.meter = FakeMeter()
        self.made: list[MemoryBoard] = []
        self.rebuild_turn = DeferredLock()
        opened = self.open(GLOBAL_BOARD)
        self.boards = Boards(
            ledger=self.ledger,
            definitions=(GLOBAL, *definitions),
            ranking=opened.ranking,
            projector=opened.projector,
            open_series=self.open_series,
            clock=self.clock,
            meter=self.meter,
        )
        result_of(opened.start())
        result_of(self.boards.start())
        self.wait(0)

    def stop(self) -> None:
        result_of(self.boards.stop())

    def now_ms(self) -> int:
        return BEGIN + int(self.clock.seconds() * 1000)

    def wait(self, seconds: float) -> None:
        """Let time pass in steps, so that loops and timers run in their order."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
        self.clock.advance(seconds % 1)

    def open(self, bucket: BoardBucket, may_change: Callable[[], bool] = lambda: True) -> OpenBucket:
        board = MemoryBoard(bucket, self.now_ms, self.store.setdefault(bucket.key, SharedBoardState()))
        self.made.append(board)
        return open_bucket(
            board=board,
            ledger=self.ledger.board(bucket),
            clock=self.clock,
            now_ms=self.now_ms,
            meter=self.meter,
            store_is_shared=False,
            may_change=may_change,
            rebuild_turn=self.rebuild_turn,
        )

    def open_series(self, fed: FedBoard) -> BoardSeries:
        return BoardSeries(fed, open_bucket=self.open, clock=self.clock, now_ms=self.now_ms, meter=self.meter)

    def award(self, *points: tuple[str, int], rule: ActionRule = RUN, at_ms: int | None = None) -> list[Receipt]:
        """The receipts of one batch."""
        return self.project(self.commit(*points, rule=rule, at_ms=at_ms))

    def commit(self, *points: tuple[str, int], rule: ActionRule = RUN, at_ms: int | None = None) -> list[Award]:
        now_ms = self.now_ms() if at_ms is None else at_ms
        claims = [claim(user, value, rule=rule, at_ms=now_ms) for user, value in points]
        return [award_in(verdict) for verdict in result_of(self.ledger.award(claims, []))]

    def project(self, awards: list[Award]) -> list[Receipt]:
        receipts = result_of(self.boards.project(awards))
        return [receipts[award.claim.grant.action_id] for award in awards]

    def shown(self, board_id: str, bucket: str | None = None) -> list[tuple[str, int]]:
        page = result_of(self.boards.ranking(board_id, bucket).page(0, 10))
        assert not page.degraded
        return [(row.user_id, row.points) for row in page.rows]


def test_a_batch_is_set_on_each_board_for_which_it_counts_and_its_receipts_have_its_ranks() -> None:
    server = Server(DAILY, RUNS)
    server.award(("amy", 5), ("bob", 7))
    (receipt,) = server.award(("amy", 3))
    assert (receipt.rank, receipt.previous_rank) == (1, 2)
    assert receipt.boards == (
        BoardRank(board_id="daily", bucket="2026-11-28", rank=1, previous_rank=2),
        BoardRank(board_id="runs", bucket="2026-11-28T23:58Z", rank=1, previous_rank=2),
    )
    (walked,) = server.award(("amy", 1), rule=ActionRule(action_type="WALK", points=0))
    assert [one.board_id for one in walked.boards] == ["daily"]
    assert server.shown("daily") == [("amy", 9), ("bob", 7)]
    assert server.shown("runs") == [("amy", 8), ("bob", 7)]
    assert server.shown("global") == [("amy", 9), ("bob", 7)]


def test_a_bucket_ends_at_its_instant_and_the_next_one_begins_empty() -> None:
    server = Server(DAILY)
    server.award(("amy", 5))
    server.wait(LEFT_S - 1)
    assert server.shown("daily") == [("amy", 5)]
    server.clock.advance(1)
    assert server.shown("daily") == []
    server.award(("bob", 1))
    assert server.shown("daily") == [("bob", 1)]
    assert server.shown("daily", "2026-11-28") == [("amy", 5)]


def test_an_award_that_is_committed_after_the_end_of_its_bucket_is_on_it() -> None:
    server = Server(DAILY)
    server.wait(LEFT_S + 3)
    (receipt,) = server.award(("amy", 5), at_ms=BEGIN + LEFT_S * 1000 - 1)
    assert [one.bucket for one in receipt.boards] == ["2026-11-28"]
    assert (server.shown("daily"), server.shown("daily", "2026-11-28")) == ([], [("amy", 5)])


def test_the_next_bucket_is_open_before_it_begins() -> None:
    server = Server(DAILY)
    server.wait(LEFT_S - AHEAD_MS // 1000 - 2)
    assert set(server.store) == {"global", "daily:2026-11-28"}
    server.wait(3)
    assert set(server.store) == {"global", "daily:2026-11-28", "daily:2026-11-29"}
    with pytest.raises(Refused):
        server.boards.ranking("daily", "2026-11-29")


def test_a_closed_bucket_is_let_go_and_opened_again_by_a_read() -> None:
    server = Server(DAILY)
    server.award(("amy", 5))
    server.wait(LEFT_S + FOLLOWED_MS // 1000 + 3)
    closed = server.store["daily:2026-11-28"]
    assert closed.life_ms is not None
    assert abs(closed.life_ms - 7 * DAY_MS) < 200_000
    assert closed.listeners == []
    closed.lose()  # its keys have gone
    assert server.boards.ranking("daily", "2026-11-28") is not None
    server.wait(2)
    assert server.shown("daily", "2026-11-28") == [("amy", 5)]


@pytest.mark.parametrize("bucket", ["2026-11-29", "2026-11-20", "2026-W48", "", "x" * 99, "2026-11-28\0"])
def test_a_bucket_that_does_not_exist_yet_or_is_not_kept_is_refused(bucket: str) -> None:
    server = Server(DAILY)
    with pytest.raises(Refused) as refused:
        server.boards.ranking("daily", bucket)
    assert (refused.value.refusal.reason, refused.value.refusal.field) == (Reason.MALFORMED_REQUEST, "bucket")


def test_between_two_seasons_a_board_is_refused_and_its_seasons_are_not() -> None:
    seasons = Seasons(seasons=(Bucket(name="autumn", begins_ms=BEGIN - 9_000_000, ends_ms=BEGIN - 5_000_000),))
    server = Server(BoardDefinition(board_id="cup", title="Cup", period=seasons, keep_closed=2))
    server.award(("amy", 5))
    with pytest.raises(Refused) as refused:
        server.boards.ranking("cup")
    assert refused.value.refusal.field == "board"
    assert refused.value.refusal.message == "cup has no bucket now; name a closed one with bucket"
    assert server.shown("cup", "autumn") == []


def test_a_board_that_is_not_declared_is_refused() -> None:
    server = Server(DAILY)
    with pytest.raises(Refused) as refused:
        server.boards.ranking("weekly")
    assert refused.value.refusal.message == "must be one of global, daily"
    with pytest.raises(Refused):
        server.boards.ranking("global", "2026-11-28")


def test_a_closed_bucket_takes_the_room_of_the_one_that_was_read_longest_ago() -> None:
    server = Server(WEEKS)
    server.award(("amy", 5))
    names = [bucket.name for bucket in WEEKS.period.closed_before(server.now_ms(), 40)]
    for name in names:
        server.clock.advance(0.01)
        assert server.shown("weeks", name) == []
        assert len(opened_in(server)) <= FOLLOWED_MAX
        assert server.shown("weeks") == [("amy", 5)], "the present bucket stays"
    for name in names[-3:]:
        assert f"weeks:{name}" in opened_in(server)
    assert f"weeks:{names[0]}" not in opened_in(server)
    assert server.shown("weeks", names[0]) == []


def test_a_closed_bucket_is_compared_with_the_ledger_once_and_then_only_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(WEEKS)
    asked: Counter[str] = Counter()
    position = MemoryBoardLedger.position

    def counted(ledger: MemoryBoardLedger) -> Any:
        asked[ledger.bucket.bucket] += 1
        return position(ledger)

    monkeypatch.setattr(MemoryBoardLedger, "position", counted)
    assert server.shown("weeks", "2026-W40") == []
    opened = asked["2026-W40"]
    server.wait(20)
    assert asked["2026-W40"] == opened
    assert asked["2026-W48"] == 10, "the present one is followed every two seconds"
    server.store["weeks:2026-W40"].lose()
    server.wait(2)
    assert server.shown("weeks", "2026-W40") == []


def test_a_bucket_that_is_being_opened_is_read_from_the_ledger_and_few_are_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(WEEKS)
    server.award(("amy", 5), at_ms=BEGIN - 21 * DAY_MS)
    held = server.store["weeks:2026-W45"] = SharedBoardState()
    held.begin(7)  # what is in Redis is of another time
    names = [bucket.name for bucket in WEEKS.period.closed_before(server.now_ms(), 10)]
    monkeypatch.setattr(MemoryBoardLedger, "state", lambda _: Deferred())
    for name in ("2026-W45", *names[5 : 4 + OPENING_MAX]):
        page = result_of(server.boards.ranking("weeks", name).page(0, 10))
        assert (page.degraded, [row.user_id for row in page.rows]) == (True, ["amy"] if name == "2026-W45" else [])
    with pytest.raises(Refused) as refused:
        server.boards.ranking("weeks", names[-1])
    assert refused.value.refusal.reason is Reason.UNAVAILABLE
    assert server.shown("weeks") == []


def test_buckets_that_may_still_get_awards_are_not_let_go_for_a_read() -> None:
    server = Server(RUNS)
    server.award(("amy", 5))
    server.wait(60)
    for bucket in RUNS.period.closed_before(server.now_ms(), 40):
        server.clock.advance(0.01)
        server.boards.ranking("runs", bucket.name)
    (receipt,) = server.award(("amy", 1), at_ms=BEGIN + 59_999)
    assert receipt.boards == (BoardRank(board_id="runs", bucket="2026-11-28T23:58Z", rank=1, previous_rank=1),)


def opened_in(server: Server) -> set[str]:
    """The buckets of other boards that the server follows."""
    return {key for key, held in server.store.items() if held.listeners} - {"global"}


def test_what_another_process_sets_is_read_here() -> None:
    first = Server(DAILY)
    second = Server(DAILY, beside=first)
    first.award(("amy", 5))
    assert second.shown("daily") == [("amy", 5)]


def test_a_wrong_total_in_a_bucket_is_set_right() -> None:
    server = Server(DAILY, RUNS)
    server.award(("amy", 5), ("bob", 7))
    held = server.store["daily:2026-11-28"]
    held.replace_all({**held.standings, "amy": msgspec.structs.replace(held.standings["amy"], points=900)})
    assert server.shown("daily") == [("amy", 900), ("bob", 7)]
    server.wait(10)
    assert server.shown("daily") == [("bob", 7), ("amy", 5)]


def test_the_buckets_of_all_boards_take_turns_with_their_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: Counter[str] = Counter()
    read = MemoryBoardLedger.accounts

    def counted(ledger: MemoryBoardLedger, after_user_id: str, limit: int) -> Any:
        compared[ledger.bucket.board_id] += 1
        return read(ledger, after_user_id, limit)

    monkeypatch.setattr(MemoryBoardLedger, "accounts", counted)
    names = [f"daily{number}" for number in range(8)]
    server = Server(*(msgspec.structs.replace(DAILY, board_id=name) for name in names))
    server.award(("amy", 5))
    compared.clear()  # the builds of the boards
    server.wait(30)
    assert set(compared) == set(names)
    assert sum(compared.values()) <= 30 / SWEEP_S


def test_a_receipt_has_its_ranks_also_if_another_process_set_the_award_first() -> None:
    first = Server(DAILY)
    second = Server(DAILY, beside=first)
    awards = first.commit(("amy", 5))
    second.wait(3)  # it follows the ledger meanwhile
    (receipt,) = first.project(awards)
    assert receipt.boards == (BoardRank(board_id="daily", bucket="2026-11-28", rank=1, previous_rank=1),)


def test_boards_are_well_over_the_end_of_a_bucket_and_over_reads_of_closed_ones() -> None:
    """And none of it counts as a rebuild, which says that Redis lost a board."""
    server = Server(DAILY, RUNS)
    server.award(("amy", 5))
    for _ in range(LEFT_S + 130):
        server.clock.advance(1)
        assert server.boards.in_sync
    server.store["daily:2026-11-28"].lose()
    server.boards.ranking("daily", "2026-11-28")
    assert server.boards.in_sync
    assert "board_rebuilds_total" not in server.meter.counts


def test_boards_are_not_well_while_a_present_bucket_cannot_be_set() -> None:
    server = Server(DAILY)
    server.wait(1)
    for held in server.made:
        held.broken = held.bucket.board_id == "daily"
    (receipt,) = server.award(("amy", 5))
    assert (receipt.rank, receipt.boards) == (1, ())
    assert server.boards.in_sync, "it may be over in a moment"
    server.wait(LAGGING_S_MAX + 1)
    assert not server.boards.in_sync
    page = result_of(server.boards.ranking("daily").page(0, 10))
    assert (page.degraded, [(row.user_id, row.points) for row in page.rows]) == (True, [("amy", 5)])


def test_boards_are_rebuilt_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """So Redis needs room for one of them twice, and one that fails costs the others nothing."""
    server = Server(DAILY, RUNS, WEEKS)
    server.award(("amy", 5))
    under_way: list[Deferred[None]] = []
    names: list[str] = []
    rebuild = MemoryBoard.rebuild

    async def slow(board: MemoryBoard, *arguments: Any) -> int:
        names.append(board.bucket.board_id)
        under_way.append(Deferred())
        await under_way[-1]
        return await rebuild(board, *arguments)

    monkeypatch.setattr(MemoryBoard, "rebuild", slow)
    for key in ("daily:2026-11-28", "runs:2026-11-28T23:58Z", "weeks:2026-W48"):
        server.store[key].lose()
    server.wait(2)
    for number in range(3):
        assert len(names) == number + 1
        under_way[number].callback(None)
    assert set(names) == {"daily", "runs", "weeks"}
    assert [server.shown(name) for name in ("daily", "runs", "weeks")] == [[("amy", 5)]] * 3


def test_a_board_that_another_process_removes_is_read_no_more() -> None:
    first = Server(DAILY, RUNS)
    first.award(("amy", 5))
    second = Server(RUNS, beside=first)
    first.wait(LOOK_S + 1)
    with pytest.raises(Refused) as refused:
        first.boards.ranking("daily")
    assert refused.value.refusal.reason is Reason.UNAVAILABLE
    assert [one.board_id for one in first.award(("amy", 1))[0].boards] == ["runs"]
    assert first.shown("runs") == second.shown("runs") == [("amy", 6)]
    assert first.boards.in_sync
    assert first.store["daily:2026-11-28"].life_ms is not None, "its keys go away"


def test_a_board_that_another_process_removes_and_declares_again_is_whole_on_both() -> None:
    """Also where the first process follows the old board while the new one is filled in."""
    first = Server(DAILY)
    first.award(*((f"p{number:03}", number) for number in range(450)))
    first.wait(3)
    Server(beside=first).stop()
    second = Server(DAILY, beside=first)
    for _ in range(8):
        first.clock.advance(0.5)
    first.award(("p001", 1_000))
    first.wait(3)
    for server in (first, second):
        page = result_of(server.boards.ranking("daily").page(0, 2))
        assert (page.total, [(row.user_id, row.points) for row in page.rows]) == (450, [("p001", 1_001), ("p449", 449)])
    (receipt,) = first.award(("p002", 5_000))
    assert [(one.board_id, one.rank) for one in receipt.boards] == [("daily", 1)]


def test_titles_and_kept_buckets_that_another_process_changes_are_taken_over() -> None:
    first = Server(DAILY)
    Server(msgspec.structs.replace(DAILY, title="Heute", keep_closed=1), beside=first)
    first.wait(LOOK_S + 1)
    assert [one.title for one in first.boards.definitions] == ["All time", "Heute"]
    first.boards.ranking("daily", "2026-11-27")
    with pytest.raises(Refused):
        first.boards.ranking("daily", "2026-11-26")


def test_a_season_whose_end_is_moved_goes_on_on_all_processes() -> None:
    def cup(ends_s: int) -> BoardDefinition:
        season = Bucket(name="autumn", begins_ms=BEGIN - 9_000_000, ends_ms=BEGIN + ends_s * 1_000)
        return BoardDefinition(board_id="cup", title="Cup", period=Seasons(seasons=(season,)), keep_closed=1)

    first = Server(cup(90))
    second = Server(cup(9_000), beside=first)
    first.wait(90 + FOLLOWED_MS // 1000 + 10)
    second.commit(("amy", 5))  # this process ends before it sets the award
    second.stop()
    first.wait(3)
    assert first.shown("cup") == [("amy", 5)]
    assert "board_gaps_total" not in first.meter.counts, "the sweep has not found it missing"


def test_a_board_is_not_read_before_all_players_are_filled_in() -> None:
    server = Server()
    server.award(*((f"p{number:03}", number) for number in range(450)))
    later = Server(DAILY, beside=server)
    with pytest.raises(Refused) as refused:
        later.boards.ranking("daily")
    assert refused.value.refusal.reason is Reason.UNAVAILABLE
    later.wait(LOOK_S + 2)
    assert len(later.shown("daily")) == 10
