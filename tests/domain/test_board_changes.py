"""Changes of declared boards: what decides standings that exist stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.domain.board_changes import SEASON_CHANGES_AHEAD_MS, changes_between
from scoreboard.domain.boards import BoardDefinition, FedBoard
from scoreboard.domain.errors import BoardCannotChange
from scoreboard.domain.periods import Bucket, Seasons, Slots

NOW = 1_795_000_000_000
DAY_MS = 86_400_000


def season(name: str, begins: float, ends: float) -> Bucket:
    """A season that begins and ends so many days after now."""
    return Bucket(name=name, begins_ms=NOW + int(begins * DAY_MS), ends_ms=NOW + int(ends * DAY_MS))


def fed(definition: BoardDefinition) -> FedBoard:
    return FedBoard(number=1, definition=definition)


def of(*seasons: Bucket) -> BoardDefinition:
    return BoardDefinition(board_id="cup", title="Cup", period=Seasons(seasons=seasons))


OVER, PRESENT, NEXT = season("spring", -90, -10), season("summer", -10, 30), season("autumn", 40, 60)


@pytest.mark.parametrize(
    "later",
    [
        of(OVER, PRESENT),
        of(OVER, PRESENT, NEXT, season("winter", 60, 70)),
        of(OVER, PRESENT, season("fall", 35, 50)),
        of(OVER, season("summer", -10, 31), NEXT),
        of(OVER, season("summer", -10, 1)),
    ],
    ids=["without the next", "one more", "another next", "a later end", "a sooner end"],
)
def test_seasons_to_come_and_the_end_of_the_present_one_can_change(later: BoardDefinition) -> None:
    (change,) = changes_between([fed(of(OVER, PRESENT, NEXT))], [later], NOW)
    assert (change.kind, change.definition) == ("changed", later)


@pytest.mark.parametrize(
    "later",
    [
        of(PRESENT, NEXT),
        of(OVER, NEXT),
        of(season("spring", -90, -11), PRESENT),
        of(season("spring", -91, -10), PRESENT),
        of(season("lent", -90, -10), PRESENT),
        of(OVER, season("summer", -10, -1)),
        of(OVER, season("summer", -10, 0)),
        of(OVER, season("summer", -10, 1 / 2_000)),
        of(season("winter", -120, -100), OVER, PRESENT),
        of(OVER, season("summer", -10, -5), season("heat", -5, 30)),
    ],
)
def test_seasons_that_have_begun_are_fixed(later: BoardDefinition) -> None:
    with pytest.raises(BoardCannotChange) as refused:
        changes_between([fed(of(OVER, PRESENT, NEXT))], [later], NOW)
    assert str(refused.value).startswith("[cup] seasons can be changed only from a minute after now on: declare a board of")


def test_seasons_do_not_become_another_kind_of_period() -> None:
    with pytest.raises(BoardCannotChange, match="period cannot be changed"):
        changes_between([fed(of(OVER))], [replace(of(OVER), period=Slots(length_ms=60_000))], NOW)


CUTS = st.lists(st.integers(-20, 20), min_size=2, max_size=8, unique=True).map(sorted)


def seasons_of(cuts: list[int]) -> BoardDefinition:
    return of(*(season(f"s{begins}", begins, ends) for begins, ends in zip(cuts[::2], cuts[1::2], strict=False)))


@given(CUTS, CUTS)
def test_a_change_that_is_allowed_leaves_each_moment_until_now_in_its_season(earlier: list[int], later: list[int]) -> None:
    before, after = seasons_of(earlier), seasons_of(later)
    times = [NOW + int(days / 2 * DAY_MS) for days in range(-42, 1)] + [NOW + SEASON_CHANGES_AHEAD_MS - 1]

    def names(board: BoardDefinition) -> list[str | None]:
        found = [board.period.bucket_at(at_ms) for at_ms in times]
        return [None if bucket is None else bucket.name for bucket in found]

    try:
        changes_between([fed(before)], [after], NOW)
    except BoardCannotChange:
        assert names(before) != names(after) or earlier != later
    else:
        assert names(before) == names(after)
