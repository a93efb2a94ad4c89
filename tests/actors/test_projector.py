"""Projector and sweep on stores in memory: boards of other ledgers, boards that lost a part, and a ledger that went back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors.board_diagnosis import ELSEWHERE_SILENT_S_MAX, SILENT_S_MAX, diagnose, owner_of
from scoreboard.actors.board_sweep import PLAYERS_PER_STEP, SETTLE_S, STEP_S, BoardSweep
from scoreboard.actors.degraded_reads import PAUSE_S, RANKS_WAITING_MAX
from scoreboard.actors.projector import POLL_S, POLLS_PER_FOLLOW, RETRY_S, Projector
from scoreboard.actors.ranking import LAGGING_S_MAX, Ranking
from scoreboard.boundaries.board_ledger import BoardLedger
from scoreboard.domain.board_state import BoardState
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import DamagedBoard, StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.judgement import Award
from scoreboard.domain.ledger_state import LedgerState
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board import MemoryBoard, SharedBoardState
from scoreboard.storage.memory.board_ledger import MemoryBoardLedger
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import NOW, FakeMeter
from tests.awaiting import result_of
from tests.storage.claims import award_in, claim


class CountingLedger(MemoryLedger):
    """Counts the reads of players."""

    def __init__(self, clock_ms: Callable[[], int] = lambda: NOW) -> None:
        super().__init__(clock_ms=clock_ms)
        self.asked = 0

    def board(self, bucket: BoardBucket) -> BoardLedger:
        return CountingBoardLedger(self, bucket)


class CountingBoardLedger(MemoryBoardLedger):
    def __init__(self, ledger: CountingLedger, bucket: BoardBucket) -> None:
        super().__init__(ledger, bucket)
        self.counting = ledger

    async def accounts_of(self, user_ids: Sequence[str]) -> list[Standing]:
        self.counting.asked += 1
        return await super().accounts_of(user_ids)


class Server:
    """One process with its board, projector, ranking and sweep. ``store_is_shared``: its Redis is the operator's own."""

    def __init__(
        self, ledger: CountingLedger, shared_state: SharedBoardState, clock: Clock, *, store_is_shared: bool = True
    ) -> None:
        self.ledger, self.clock, self.meter = ledger, clock, FakeMeter()
        self.board = MemoryBoard(GLOBAL_BOARD, lambda: NOW, shared_state)
        self.received: list[tuple[Cursor, Sequence[ScoreChanged]]] = []
        self.ranking = Ranking(
            board=self.board,
            ledger=ledger.board(GLOBAL_BOARD),
            clock=clock,
            now_ms=lambda: NOW,
            meter=self.meter,
            lagging_s=lambda: self.projector.lagging_s,
        )
        self.projector = Projector(
            ledger=ledger.board(GLOBAL_BOARD),
            board=self.board,
            clock=clock,
            on_changes=self.on_changes,
            note_ledger_ahead=self.ranking.note_ledger_ahead,
            meter=self.meter,
            store_is_shared=store_is_shared,
        )
        self.sweep = BoardSweep(
            ledger=ledger.board(GLOBAL_BOARD), board=self.board, projector=self.projector, clock=clock, meter=self.meter
        )
        result_of(self.projector.start())
        result_of(self.sweep.start())

    def on_changes(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        self.ranking.advance(cursor)
        self.received.append((cursor, changes))

    def award(self, user: str, points: int = 100, *, project: bool = True) -> Award:
        award = award_in(result_of(self.ledger.award([claim(user, points)], []))[0])
        if project:
            result_of(self.projector.project([award]))
        return award

    def pass_s(self, seconds: float) -> None:
        self.clock.pump([STEP_S] * int(seconds / STEP_S))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server(CountingLedger(), SharedBoardState(), clock)


def epoch_of(board: MemoryBoard) -> int:
    assert board.shared_state.cursor is not None
    return board.shared_state.cursor.epoch


def points_on(board: MemoryBoard) -> dict[str, int]:
    return {user_id: board.shared_state.standings[user_id].points for user_id in board.shared_state.order}


def test_a_start_does_not_wait_for_the_ledger_and_the_board_follows_later(clock: Clock) -> None:
    shared_state, ledger = SharedBoardState(), CountingLedger()
    ledger.pause()
    server = Server(ledger, shared_state, clock)  # its start returns before the ledger answers
    assert not server.projector.in_sync
    ledger.resume()
    clock.advance(POLL_S)
    assert server.projector.in_sync


@pytest.mark.parametrize("damage", ["3 players are ranked there, and it should be 5", "0 players are known there"])
def test_a_board_with_a_lost_part_is_not_read_and_is_rebuilt_within_a_second(server: Server, damage: str) -> None:
    server.award("amy")
    epoch = epoch_of(server.board)
    server.board.shared_state.damage = damage
    assert result_of(server.ranking.rank_of("amy")).degraded
    server.clock.advance(POLL_S)
    player_rank = result_of(server.ranking.rank_of("amy"))
    assert (player_rank.degraded, player_rank.rank, player_rank.cursor.epoch > epoch) == (False, 1, True)


def test_the_board_of_another_ledger_is_not_used_and_reads_come_from_our_ledger(server: Server, clock: Clock) -> None:
    server.award("amy", 50)
    with capturedLogs() as logged:
        staging = Server(CountingLedger(), server.board.shared_state, clock)
        staging.award("zed", 7)
        staging.pass_s(10)
    assert not staging.projector.in_sync
    assert staging.projector.condition == "Redis holds the board of another ledger"
    [trouble] = [event["trouble"] for event in logged if event["log_level"].name == "error"]
    assert "another ledger" in trouble
    assert "REDIS_URL" in trouble
    assert points_on(server.board) == {"amy": 50}
    page = result_of(staging.ranking.page(0, 10))
    assert ([(row.user_id, row.points) for row in page.rows], page.degraded) == ([("zed", 7)], True)
    assert server.projector.in_sync
    assert not result_of(server.ranking.page(0, 10)).degraded


def test_a_projector_that_was_stopped_builds_no_board_any_more(server: Server) -> None:
    server.award("amy")
    epoch = epoch_of(server.board)
    result_of(server.projector.stop())
    result_of(server.projector.rebuild_because("a sweep that ended late found a difference"))
    server.board.shared_state.lose()
    server.projector.check_soon()
    server.pass_s(5)
    assert epoch > 0
    assert result_of(server.board.state()) is None


def test_in_the_servers_own_redis_the_board_of_another_ledger_is_replaced(clock: Clock) -> None:
    shared_state = SharedBoardState()
    Server(CountingLedger(), shared_state, clock, store_is_shared=False).award("amy")
    other = Server(CountingLedger(), shared_state, clock, store_is_shared=False)
    assert other.projector.in_sync
    assert points_on(other.board) == {}


def test_a_copy_of_the_ledger_sets_the_board_only_once_the_original_is_silent(server: Server, clock: Clock) -> None:
    server.award("amy", 50)
    copy = CountingLedger()
    copy.ledger_id, copy.instance = server.ledger.ledger_id, "elsewhere"
    restored = Server(copy, server.board.shared_state, clock)
    restored.pass_s(3)
    assert "A copy of this ledger" in restored.projector.condition
    result_of(server.projector.stop())
    server.board.shared_state.followed_s_ago = SILENT_S_MAX + 1
    restored.pass_s(2)
    assert restored.projector.in_sync
    assert points_on(restored.board) == {}


def test_of_two_servers_with_different_redises_only_one_sets_its_board(clock: Clock) -> None:
    ledger = CountingLedger()
    first, second = Server(ledger, SharedBoardState(), clock), Server(ledger, SharedBoardState(), clock)
    epochs = [server.board.shared_state.cursor for server in (first, second)]
    first.pass_s(20)
    assert not first.projector.in_sync
    assert "another Redis" in first.projector.condition
    assert second.projector.in_sync
    assert [server.board.shared_state.cursor for server in (first, second)] == epochs
    second.award("amy", 5)
    assert result_of(first.ranking.rank_of("amy")).points == 5, "it reads the ledger"
    result_of(second.projector.stop())
    ledger.followed_s_ago = ELSEWHERE_SILENT_S_MAX + 1
    first.pass_s(2)
    assert first.projector.in_sync


def test_a_change_that_was_not_received_is_noticed_within_two_seconds(server: Server, clock: Clock) -> None:
    unsubscribed = Server(server.ledger, server.board.shared_state, clock)
    server.award("amy")
    assert unsubscribed.ranking.cursor < server.ranking.cursor
    clock.advance(POLL_S)
    assert unsubscribed.ranking.cursor == server.ranking.cursor


def test_an_award_that_another_process_did_not_set_is_set_within_two_polls(server: Server) -> None:
    server.award("amy", project=False)
    server.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert points_on(server.board) == {"amy": 100}


def test_a_ledger_that_lost_entries_is_noticed_by_its_position(server: Server) -> None:
    server.award("amy")
    restore = server.ledger.backup()
    server.award("bob")
    server.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    before = epoch_of(server.board)
    restore()
    server.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert points_on(server.board) == {"amy": 100}
    assert epoch_of(server.board) > before
    assert server.meter.counts["ledger_went_back_total"] == 1


def test_an_award_no_newer_than_the_board_shows_that_the_ledger_went_back(server: Server) -> None:
    server.award("amy", 100)
    restore = server.ledger.backup()
    server.award("amy", 100)
    restore()
    server.award("amy", 30)  # the second entry of the player again
    server.clock.advance(RETRY_S)
    assert points_on(server.board) == {"amy": 130}
    assert server.projector.in_sync


def test_an_award_that_another_process_overtook_does_not_cause_a_rebuild(server: Server) -> None:
    first, second = (server.award("amy", points, project=False) for points in (1, 2))
    epoch = epoch_of(server.board)
    result_of(server.projector.project([second]))
    result_of(server.projector.project([first]))
    server.pass_s(3)
    assert points_on(server.board) == {"amy": 3}
    assert epoch_of(server.board) == epoch
    assert "ledger_went_back_total" not in server.meter.counts


def test_a_board_that_takes_no_writes_is_read_for_two_seconds_at_most(server: Server) -> None:
    server.award("amy", 300)
    assert result_of(server.ranking.rank_of("amy")).points == 300
    server.board.read_only = True
    server.award("amy", 4_800)
    server.pass_s(LAGGING_S_MAX + POLL_S)
    player_rank, page = result_of(server.ranking.rank_of("amy")), result_of(server.ranking.page(0, 10))
    assert (player_rank.points, player_rank.degraded) == (5_100, True)
    assert (page.rows[0].points, page.degraded) == (5_100, True)
    server.board.read_only = False
    server.pass_s(2)
    assert not result_of(server.ranking.rank_of("amy")).degraded


def test_reads_of_a_lagging_board_are_forgotten_when_the_ledger_begins_to_answer(server: Server) -> None:
    server.award("amy")
    server.clock.advance(POLL_S / 4)
    server.board.read_only = True
    server.award("amy")
    assert not result_of(server.ranking.page(0, 10)).degraded
    began_s = server.clock.seconds()
    while not result_of(server.ranking.page(0, 10)).degraded:
        server.clock.advance(0.05)
    assert 2.0 <= server.clock.seconds() - began_s <= 2.1


def test_a_record_that_cannot_be_read_causes_a_rebuild(server: Server) -> None:
    server.award("amy")
    epoch = epoch_of(server.board)
    server.projector.check_soon(DamagedBoard("a player's record cannot be read"))
    assert epoch_of(server.board) > epoch
    assert server.projector.in_sync


def test_the_sweep_sets_a_missing_total_and_a_wrong_total_of_the_same_version(server: Server) -> None:
    for n in range(PLAYERS_PER_STEP + 20):
        server.award(f"user-{n}", n)
    stored = server.board.shared_state.standings
    stored["user-3"] = replace(stored["user-3"], points=77, version=0)
    stored["user-500"] = replace(stored["user-500"], points=9_999)
    server.board.shared_state.rank()
    server.pass_s(4 * STEP_S + SETTLE_S * 3)
    shown = points_on(server.board)
    assert (shown["user-3"], shown["user-500"]) == (3, 500)
    assert server.meter.counts["board_gaps_total"] == 2


def test_the_sweep_does_not_count_an_award_that_is_committed_but_not_projected(server: Server) -> None:
    server.award("amy")
    late = server.award("amy", 5, project=False)
    server.clock.advance(STEP_S)
    result_of(server.projector.project([late]))
    server.pass_s(5)
    assert "board_gaps_total" not in server.meter.counts
    assert points_on(server.board) == {"amy": 105}


def test_the_sweep_finds_players_whom_the_ledger_does_not_know(server: Server) -> None:
    server.award("amy")
    unknown_client = Standing(
        user_id="unknown", username="S", avatar=None, points=9, version=1, reached_at_ms=NOW, updated_at_ms=NOW
    )
    result_of(server.board.set([unknown_client]))
    server.pass_s(6)
    assert points_on(server.board) == {"amy": 100}


def test_one_server_at_a_time_sweeps(server: Server, clock: Clock) -> None:
    server.award("amy")
    other = Server(server.ledger, server.board.shared_state, clock)
    server.board.shared_state.standings["amy"] = replace(server.board.shared_state.standings["amy"], points=1)
    server.pass_s(4)
    assert server.board.shared_state.locks["sweep"] is server.board
    gaps = [one.meter.counts.get("board_gaps_total", 0) for one in (server, other)]
    assert gaps == [1, 0]


def test_without_a_board_many_readers_share_one_read_and_too_many_are_refused(server: Server) -> None:
    for n in range(3):
        server.award(f"user-{n}", n + 1)
    server.board.broken = True
    server.ledger.asked = 0
    server.ledger.pause()
    player_ranks: list[Any] = [ensureDeferred(server.ranking.rank_of(f"user-{n % 600}")) for n in range(900)]
    server.ledger.resume()
    server.clock.pump([PAUSE_S] * 10)
    assert [player_rank.result.points for player_rank in player_ranks[:3]] == [1, 2, 3]
    assert server.ledger.asked <= 4
    server.ledger.pause()
    waiting = [ensureDeferred(server.ranking.rank_of(f"other-{n}")) for n in range(RANKS_WAITING_MAX + 2)]
    late: Any = ensureDeferred(server.ranking.rank_of("one-more"))
    with pytest.raises(StoreUnavailable):
        late.result.raiseException()
    late.addErrback(lambda _: None)
    server.ledger.resume()
    server.clock.pump([PAUSE_S] * 40)
    assert all(one.called for one in waiting)


LEDGER = LedgerState(ledger_id="l-1", instance="here", epoch=7, epoch_run="run-1")
BOARD = BoardState(
    cursor=Cursor(epoch=7, seq=3), position="9", epoch_run="run-1", run="run-1", owner=owner_of(LEDGER), ranked=2, players=2
)


@pytest.mark.parametrize(
    ("board", "ledger", "action"),
    [
        (BOARD, LEDGER, "follow"),
        (None, LEDGER, "rebuild"),
        (replace(BOARD, damage="gone"), LEDGER, "rebuild"),
        (replace(BOARD, position=""), LEDGER, "rebuild"),
        (replace(BOARD, owner=""), LEDGER, "rebuild"),
        (replace(BOARD, run="run-2"), LEDGER, "begin"),
        (BOARD, replace(LEDGER, epoch=6), "rebuild"),
        (BOARD, replace(LEDGER, epoch=8), "rebuild"),
        (BOARD, replace(LEDGER, epoch=8, epoch_run="run-2"), "refuse"),
        (BOARD, replace(LEDGER, epoch=8, epoch_run="run-2", followed_s_ago=99), "rebuild"),
        (replace(BOARD, run="run-3"), replace(LEDGER, epoch=8, epoch_run="run-2"), "rebuild"),
        (replace(BOARD, owner="l-2/here"), LEDGER, "refuse"),
        (replace(BOARD, owner="l-2/here", followed_s_ago=9_999), LEDGER, "refuse"),
        (replace(BOARD, owner="l-1/there"), LEDGER, "refuse"),
        (replace(BOARD, owner="l-1/there", followed_s_ago=SILENT_S_MAX + 1), LEDGER, "rebuild"),
    ],
)
def test_the_diagnosis_follows_from_both_states(board: BoardState | None, ledger: LedgerState, action: str) -> None:
    diagnosis = diagnose(board, ledger, store_is_shared=True)
    assert diagnosis.action == action
    assert bool(diagnosis.reason) == (action != "follow")


def test_a_board_of_another_ledger_is_never_followed() -> None:
    for owner, epoch, run, position, damage, age in itertools.product(
        ("l-2/here", "l-1/there", "x", "l-2/l-1"), (6, 7, 8), ("run-1", "run-2"), ("", "9"), ("", "gone"), (0, 99)
    ):
        board = replace(
            BOARD, owner=owner, cursor=Cursor(epoch=epoch, seq=1), run=run, position=position, damage=damage, followed_s_ago=age
        )
        assert diagnose(board, LEDGER, store_is_shared=True).action in ("refuse", "rebuild")
        if not owner.startswith("l-1/"):
            assert diagnose(board, LEDGER, store_is_shared=True).action == "refuse"
