"""Announcer: the newest state once a tick, in one piece, and no queue for a slow reader."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from scoreboard.actors.announcer import Announcer
from scoreboard.actors.fan_out import SOCKETS_PER_TURN
from scoreboard.background import FAILURES_METRIC
from scoreboard.domain.close_reasons import STALLED
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from tests.actors.fakes import FakeListener, FakeMeter, FakeRanking, PlainEncoder, many, moved
from tests.awaiting import result_of


class Harness:
    def __init__(self, score_updates_per_tick_max: int = 50) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.board = FakeRanking()
        self.private: set[str] = set()
        self.unknown: StoreUnavailable | None = None
        self.encoder = PlainEncoder()
        self.meter = FakeMeter()
        self.announcer = Announcer(
            ranking=self.board,
            forbids_spectators=self._forbids_spectators,
            clock=self.clock,
            tick_ms=50,
            score_updates_per_tick_max=score_updates_per_tick_max,
            meter=self.meter,
        )

    def _forbids_spectators(self, user_id: str) -> bool:
        if self.unknown is not None:
            raise self.unknown
        return user_id in self.private

    def listener(self, user_id: str = "watcher", *, joined: bool = True) -> FakeListener:
        listener = FakeListener(self.encoder, user_id)
        self.announcer.enter(listener)
        if joined:
            result_of(self.announcer.join(listener))
        return listener

    def tick(self, *changes: ScoreChanged, ms: int = 50) -> None:
        self.announcer.publish(changes)
        self.clock.advance(0)
        self.clock.advance(ms / 1000)


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_the_first_change_after_a_quiet_time_is_sent_at_once(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.write(1, ("amy", 100))
    harness.announcer.publish([moved("amy", 1, None)])
    harness.clock.advance(0)
    assert listener.seen == "B@1"


def test_the_top_is_sent_only_when_it_differs(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.write(1, *many(0, 12))
    harness.tick(moved("p3", 4, 5))
    harness.board.write(2, *many(0, 12))
    harness.tick(moved("p11", 12, 12, seq=2))
    assert listener.seen == "B@1 S:p11:12>12@2"


def test_only_its_player_gets_an_event_for_a_change_that_the_top_shows(harness: Harness) -> None:
    unknown_client, amy = harness.listener(), harness.listener("amy")
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("amy", 1, 2))
    assert unknown_client.seen == "B@1"
    assert amy.seen == "B@1 S:amy:2>1@1 R:amy:1"


def test_a_player_gets_their_own_score_without_joining_the_room(harness: Harness) -> None:
    amy, zed = harness.listener("amy", joined=False), harness.listener("zed", joined=False)
    harness.board.write(1, *many(0, 10), ("amy", 1))
    harness.tick(moved("amy", 11, 12))
    assert amy.seen == "S:amy:12>11@1"
    assert zed.seen == ""


def test_many_changes_of_one_player_in_a_tick_become_one(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.write(0, *many(0, 10))
    harness.tick(moved("x", 90, 95, seq=0))
    harness.board.write(4, *many(0, 10))
    harness.announcer.publish([moved("amy", 40, 60, seq=2)])
    harness.announcer.publish([moved("amy", 30, 40, seq=3), moved("amy", 20, 30, seq=4)])
    harness.clock.advance(0.05)
    assert listener.offers[-1] == b"S:amy:60>20@4 "


def test_beyond_the_limit_the_best_ranks_are_sent_and_a_players_own_change_always() -> None:
    harness = Harness(score_updates_per_tick_max=2)
    listener, last = harness.listener(), harness.listener("u40")
    harness.board.write(1, *many(0, 10))
    harness.tick(*[moved(f"u{rank}", rank, rank + 1) for rank in (40, 30, 20, 60)])
    assert listener.seen == "S:u20:21>20@1 S:u30:31>30@1 B@1"
    assert last.seen == "S:u20:21>20@1 S:u30:31>30@1 B@1 S:u40:41>40@1"


def test_all_events_of_a_tick_have_the_cursor_of_the_tick(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.write(9, *many(0, 10))
    harness.tick(moved("amy", 40, 60, seq=7), moved("zed", 41, 61, seq=8))
    assert listener.seen == "S:amy:60>40@9 S:zed:61>41@9 B@9"


def test_an_event_is_encoded_once_for_all_listeners_with_one_encoder(harness: Harness) -> None:
    listeners = [harness.listener() for _ in range(20)]
    harness.board.write(1, *many(0, 10))
    harness.tick(moved("amy", 40, 60))
    assert harness.encoder.framed == 2
    assert {listener.seen for listener in listeners} == {"S:amy:60>40@1 B@1"}


@pytest.mark.parametrize(
    ("previous", "rank", "entered"), [(None, 400, None), (101, 100, 100), (12, 2, 3), (2, 1, 1), (1, 1, None), (None, 7, 10)]
)
def test_a_player_who_enters_a_top_gets_an_event(harness: Harness, previous: int | None, rank: int, entered: int | None) -> None:
    amy = harness.listener("amy", joined=False)
    harness.tick(moved("amy", rank, previous))
    assert amy.seen.endswith(f"R:amy:{entered}") == (entered is not None)


def test_a_stalled_listener_gets_nothing_until_it_drains_and_then_the_newest_board(harness: Harness) -> None:
    listener = harness.listener()
    listener.drained = False
    for seq in (1, 2, 3):
        harness.board.write(seq, (f"leader{seq}", 100))
        harness.tick(moved(f"leader{seq}", 1, 2, seq=seq))
    assert listener.seen == ""
    listener.drained = True
    harness.clock.advance(0.05)
    assert listener.seen == "B@3"


def test_a_listener_stalled_for_ten_seconds_is_closed(harness: Harness) -> None:
    listener = harness.listener()
    listener.drained = False
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("amy", 1, None))
    harness.clock.pump([0.05] * 190)
    assert listener.close_reason is None
    harness.clock.pump([0.05] * 20)
    assert listener.close_reason == STALLED


def test_listeners_members_and_stalled_listeners_are_counted(harness: Harness) -> None:
    slow, _, other = harness.listener("slow"), harness.listener(), harness.listener("guest", joined=False)
    slow.drained = False
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("amy", 1, None))
    assert (harness.announcer.listeners, harness.announcer.members, harness.announcer.stalled) == (3, 2, 1)
    for listener in (slow, other):
        harness.announcer.leave(listener)
    assert (harness.announcer.listeners, harness.announcer.members, harness.announcer.stalled) == (1, 1, 0)


def test_nothing_is_sent_from_a_degraded_board(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.degraded = True
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("amy", 1, None))
    assert listener.seen == ""


def test_changes_wait_while_the_board_cannot_be_read(harness: Harness) -> None:
    listener = harness.listener()
    harness.board.write(0, *many(0, 10))
    harness.tick(moved("x", 90, 95, seq=0))
    harness.board.degraded = True
    harness.board.write(3, *many(0, 10))
    harness.tick(moved("amy", 40, 60, seq=2), moved("bob", 70, 80, seq=2))
    harness.tick(moved("amy", 30, 40, seq=3))
    harness.board.degraded = False
    harness.clock.advance(0.05)
    assert listener.offers[-1] == b"S:amy:60>30@3 S:bob:80>70@3 "


def test_listeners_that_left_get_nothing_and_leave_nothing_behind(harness: Harness) -> None:
    listeners = [harness.listener(f"u{n}") for n in range(5)]
    for listener in listeners:
        listener.drained = False
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("u1", 1, None))
    for listener in listeners:
        harness.announcer.leave(listener)
    harness.clock.advance(1)
    assert (harness.announcer._own.by_name, len(harness.announcer._room), harness.announcer._fan_out.stalled) == ({}, 0, {})
    assert harness.clock.getDelayedCalls() == []


def test_no_timer_is_set_while_nothing_changes(harness: Harness) -> None:
    harness.listener()
    assert harness.clock.getDelayedCalls() == []


@pytest.mark.parametrize(("took_ms", "pause_ms"), [(0, 50), (6, 50), (40, 120), (400, 250)])
def test_the_pause_after_a_tick_grows_with_the_time_of_the_tick(harness: Harness, took_ms: int, pause_ms: int) -> None:
    listener = harness.listener()
    harness.board.write(1, ("amy", 100))
    listener.on_offer = lambda: setattr(harness.clock, "rightNow", harness.clock.seconds() + took_ms / 1000)
    harness.announcer.publish([moved("amy", 1, None)])
    harness.clock.advance(0)
    harness.board.write(2, ("zed", 100))
    harness.announcer.publish([moved("zed", 1, None, seq=2)])
    harness.clock.advance(pause_ms / 1000 - 0.001)
    assert listener.seen == "B@1"
    harness.clock.advance(0.002)
    assert listener.seen == "B@1 B@2"


def test_a_big_room_is_served_in_several_reactor_turns(harness: Harness) -> None:
    listeners = [harness.listener() for _ in range(SOCKETS_PER_TURN + 1)]
    served: list[int] = []

    def other_work() -> None:
        served.append(sum(bool(listener.seen) for listener in listeners))
        harness.announcer.leave(listeners[-1])

    harness.board.write(1, ("amy", 100))
    harness.announcer.publish([moved("amy", 1, None)])
    harness.clock.callLater(0, other_work)
    harness.clock.advance(0)
    assert served == [SOCKETS_PER_TURN]
    assert listeners[-1].seen == ""


def test_a_tick_that_fails_is_logged_and_counted_and_the_next_change_is_sent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    observer: Any = logged.append
    globalLogPublisher.addObserver(observer)
    listener, page = harness.listener(), harness.board.page
    monkeypatch.setattr(harness.board, "page", None)  # a fault of the server: the call raises TypeError
    harness.board.write(1, ("amy", 100))
    harness.tick(moved("amy", 1, None), ms=0)
    monkeypatch.setattr(harness.board, "page", page)
    harness.tick(moved("zed", 2, None))
    globalLogPublisher.removeObserver(observer)
    assert harness.meter.counts == {FAILURES_METRIC: 1}
    assert [event["log_failure"].type for event in logged if event.get("task") == "announcer"] == [TypeError]
    assert listener.seen == "S:zed:None>2@1 B@1"


def test_a_stopped_announcer_begins_no_tick_even_after_one_that_is_under_way(harness: Harness) -> None:
    listeners = [harness.listener() for _ in range(SOCKETS_PER_TURN + 1)]
    harness.board.write(1, ("amy", 100))
    harness.announcer.publish([moved("amy", 1, None)])
    harness.clock.callLater(0, lambda: result_of(harness.announcer.stop()))
    harness.clock.advance(0)
    harness.clock.advance(0)
    assert listeners[-1].seen == "B@1"
    harness.board.write(2, ("zed", 100))
    harness.tick(moved("zed", 1, None, seq=2), ms=1_000)
    assert listeners[-1].seen == "B@1"
    assert harness.clock.getDelayedCalls() == []
