"""Fan-out pacing: a quarter of the reactor's time, awards first, and no standstill."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from scoreboard.actors.fan_out_pace import OTHERS_PER_FAN_OUT, OTHERS_PER_FAST_FAN_OUT, PAUSE_S_MAX, PERIOD_S_WANTED, FanOutPace

TICK_S = 0.05


class Room:
    """A pace and a clock. ``awarding`` is whether an award is being stored."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.awarding = False
        self.pace = FanOutPace(clock=self.clock, tick_s=TICK_S, is_awarding=lambda: self.awarding)
        self.pace.begin()

    def write(self, seconds: float) -> None:
        self.pace.begin_slice()
        self.clock.rightNow += seconds
        self.pace.end_slice()

    def rest(self) -> Deferred[None]:
        return ensureDeferred(self.pace.rest())

    @property
    def pause_s(self) -> float:
        return self.pace.next_s() - self.clock.seconds()


def test_a_small_fan_out_waits_for_a_tick() -> None:
    room = Room()
    room.write(0.002)
    assert round(room.pause_s, 6) == TICK_S


def test_a_big_fan_out_takes_a_quarter_of_the_reactor() -> None:
    room = Room()
    room.write(0.04)
    assert round(room.pause_s, 6) == OTHERS_PER_FAN_OUT * 0.04


@pytest.mark.parametrize(
    ("spent_s", "period_s"),
    [(0.01, (1 + OTHERS_PER_FAST_FAN_OUT) * 0.01), (0.02, PERIOD_S_WANTED), (0.03, PERIOD_S_WANTED), (0.04, 0.16)],
)
def test_a_fan_out_takes_more_than_a_ninth_only_to_begin_often_enough(spent_s: float, period_s: float) -> None:
    room = Room()
    room.write(spent_s)
    assert round(room.pause_s, 6) == round(period_s - spent_s, 6)


def test_time_of_other_work_between_slices_counts_as_its_share() -> None:
    room = Room()
    room.write(0.02)
    room.clock.rightNow += 0.05
    room.write(0.02)
    assert round(room.pause_s, 6) == round(OTHERS_PER_FAN_OUT * 0.04 - 0.05, 6)


def test_no_pause_is_longer_than_the_longest() -> None:
    room = Room()
    room.write(3)
    assert round(room.pause_s, 6) == PAUSE_S_MAX


def test_without_awards_the_next_slice_comes_in_the_next_reactor_turn() -> None:
    room = Room()
    room.write(0.002)
    rested = room.rest()
    assert not rested.called
    room.clock.advance(0)
    assert rested.called


def test_the_next_slice_waits_for_an_award_that_is_being_stored() -> None:
    room = Room()
    room.write(0.01)
    room.awarding = True
    rested = room.rest()
    room.clock.pump([0.001] * 5)
    assert not rested.called
    room.awarding = False
    room.clock.advance(0.001)
    assert rested.called


def test_constant_awards_take_no_more_than_half_of_the_time() -> None:
    room = Room()
    room.awarding = True
    began_s = room.clock.seconds()
    for _ in range(20):
        room.write(0.002)
        rested = room.rest()
        while not rested.called:
            room.clock.advance(0.0005)
    assert room.clock.seconds() - began_s <= 2 * 20 * 0.002 + 20 * 0.001
