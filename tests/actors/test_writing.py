"""Scorekeeper, projector and ranking on stores in memory: the order of an award, and stores that are unavailable."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from scoreboard.actors import scorekeeper as module
from scoreboard.actors.projector import POLL_S, POLLS_PER_FOLLOW, RETRY_S, Projector
from scoreboard.actors.ranking import Ranking
from scoreboard.actors.scorekeeper import Scorekeeper, SubmitResult
from scoreboard.domain.actions import ClientInfo, Receipt, Submission
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.entries import EntryFilter, ResetOrder
from scoreboard.domain.errors import StoreAway, StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.grants import Grant
from scoreboard.domain.judgement import AWARD_S_MAX
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import INVALID_ACTION, SUSPENDED, Reason, Refusal
from scoreboard.domain.rules import ActionRule
from scoreboard.storage.memory.board import MemoryBoard
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from tests.actors.fakes import NOW, FakeMeter
from tests.awaiting import result_of, started

RULE = ActionRule(action_type="COMPLETE_QUEST", points=100)
AWAY = StoreUnavailable("away")


class Harness:
    def __init__(self) -> None:
        self.clock = Clock()
        self.ledger = MemoryLedger()
        self.board = MemoryBoard(GLOBAL_BOARD, self.now_ms)
        self.meter = FakeMeter()
        self.answered: list[tuple[Cursor, Sequence[ScoreChanged]]] = []
        self.ranking = Ranking(
            board=self.board,
            ledger=self.ledger.board(GLOBAL_BOARD),
            clock=self.clock,
            now_ms=self.now_ms,
            meter=self.meter,
            lagging_s=lambda: self.projector.lagging_s,
        )
        self.projector = Projector(
            ledger=self.ledger.board(GLOBAL_BOARD),
            board=self.board,
            clock=self.clock,
            on_changes=self.on_changes,
            note_ledger_ahead=self.ranking.note_ledger_ahead,
            meter=self.meter,
        )
        self.suspended: set[str] = set()
        ids = itertools.count()
        self.scorekeeper = Scorekeeper(
            ledger=self.ledger,
            project=self.projector.project,
            rate_limiter=MemoryRateLimiter(self.now_ms),
            catalogue={"COMPLETE_QUEST": RULE},
            milestones=(100, 250),
            clock=self.clock,
            now_ms=self.now_ms,
            new_id=lambda: str(uuid.UUID(int=next(ids), version=4)),
            meter=self.meter,
            is_suspended=self.suspended.__contains__,
        )

    def now_ms(self) -> int:
        return NOW + int(self.clock.seconds() * 1000)

    def on_changes(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        self.ranking.advance(cursor)
        self.answered.append((cursor, changes))

    def submit(self, user: str = "amy", action: int = 1, action_type: str = "COMPLETE_QUEST") -> Deferred[SubmitResult]:
        action_id = str(uuid.UUID(int=2**70 + action, version=4))
        grant = Grant(
            action_id=action_id,
            user_id=user,
            action_type=action_type,
            issued_at_ms=NOW,
            not_before_ms=NOW,
            expires_at_ms=NOW + 600_000,
            points=100,
            metadata=(),
        )
        submission = Submission(action_id=action_id, action_type=action_type, issued_at_ms=NOW, metadata=(), signature="")
        player = Player(user_id=user, username=user, role="user", expires_at_s=2**33)
        return started(self.scorekeeper.submit(player, submission, grant, ClientInfo(address="127.0.0.1", agent="test")))

    def award(self, user: str = "amy", action: int = 1) -> Receipt:
        result = outcome_of(self.submit(user, action))
        self.clock.advance(0.001)
        assert isinstance(result, Receipt), result
        return result

    def totals_on_board(self, *users: str) -> list[int | None]:
        return [found and found[0] for found in result_of(self.board.totals_of(users))]


def outcome_of(d: Deferred[SubmitResult]) -> SubmitResult:
    async def wait() -> SubmitResult:
        return await d

    return result_of(wait())


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    result_of(harness.projector.start())
    return harness


def test_an_award_is_committed_set_on_the_board_announced_and_answered_with_ranks(harness: Harness) -> None:
    assert harness.award("zed") == Receipt(points=100, total=100, rank=1, previous_rank=None)
    assert harness.award("amy", 2) == Receipt(points=100, total=100, rank=2, previous_rank=None)
    assert harness.award("amy", 3) == Receipt(points=100, total=200, rank=1, previous_rank=2)
    assert harness.totals_on_board("amy", "zed") == [200, 100]
    changes = [(change.user_id, change.points, change.rank) for _, answered in harness.answered for change in answered]
    assert changes == [("zed", 100, 1), ("amy", 100, 2), ("amy", 200, 1)]


def test_an_action_that_another_server_issued_by_a_clock_ahead_of_ours_is_awarded(harness: Harness) -> None:
    harness.clock.rightNow -= 0.1
    harness.award("amy")
    (entry,) = result_of(harness.ledger.entries(EntryFilter(), None, 10))
    assert entry.at_ms == NOW, "not before it was issued"


def test_milestones_are_unlocked_by_the_awards_that_reach_them(harness: Harness) -> None:
    for action in range(1, 5):
        harness.award("amy", action)
    assert {milestone_key: one.action_id[-1] for milestone_key, one in harness.ledger.achievements.items()} == {
        ("amy", 100): "1",
        ("amy", 250): "3",
    }


def test_fifty_equal_submissions_at_once_are_one_award_and_forty_nine_times_its_receipt(harness: Harness) -> None:
    harness.ledger.pause()
    waiting = [harness.submit() for _ in range(50)]
    harness.ledger.resume()
    first, *rest = [outcome_of(one) for one in waiting]
    assert first == Receipt(points=100, total=100, rank=1, previous_rank=None)
    assert all(isinstance(one, Refusal) and one.reason is Reason.ACTION_ALREADY_USED and one.receipt == first for one in rest)


def test_a_late_retry_gets_the_original_receipt(harness: Harness) -> None:
    first = harness.award("amy", 1)
    harness.clock.advance(module.RECEIPTS_WAIT_S)
    harness.award("zed", 2)
    harness.award("zed", 3)
    again = outcome_of(harness.submit("amy", 1))
    assert isinstance(again, Refusal)
    assert again.receipt == first


def test_an_action_that_left_the_catalogue_is_invalid(harness: Harness) -> None:
    assert outcome_of(harness.submit(action_type="GONE")) is INVALID_ACTION


def test_while_the_ledger_is_unavailable_nothing_is_awarded_and_a_later_retry_is_awarded(harness: Harness) -> None:
    harness.ledger.broken = AWAY
    refusal = outcome_of(harness.submit())
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.retry_after_s) == (Reason.UNAVAILABLE, 1)
    harness.ledger.broken = None
    assert harness.award().total == 100


def test_a_claim_that_waits_too_long_is_refused_and_the_ledger_gets_the_time_left(harness: Harness) -> None:
    harness.ledger.pause()
    harness.submit("amy", 1)
    early = harness.submit("bob", 2)
    harness.clock.advance(1)
    late = harness.submit("cat", 3)
    harness.clock.advance(module.CLAIM_WAITS_S_MAX - 1)
    refusal = outcome_of(early)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.retry_after_s) == (Reason.UNAVAILABLE, 1)
    harness.ledger.resume()
    assert isinstance(outcome_of(late), Receipt)
    assert harness.ledger.seconds_allowed == AWARD_S_MAX - (module.CLAIM_WAITS_S_MAX - 1)
    assert result_of(harness.ledger.board(GLOBAL_BOARD).account("bob")) is None


def test_only_a_claim_that_did_not_reach_the_ledger_is_answered_as_not_awarded(harness: Harness) -> None:
    for trouble, said in [(StoreAway("silent"), "nothing was awarded"), (AWAY, "submit the same action again")]:
        harness.ledger.broken = trouble
        refusal = outcome_of(harness.submit())
        assert isinstance(refusal, Refusal)
        assert said in refusal.message


def test_a_full_mailbox_refuses_at_once(harness: Harness) -> None:
    harness.ledger.pause()
    waiting = [harness.submit("amy", n) for n in range(module.CLAIMS_WAITING_MAX + 1)]  # one of them is in a batch
    refusal = outcome_of(harness.submit("amy", 99_999))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNAVAILABLE
    harness.ledger.resume()
    assert all(isinstance(outcome_of(one), Receipt) for one in waiting)


def test_a_stop_answers_all_waiting_claims_and_then_refuses(harness: Harness) -> None:
    harness.ledger.pause()
    waiting = [harness.submit("amy", n) for n in range(3)]
    stopped = started(harness.scorekeeper.stop())
    late = outcome_of(harness.submit("amy", 9))
    assert isinstance(late, Refusal)
    harness.ledger.resume()
    assert [outcome_of(one).total for one in waiting] == [100, 200, 300]  # type: ignore[union-attr]  # receipts all
    assert stopped.called


def test_awards_continue_without_the_board_which_catches_up_by_itself(harness: Harness) -> None:
    harness.award("amy", 1)
    harness.board.broken = True
    degraded = harness.award("amy", 2)
    assert (degraded.total, degraded.rank, degraded.degraded) == (200, None, True)
    harness.board.broken = False
    assert harness.award("zed", 3).degraded  # still lagging: no later award is set before the missing one
    harness.clock.advance(RETRY_S)
    assert harness.projector.in_sync
    assert harness.totals_on_board("amy", "zed") == [200, 100]
    assert harness.award("zed", 4) == Receipt(points=100, total=200, rank=2, previous_rank=2)


def test_an_emptied_board_is_rebuilt_in_a_new_epoch(harness: Harness) -> None:
    harness.award("amy", 1)
    before = harness.answered[-1][0]
    harness.board.shared_state.lose()
    harness.award("amy", 2)
    harness.clock.advance(RETRY_S)
    assert harness.totals_on_board("amy") == [200]
    assert harness.answered[-1][0] > before


def test_a_restarted_board_gets_a_new_epoch_and_keeps_its_data(harness: Harness) -> None:
    harness.award("amy", 1)
    before = harness.answered[-1][0]
    harness.board.shared_state.restart()
    harness.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert harness.answered[-1][0].epoch > before.epoch
    assert harness.totals_on_board("amy") == [100]


def test_no_epoch_begins_on_a_run_of_redis_that_takes_no_writes(harness: Harness) -> None:
    harness.award("amy", 1)
    before = result_of(harness.ledger.board(GLOBAL_BOARD).state()).epoch
    harness.board.shared_state.restart()
    harness.board.read_only = True  # as the old master after a failover for a moment
    harness.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert result_of(harness.ledger.board(GLOBAL_BOARD).state()).epoch == before
    harness.board.read_only = False
    harness.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert harness.answered[-1][0].epoch > before


def test_a_reset_that_another_process_did_not_set_is_set_within_two_polls(harness: Harness) -> None:
    harness.award("amy", 1)
    order = ResetOrder(reset_id="r", user_ids=("amy",), operator="ops", reason="test", at_ms=harness.now_ms())
    result_of(harness.ledger.reset(order))
    harness.clock.pump([POLL_S] * POLLS_PER_FOLLOW)
    assert harness.totals_on_board("amy") == [None]


def test_a_page_is_read_once_while_nothing_changes(harness: Harness) -> None:
    harness.award("amy", 1)
    first = result_of(harness.ranking.page(0, 10))
    assert result_of(harness.ranking.page(0, 10)) is first
    harness.award("zed", 2)
    second = result_of(harness.ranking.page(0, 10))
    assert [row.user_id for row in second.rows] == ["amy", "zed"]
    assert second.cursor == harness.ranking.cursor > first.cursor


def test_without_the_board_reads_come_from_the_ledger_and_are_degraded(harness: Harness) -> None:
    harness.award("amy", 1)
    harness.board.broken = True
    harness.award("zed", 2)
    page = result_of(harness.ranking.page(0, 100))
    assert page.degraded
    assert [(row.user_id, row.rank) for row in page.rows] == [("amy", 1), ("zed", 2)]
    player_rank = result_of(harness.ranking.rank_of("zed"))
    assert (player_rank.degraded, player_rank.points, player_rank.rank, player_rank.total) == (True, 100, None, 2)


def test_a_player_reads_their_award_at_once_even_if_it_is_not_on_the_board(harness: Harness) -> None:
    harness.award("amy", 1)
    harness.award("zed", 2)
    assert not result_of(harness.ranking.page(0, 10)).degraded  # kept at a cursor that does not change
    assert result_of(harness.ranking.rank_of("amy")).points == 100
    harness.board.broken = True
    for action, total in ((3, 200), (4, 300)):
        harness.award("amy", action)
        player_rank, page = result_of(harness.ranking.rank_of("amy")), result_of(harness.ranking.page(0, 10))
        assert (player_rank.points, player_rank.degraded, player_rank.total) == (total, True, 2)
        assert ([(row.user_id, row.points) for row in page.rows], page.degraded) == ([("amy", total), ("zed", 100)], True)


def test_a_player_suspended_during_a_silence_of_the_ledger_is_refused_with_the_batch(harness: Harness) -> None:
    harness.ledger.pause()
    under_way = harness.submit("cat")
    waiting = [harness.submit("amy", 2), harness.submit("bob", 3)]
    harness.suspended.add("amy")
    harness.ledger.resume()
    assert outcome_of(waiting[0]) == SUSPENDED
    assert isinstance(outcome_of(waiting[1]), Receipt)
    assert isinstance(outcome_of(under_way), Receipt)
    assert result_of(harness.ledger.board(GLOBAL_BOARD).account("amy")) is None


def test_the_ledger_refuses_a_suspended_player_whom_the_scorekeeper_does_not_know(harness: Harness) -> None:
    harness.ledger.pause()
    waiting = harness.submit("amy")
    harness.ledger.suspended.add("amy")
    harness.ledger.resume()
    assert outcome_of(waiting) == SUSPENDED
    assert [change for _, changes in harness.answered for change in changes] == []
