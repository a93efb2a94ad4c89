"""History of a board since a cursor, for the board in memory and the one in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scoreboard.boundaries.board import Board
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board import STEPS_KEPT_MAX, MemoryBoard
from scoreboard.storage.redis import board as redis_board
from tests.awaiting import result_of
from tests.storage_redis.harness import NOW_MS, standing
from tests.storage_redis.test_board_contract import BoardPair, Play
from tests.storage_redis.test_board_contract import play as play


def at(seq: int, epoch: int = 1) -> Cursor:
    return Cursor(epoch=epoch, seq=seq)


async def climb(board: Board, steps: int, user_id: str = "ann") -> None:
    for step in range(1, steps + 1):
        await board.set([standing(user_id, 10 * step, step)])


async def no_one() -> AsyncIterator[Sequence[Standing]]:
    return
    yield


def test_a_history_has_each_players_latest_change_and_the_top_of_the_same_time(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 100), standing("bob", 50)])
        await pair.board.set([standing("bob", 70, 2)])
        await pair.other.set([standing("cid", 60)])
        await pair.board.set([standing("bob", 150, 3)])
        history = await pair.other.since(at(1), 2)
        assert history.page.cursor == at(4)
        assert [(row.rank, row.user_id, row.points) for row in history.page.rows] == [(1, "bob", 150), (2, "ann", 100)]
        assert history.page.total == 3
        assert history.changes is not None
        answered = [(one.cursor, one.user_id, one.points, one.previous_rank, one.rank) for one in history.changes]
        assert answered == [(at(3), "cid", 60, None, 3), (at(4), "bob", 150, 2, 1)]

    play(scenario)


def test_the_history_since_the_present_cursor_is_empty(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        assert (await pair.board.since(at(0), 10)).changes == ()
        await climb(pair.board, 3)
        assert (await pair.board.since(at(3), 10)).changes == ()
        assert len((await pair.board.since(at(2), 10)).changes or ()) == 1

    play(scenario)


def test_a_cursor_of_another_epoch_or_ahead_of_the_board_has_no_history(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(2)
        await climb(pair.board, 3)
        for unknown_client in (at(1, 1), at(1, 3), at(4, 2)):
            history = await pair.board.since(unknown_client, 10)
            assert history.changes is None
            assert [row.user_id for row in history.page.rows] == ["ann"]

    play(scenario)


def test_a_new_epoch_has_no_history_of_the_old_one(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await climb(pair.board, 5)
        await pair.board.begin(2)
        assert (await pair.board.since(at(0, 2), 10)).changes == ()
        await pair.board.set([standing("ann", 60, 6)])
        assert [one.points for one in (await pair.board.since(at(0, 2), 10)).changes or ()] == [60]
        await pair.board.rebuild(3, no_one(), "7")
        assert (await pair.board.since(at(0, 3), 10)).changes == ()

    play(scenario)


def test_a_thousand_steps_are_kept_and_not_many_more(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        steps = STEPS_KEPT_MAX + 300
        await climb(pair.board, steps)
        near = await pair.board.since(at(steps - 500), 10)
        assert [(one.user_id, one.points) for one in near.changes or ()] == [("ann", 10 * steps)]
        assert (await pair.board.since(at(100), 10)).changes is None

    play(scenario)


def test_a_step_that_is_too_large_leaves_a_gap(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        many = redis_board._CHANGES_PUBLISHED_MAX + 1
        await pair.board.set([standing(f"u{n}", n) for n in range(many)])
        await pair.board.set([standing("ann", 1)])
        missed = (await pair.board.since(at(0), 10)).changes
        assert missed is None or len(missed) == many + 1
        assert [one.user_id for one in (await pair.board.since(at(1), 10)).changes or ()] == ["ann"]

    play(scenario)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=20), st.data())
def test_a_history_brings_any_earlier_view_up_to_date(awards: list[tuple[str, int]], data: st.DataObject) -> None:
    async def scenario() -> None:
        board = MemoryBoard(GLOBAL_BOARD, lambda: NOW_MS)
        await board.begin(1)
        totals: list[dict[str, int]] = [{}]
        for version, (user_id, points) in enumerate(awards, 1):
            await board.set([standing(user_id, points, version)])
            totals.append({**totals[-1], user_id: points})
        seen = data.draw(st.integers(0, len(awards)))
        missed = (await board.since(at(seen), 10)).changes
        assert missed is not None
        assert {**totals[seen], **{one.user_id: one.points for one in missed}} == totals[-1]

    result_of(scenario())
