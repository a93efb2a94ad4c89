"""Tests of row operations: the difference of two tops, applied to the first, gives the second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.domain.board_pages import Row
from scoreboard.domain.row_operations import Enter, Leave, Move, Score, diff, offset_of
from tests.client_rows import apply

NOW = 1_800_000_000_000


def below(offset: int, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The same rows, ``offset`` ranks further down the board."""
    return tuple(replace(row, rank=row.rank + offset) for row in rows)


def top(*players: str | tuple[str, int]) -> tuple[Row, ...]:
    named = [(one, 100) if isinstance(one, str) else one for one in players]
    return tuple(
        Row(rank=rank, user_id=user, username=user, avatar=None, points=points, updated_at_ms=NOW)
        for rank, (user, points) in enumerate(named, 1)
    )


@st.composite
def tops(draw: st.DrawFn) -> tuple[Row, ...]:
    """Any top ten, with ties and renamed players; it may be empty."""
    players = draw(st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=10))
    return tuple(
        Row(
            rank=rank,
            user_id=user,
            username=draw(st.sampled_from([user, user.upper()])),
            avatar=draw(st.sampled_from([None, "https://pictures.example/1"])),
            points=draw(st.integers(-3, 3)),
            updated_at_ms=draw(st.integers(NOW, NOW + 1)),
        )
        for rank, user in enumerate(players, 1)
    )


@given(tops(), tops())
def test_a_difference_applied_to_the_first_top_gives_the_second(before: tuple[Row, ...], after: tuple[Row, ...]) -> None:
    assert apply(before, diff(before, after)) == after


@given(tops(), tops(), st.integers(0, 500), st.integers(0, 500))
def test_a_difference_may_move_the_range_to_other_ranks(
    before: tuple[Row, ...], after: tuple[Row, ...], was: int, now: int
) -> None:
    before, after = below(was, before), below(now, after)
    assert apply(before, diff(before, after), offset_of(after)) == after


@given(st.lists(tops(), min_size=1, max_size=8))
def test_a_client_that_applies_all_differences_after_any_snapshot_has_the_board(boards: list[tuple[Row, ...]]) -> None:
    for start, held in enumerate(boards):
        for was, now in zip(boards[start:], boards[start + 1 :], strict=False):
            held = apply(held, diff(was, now))
        assert held == boards[-1]


@given(tops())
def test_two_equal_tops_have_an_empty_difference(board: tuple[Row, ...]) -> None:
    assert diff(board, board) == ()


@given(st.permutations("abcdefgh"), st.integers(0, 7), st.integers(0, 7))
def test_one_moved_player_is_one_operation(order: list[str], out: int, into: int) -> None:
    changed = list(order)
    changed.insert(into, changed.pop(out))
    assert len(diff(top(*order), top(*changed))) == (order != changed)


def test_a_new_player_in_the_top_removes_the_last_player() -> None:
    before, after = top("amy", "bob", "cid"), top("zed", "amy", "bob")
    assert diff(before, after) == (Leave(user_id="cid"), Enter(row=after[0]))


def test_a_player_who_rises_is_a_move_and_a_score() -> None:
    operations = diff(top("amy", "bob", "cid"), top(("cid", 300), "amy", "bob"))
    assert operations == (Move(user_id="cid", rank=1), Score(user_id="cid", points=300, updated_at_ms=NOW))


def test_operations_of_another_top_raise_value_error() -> None:
    with pytest.raises(ValueError, match="amy"):
        apply(top("bob"), [Move(user_id="amy", rank=1)])
