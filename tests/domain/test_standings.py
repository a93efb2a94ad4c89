"""Tests of standings: the sort score, ranks, percentiles and milestones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.standings import MILESTONE_RANKS, POINTS_MAX, crossed, percentile, points_of, rank_milestone, sort_score

NOW_MS = 1_790_000_000_000
TWENTY_YEARS_MS = 20 * 365 * 86_400_000
ANY_POINTS = st.one_of(
    st.integers(-POINTS_MAX, POINTS_MAX),
    st.integers(-1_000, 1_000),
    st.sampled_from([0, 2**51, 2**51 - 1, 2**52, POINTS_MAX]).flatmap(lambda p: st.sampled_from([p, -p])),
)
ANY_TIME_MS = st.integers(0, 4_000_000_000_000)


@given(ANY_POINTS, ANY_TIME_MS)
def test_the_points_can_be_read_back_from_the_sort_score(points: int, reached_at_ms: int) -> None:
    assert points_of(sort_score(points, reached_at_ms)) == points


@given(ANY_POINTS, ANY_TIME_MS)
def test_the_points_can_be_read_back_from_seventeen_digits_as_redis_keeps_them(points: int, reached_at_ms: int) -> None:
    sent = repr(sort_score(points, reached_at_ms))
    assert points_of(float(f"{float(sent):.17g}")) == points


@given(ANY_POINTS, ANY_POINTS, ANY_TIME_MS, ANY_TIME_MS)
def test_more_points_rank_higher_at_any_time(less: int, more: int, early_ms: int, late_ms: int) -> None:
    if less != more:
        low, high = sorted((less, more))
        assert sort_score(low, early_ms) < sort_score(high, late_ms)


@given(ANY_POINTS, ANY_TIME_MS, ANY_TIME_MS)
def test_later_points_never_rank_above_equal_earlier_points(points: int, one_ms: int, other_ms: int) -> None:
    early_ms, late_ms = sorted((one_ms, other_ms))
    assert sort_score(points, early_ms) >= sort_score(points, late_ms)


@pytest.mark.parametrize(("points_max", "precision_ms"), [(10_000, 3), (1_000_000, 150)])
def test_earlier_points_rank_above_equal_later_points_within_the_stated_precision(points_max: int, precision_ms: int) -> None:
    """The score keeps a time to ± 1 ms up to 10⁴ points and to ± 75 ms at 10⁶, so times twice as far apart differ."""
    for points in (1, points_max // 3, points_max):
        for later_ms in range(NOW_MS, NOW_MS + 10 * precision_ms, precision_ms):
            assert sort_score(points, later_ms) > sort_score(points, later_ms + precision_ms)


@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.integers(NOW_MS, NOW_MS + 20_000), st.text("abcdef", min_size=1, max_size=4)),
        unique_by=lambda player: player[2],
    )
)
def test_the_sort_score_orders_players_as_a_simple_sort_does(players: list[tuple[int, int, str]]) -> None:
    by_sort_score = sorted(players, key=lambda one: (sort_score(one[0], one[1]), one[2]), reverse=True)
    expected = sorted(sorted(players, key=lambda one: one[2], reverse=True), key=lambda one: (-one[0], one[1]))
    assert by_sort_score == expected


def test_points_outside_the_exact_range_of_a_double_raise_value_error() -> None:
    for points in (POINTS_MAX + 1, -POINTS_MAX - 1):
        with pytest.raises(ValueError, match="double"):
            sort_score(points, NOW_MS)


def test_the_fraction_is_always_above_zero_and_at_most_one_half() -> None:
    for reached_at_ms in (0, NOW_MS + TWENTY_YEARS_MS, NOW_MS * 100):
        fraction, _ = math.modf(sort_score(7, reached_at_ms))
        assert 0 < fraction <= 0.5


def test_the_percentile_of_the_specifications_example_is_right() -> None:
    assert percentile(45, 310) == 85.5
    assert percentile(1, 1) == 0.0
    assert percentile(1, 200) == 99.5


@given(st.integers(1, 10_000), st.data())
def test_a_better_rank_never_has_a_lower_percentile(total: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(1, total))
    better = data.draw(st.integers(1, worse))
    assert percentile(better, total) >= percentile(worse, total)
    assert 0 <= percentile(worse, total) <= 100


@pytest.mark.parametrize(
    ("rank", "previous_rank", "achieved"),
    [
        (1, 2, 1),
        (1, 1, None),
        (3, None, 3),
        (2, 3, None),
        (10, 11, 10),
        (9, 10, None),
        (4, 60, 10),
        (100, 101, 100),
        (101, 500, None),
        (50, 40, None),
        (None, 1, None),
    ],
)
def test_the_milestone_is_the_best_milestone_rank_that_a_move_entered(
    rank: int | None, previous_rank: int | None, achieved: int | None
) -> None:
    assert rank_milestone(rank, previous_rank) == achieved


@given(st.integers(1, 200), st.one_of(st.none(), st.integers(1, 200)))
def test_a_move_inside_a_milestone_rank_is_no_milestone(rank: int, previous_rank: int | None) -> None:
    mark = rank_milestone(rank, previous_rank)
    if mark is not None:
        assert mark in MILESTONE_RANKS
        assert rank <= mark
        assert previous_rank is None or previous_rank > mark


@given(ANY_POINTS, ANY_POINTS, st.sets(st.integers(1, 2_000), max_size=10))
def test_a_milestone_is_crossed_when_it_is_reached_from_below(before: int, after: int, marks: set[int]) -> None:
    ascending = tuple(sorted(marks))
    assert list(crossed(before, after, ascending)) == [mark for mark in ascending if before < mark <= after]
