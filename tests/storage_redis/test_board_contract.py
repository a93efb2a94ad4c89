"""Contract of boards, for the one in memory and the one in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.boundaries.board import Board
from scoreboard.domain.actions import AwardSummary
from scoreboard.domain.board_pages import Around, RankRange, View
from scoreboard.domain.board_state import BoardState
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StaleBoard, StoreUnavailable
from scoreboard.domain.events import ScoreChanged
from scoreboard.domain.standings import POINTS_MAX, Standing, points_of, sort_score
from scoreboard.storage.memory.board import MemoryBoard, SharedBoardState
from scoreboard.storage.redis.board import RedisBoard
from tests.awaiting import result_of, run
from tests.storage_redis.harness import NOW_MS, linked, passed, standing, the_reactor, until
from tests.storage_redis.redis_server import RedisServer

BESIDE = BoardBucket(board_id="beside", bucket="2026-11-28")


class BoardPair(NamedTuple):
    """The stores of one board in two processes, and of another board (``beside``), on one Redis.

    ``lose`` empties the Redis. ``until`` waits for what is published between the processes.
    """

    board: Board
    other: Board
    beside: Board
    lose: Callable[[], None]
    until: Callable[[Callable[[], bool]], Awaitable[None]]
    #: Waits until ``beside``, whose keys live for so many more milliseconds, has none.
    gone: Callable[[int], Awaitable[None]]


Play = Callable[[Callable[[BoardPair], Coroutine[Any, Any, None]]], None]


def in_memory(scenario: Callable[[BoardPair], Coroutine[Any, Any, None]]) -> None:
    shared_state = SharedBoardState()

    async def at_once(true: Callable[[], bool]) -> None:
        assert true()

    board, other = (MemoryBoard(GLOBAL_BOARD, lambda: NOW_MS, shared_state) for _ in range(2))
    beside_state = SharedBoardState()
    beside = MemoryBoard(BESIDE, lambda: NOW_MS, beside_state)

    async def gone(life_ms: int) -> None:
        assert beside_state.life_ms == life_ms
        beside_state.lose()

    result_of(scenario(BoardPair(board, other, beside, shared_state.lose, at_once, gone)))


@pytest.fixture(scope="module", params=["memory", "redis"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    if request.param == "memory":
        yield in_memory
        return
    server: RedisServer = request.getfixturevalue("redis_server")

    def in_redis(scenario: Callable[[BoardPair], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            server.flush()
            async with linked(server.url) as link, linked(server.url) as another:
                board, other = (RedisBoard(GLOBAL_BOARD, one, the_reactor(), lambda: NOW_MS) for one in (link, another))
                beside = RedisBoard(BESIDE, another, the_reactor(), lambda: NOW_MS)

                async def gone(life_ms: int) -> None:
                    await passed(life_ms + 20)

                await scenario(BoardPair(board, other, beside, server.flush, until, gone))

        run(main)

    yield in_redis


def test_two_boards_in_one_store_do_not_see_each_other(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        board, beside, received = pair.board, pair.beside, []
        pair.other.listen(lambda cursor, _: received.append(cursor))
        await board.begin(1)
        while not received:  # to subscribe takes a moment
            await passed(5)
            await board.begin(1)
        assert await beside.state() is None
        await beside.begin(7)
        await board.set([standing("ann", 100)])
        await beside.set([standing("ann", 5), standing("bob", 3)])
        assert (await ranking(board), await ranking(beside)) == ([("ann", 100)], [("ann", 5), ("bob", 3)])
        assert ((await board.rank_of("bob")).rank, (await beside.rank_of("bob")).rank) == (None, 2)
        assert [await one.lock("sweep", 10_000) for one in (board, beside)] == [True, True]
        await beside.rebuild(8, pages([standing("cid", 9)]), "p")
        await beside.advance(8, "q")
        assert (await ranking(board), await ranking(beside)) == ([("ann", 100)], [("cid", 9)])
        state, state_beside = await state_of(board), await state_of(beside)
        assert (state.cursor, state.position) == (Cursor(epoch=1, seq=1), "")
        assert (state_beside.cursor, state_beside.position) == (Cursor(epoch=8, seq=0), "q")
        changes = (await board.since(Cursor(epoch=1, seq=0), 10)).changes
        assert changes is not None
        assert [change.user_id for change in changes] == ["ann"]
        await pair.until(lambda: Cursor(epoch=1, seq=1) in received)
        assert {cursor.epoch for cursor in received} == {1}

    play(scenario)


def test_all_keys_of_a_board_go_away_together_and_those_of_another_board_stay(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        for one in (pair.board, pair.beside):
            await one.begin(1)
            await one.set([standing("ann", 100)])
        await pair.beside.expire(40)
        assert await ranking(pair.beside) == [("ann", 100)], "until then it can be read"
        await pair.gone(40)
        assert await pair.beside.state() is None
        await pair.beside.begin(2)
        assert (await ranking(pair.beside), await ranking(pair.board)) == ([], [("ann", 100)])
        assert (await pair.beside.since(Cursor(epoch=2, seq=0), 10)).changes == ()

    play(scenario)


async def pages(*pages: Sequence[Standing]) -> AsyncIterator[Sequence[Standing]]:
    for page in pages:
        yield page


async def state_of(board: Board) -> BoardState:
    state = await board.state()
    assert state is not None
    return state


def without_age(state: BoardState) -> BoardState:
    """Everything but how long ago the ledger was followed: a second may begin between two readings."""
    return replace(state, followed_s_ago=0)


async def ranking(board: Board) -> list[tuple[str, int]]:
    return [(row.user_id, row.points) for row in (await board.page(0, 100)).rows]


def test_an_empty_store_has_no_board_to_read_or_to_set(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        assert await pair.board.state() is None
        for refused in (
            pair.board.set([standing("ann", 1)]),
            pair.board.page(0, 10),
            pair.board.rank_of("ann"),
            pair.board.totals_of(["ann"]),
        ):
            with pytest.raises(StaleBoard):
                await refused

    play(scenario)


def test_a_set_returns_the_ranks_before_and_after_the_whole_step(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        first = await pair.board.set([standing("ann", 100), standing("bob", 200)])
        assert [(one.previous_rank, one.rank) for one in first.placements] == [(None, 2), (None, 1)]
        assert (first.cursor, first.total) == (Cursor(epoch=1, seq=1), 2)
        then = await pair.board.set([standing("bob", 250, 2), standing("ann", 300, 2), standing("cid", 275)])
        assert [(one.previous_rank, one.rank) for one in then.placements] == [(1, 3), (2, 1), (None, 2)]
        assert (then.cursor, then.total) == (Cursor(epoch=1, seq=2), 3)
        assert await ranking(pair.other) == [("ann", 300), ("cid", 275), ("bob", 250)]

    play(scenario)


def test_a_repeated_or_older_set_changes_nothing(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 300, 3), standing("bob", 200)])
        for late in (standing("ann", 300, 3), standing("ann", 100, 1), standing("ann", 999, 2, None)):
            again = await pair.other.set([late])
            assert not again.placements[0].applied
            assert (again.placements[0].previous_rank, again.placements[0].rank) == (1, 1)
            assert again.cursor == Cursor(epoch=1, seq=1)
        assert await ranking(pair.board) == [("ann", 300), ("bob", 200)]

    play(scenario)


def test_of_two_standings_of_one_player_in_a_batch_the_newer_is_set(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        step = await pair.board.set([standing("ann", 2, 2), standing("ann", 1, 1), standing("ann", 3, 3)])
        assert [one.applied for one in step.placements] == [True, False, True]
        assert await pair.board.totals_of(["ann"]) == [(3, 3)]

    play(scenario)


def test_of_equal_points_the_earlier_ranks_higher(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        late, early = standing("amy", 500, 1, NOW_MS + 1), standing("zed", 500, 1, NOW_MS)
        await pair.board.set([late, early, standing("mid", 501, 1, NOW_MS + 9)])
        assert [user for user, _ in await ranking(pair.board)] == ["mid", "zed", "amy"]

    play(scenario)


def test_a_reset_takes_a_player_off_the_board_and_no_older_total_returns(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 300), standing("bob", 200)])
        gone = await pair.board.set([standing("ann", 0, 2, None)])
        assert (gone.placements[0].previous_rank, gone.placements[0].rank, gone.total) == (1, None, 1)
        assert await pair.board.totals_of(["ann", "bob", "nobody"]) == [None, (200, 1), None]
        assert (await pair.board.rank_of("ann")).rank is None
        late = await pair.board.set([standing("ann", 300, 1)])
        assert not late.placements[0].applied, "a total from before the reset must not return"

    play(scenario)


def test_rank_of_and_page_agree(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(4)
        await pair.board.set([standing(f"p{n}", 10 * n, 1, NOW_MS + n, f"Player {n} “ü|ñ”") for n in range(1, 6)])
        player_rank, unknown_client = await pair.board.rank_of("p4"), await pair.board.rank_of("stranger")
        assert (player_rank.cursor, player_rank.total, player_rank.points, player_rank.rank) == (Cursor(epoch=4, seq=1), 5, 40, 2)
        assert player_rank.updated_at_ms == NOW_MS + 4
        assert (unknown_client.total, unknown_client.points, unknown_client.rank, unknown_client.updated_at_ms) == (
            5,
            0,
            None,
            None,
        )
        page = await pair.board.page(1, 2)
        assert (page.cursor, page.total, page.read_at_ms) == (Cursor(epoch=4, seq=1), 5, NOW_MS)
        assert [(row.rank, row.user_id, row.username) for row in page.rows] == [
            (2, "p4", "Player 4 “ü|ñ”"),
            (3, "p3", "Player 3 “ü|ñ”"),
        ]
        assert (await pair.board.page(99, 10)).rows == ()

    play(scenario)


def test_views_are_read_together_at_one_cursor(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(4)
        await pair.board.set([standing(f"p{n}", 100 - n) for n in range(1, 8)])
        views: list[View] = [
            RankRange(offset=0, limit=2),
            RankRange(offset=5, limit=10),
            RankRange(offset=7, limit=10),
            Around(user_id="p4", rows=1),
            Around(user_id="p1", rows=2),
            Around(user_id="p7", rows=2),
            Around(user_id="stranger", rows=2),
        ]
        found = await pair.board.read_views(views)
        assert [[(row.rank, row.user_id) for row in page.rows] for page in found] == [
            [(1, "p1"), (2, "p2")],
            [(6, "p6"), (7, "p7")],
            [],
            [(3, "p3"), (4, "p4"), (5, "p5")],
            [(1, "p1"), (2, "p2"), (3, "p3")],
            [(5, "p5"), (6, "p6"), (7, "p7")],
            [],
        ]
        assert {(page.cursor, page.total) for page in found} == {(Cursor(epoch=4, seq=1), 7)}
        assert await pair.board.read_views([]) == []

    play(scenario)


def test_advance_notes_a_position_and_refuses_another_epoch(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        with pytest.raises(StaleBoard):
            await pair.board.advance(1, "1/700:700:")
        await pair.board.begin(1)
        assert (await state_of(pair.board)).position == ""
        await pair.board.advance(1, "1/700:700:")
        await pair.board.set([standing("ann", 1)])
        await pair.board.set([standing("bob", 1)])
        state = await state_of(pair.board)
        assert (state.position, state.cursor, state.epoch_run) == ("1/700:700:", Cursor(epoch=1, seq=2), state.run)
        assert pair.board.run() == state.run
        for another in (0, 2):
            with pytest.raises(StaleBoard):
                await pair.board.advance(another, "1/900:900:")
        assert without_age(await state_of(pair.other)) == without_age(state)
        await pair.other.advance(1, "1/800:801:800")
        assert (await state_of(pair.board)).position == "1/800:801:800"
        assert (await state_of(pair.board)).followed_s_ago <= 20

    play(scenario)


def test_a_new_epoch_keeps_the_data_and_an_older_one_is_refused(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(5)
        await pair.board.advance(5, "7")
        await pair.board.set([standing("ann", 1)])
        await pair.board.begin(6)
        state = await state_of(pair.board)
        assert (state.cursor, state.position) == (Cursor(epoch=6, seq=0), "7")
        assert await ranking(pair.board) == [("ann", 1)]
        with pytest.raises(StaleBoard):
            await pair.other.begin(5)

    play(scenario)


def test_a_rebuild_replaces_everything_at_once(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("old", 999, 7), standing("ann", 5, 7)])
        ranked = await pair.board.rebuild(
            2, pages([standing("ann", 30, 8)], [standing("bob", 40), standing("off", 0, 3, None)]), "7"
        )
        assert ranked == 2
        state = await state_of(pair.other)
        assert (state.cursor, state.position, state.epoch_run) == (Cursor(epoch=2, seq=0), "7", state.run)
        assert (state.ranked, state.players, state.damage) == (2, 3, "")
        assert await ranking(pair.other) == [("bob", 40), ("ann", 30)]
        late = await pair.board.set([standing("off", 10, 3)])
        assert not late.placements[0].applied, "the version of a player off the board is kept"

    play(scenario)


def test_of_a_player_who_comes_twice_in_a_rebuild_the_later_version_is_set(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        reset_then_awarded = [standing("ann", 0, 2, None)], [standing("ann", 5, 3), standing("bob", 4)]
        moved_down = [standing("cid", 90, 1)], [standing("dan", 7), standing("cid", 1, 3)]
        assert await pair.board.rebuild(2, pages(*reset_then_awarded, *moved_down), "7") == 4
        assert await ranking(pair.board) == [("dan", 7), ("ann", 5), ("bob", 4), ("cid", 1)]
        state = await state_of(pair.board)
        assert (state.ranked, state.players, state.damage) == (4, 4, "")

    play(scenario)


def test_the_board_of_an_empty_ledger_is_empty(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("old", 999)])
        assert await pair.board.rebuild(2, pages(), "7") == 0
        page = await pair.board.page(0, 10)
        assert (page.cursor, page.total, page.rows) == (Cursor(epoch=2, seq=0), 0, ())

    play(scenario)


def test_of_two_rebuilds_at_once_the_newer_epoch_stays(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        async def overtaken() -> AsyncIterator[Sequence[Standing]]:
            yield [standing("ann", 1)]
            await pair.other.rebuild(9, pages([standing("bob", 2)]), "7")

        with pytest.raises(StaleBoard):
            await pair.board.rebuild(8, overtaken(), "7")
        assert await ranking(pair.board) == [("bob", 2)]

    play(scenario)


def test_a_rebuild_replaces_the_board_of_another_ledger_whatever_its_epoch(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.rebuild(57, pages([standing("stranger", 1)]), "7")
        await pair.board.rebuild(3, pages([standing("ann", 1)]), "7")
        assert await ranking(pair.board) == [("ann", 1)]

    play(scenario)


async def refused_everywhere(board: Board, epoch: int) -> None:
    """No method that reads or sets the board works."""
    ann = standing("ann", 1, 99)
    for refused in (
        board.set([ann]),
        board.set([ann], overwrite=True),
        board.set([]),
        board.page(0, 10),
        board.read_views([RankRange(offset=0, limit=1), Around(user_id="ann", rows=1)]),
        board.read_views([]),
        board.since(Cursor(epoch=epoch, seq=0), 10),
        board.rank_of("ann"),
        board.totals_of(["ann"]),
        board.differing([ann]),
    ):
        with pytest.raises(StaleBoard):
            await refused


def test_the_board_of_another_ledger_is_neither_read_nor_changed(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        pair.board.owner, pair.other.owner = "ledger-1/a", "ledger-2/b"
        await pair.board.rebuild(5, pages([standing("ann", 30)]), "7")
        before = await state_of(pair.board)
        assert before.owner == "ledger-1/a"
        assert without_age(await state_of(pair.other)) == without_age(before), "any ledger may read the state"
        await refused_everywhere(pair.other, 5)
        for epoch in (4, 5, 6):
            with pytest.raises(StaleBoard):
                await pair.other.begin(epoch)
            with pytest.raises(StaleBoard):
                await pair.other.advance(epoch, "9")
        assert without_age(await state_of(pair.board)) == without_age(before)
        assert await ranking(pair.board) == [("ann", 30)]

    play(scenario)


def test_a_rebuild_replaces_the_board_of_another_ledger_that_was_there_at_its_start(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        pair.board.owner, pair.other.owner = "ledger-1/a", "ledger-2/b"
        await pair.board.rebuild(57, pages([standing("ann", 30)]), "7")
        assert await pair.other.rebuild(3, pages([standing("bob", 40)]), "9") == 1
        state = await state_of(pair.other)
        assert (state.owner, state.cursor, state.position) == ("ledger-2/b", Cursor(epoch=3, seq=0), "9")
        assert await ranking(pair.other) == [("bob", 40)]
        await refused_everywhere(pair.board, 57)

    play(scenario)


@pytest.mark.parametrize("seen", ["", "ledger-1/a", "ledger-2/b"], ids=["nothing", "another's", "its own"])
def test_a_rebuild_does_not_replace_a_board_whose_owner_changed_meanwhile(play: Play, seen: str) -> None:
    async def scenario(pair: BoardPair) -> None:
        if seen:
            pair.board.owner = seen
            await pair.board.rebuild(4, pages([standing("old", 1)]), "7")

        async def overtaken() -> AsyncIterator[Sequence[Standing]]:
            yield [standing("bob", 40)]
            pair.board.owner = "ledger-3/c"
            await pair.board.rebuild(2, pages([standing("cid", 50)]), "8")

        pair.other.owner = "ledger-2/b"
        with pytest.raises(StaleBoard):
            await pair.other.rebuild(9, overtaken(), "9")
        assert await ranking(pair.board) == [("cid", 50)]
        assert (await state_of(pair.board)).owner == "ledger-3/c"

    play(scenario)


def test_the_ledger_that_begins_an_empty_board_owns_it(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        pair.board.owner = "ledger-1/a"
        await pair.board.begin(1)
        state = await state_of(pair.board)
        assert (state.owner, state.position, state.ranked, state.players, state.damage) == ("ledger-1/a", "", 0, 0, "")
        await pair.board.set([standing("ann", 1), standing("off", 0, 1, None)])
        state = await state_of(pair.board)
        assert (state.ranked, state.players, state.damage) == (1, 2, "")

    play(scenario)


def test_a_set_reports_each_player_whose_board_record_was_newer(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 300, 3), standing("bob", 200, 1), standing("cid", 100, 2)])
        step = await pair.other.set(
            [
                standing("ann", 200, 2),
                standing("bob", 200, 1),
                standing("cid", 101, 2),
                standing("new", 5, 1),
                standing("bob", 250, 2),
            ]
        )
        assert [one.overtaken for one in step.placements] == [True, False, True, False, False]
        assert [one.applied for one in step.placements] == [False, False, False, True, True]
        renamed = await pair.other.set([standing("cid", 100, 2, NOW_MS, "Another name")])
        assert [(one.overtaken, one.applied) for one in renamed.placements] == [(True, False)]

    play(scenario)


def test_overwrite_sets_the_same_version_again_and_no_older_one(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 999, 3), standing("bob", 200, 2), standing("off", 50, 1)])
        late = [standing("ann", 300, 3), standing("bob", 100, 1), standing("off", 0, 1, None)]
        assert [one.applied for one in (await pair.other.set(late)).placements] == [False, False, False]
        mended = await pair.other.set(late, overwrite=True)
        assert [(one.applied, one.overtaken) for one in mended.placements] == [(True, True), (False, True), (True, True)]
        assert mended.cursor == Cursor(epoch=1, seq=2)
        assert await ranking(pair.board) == [("ann", 300), ("bob", 200)]
        again = await pair.other.set([late[0]], overwrite=True)
        assert not again.placements[0].overtaken
        assert await ranking(pair.board) == [("ann", 300), ("bob", 200)]

    play(scenario)


def test_a_lock_is_held_by_one_server_at_a_time(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        assert await pair.board.lock("follow", 60_000)
        assert not await pair.other.lock("follow", 60_000)
        assert await pair.other.lock("sweep", 60_000), "locks of different names are independent"
        assert await pair.board.lock("follow", 60_000), "its holder keeps it"
        assert not await pair.other.lock("follow", 60_000)
        assert not await pair.other.lock("follow", 0), "only its holder releases it"
        assert not await pair.other.lock("follow", 60_000)
        assert not await pair.board.lock("follow", 0)
        assert await pair.other.lock("follow", 60_000), "it was released"

    play(scenario)


def test_a_lost_board_is_noticed(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set([standing("ann", 1)])
        pair.lose()
        assert await pair.board.state() is None
        with pytest.raises(StaleBoard):
            await pair.board.set([standing("ann", 2, 2)])
        await pair.board.rebuild(2, pages([standing("ann", 2, 2)]), "7")
        assert await ranking(pair.board) == [("ann", 2)]

    play(scenario)


def test_a_board_receives_the_changes_of_other_processes_only(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        received: list[tuple[Cursor, list[ScoreChanged]]] = []
        pair.board.listen(lambda cursor, changes: received.append((cursor, list(changes))))
        own: list[Cursor] = []
        pair.other.listen(lambda cursor, _: own.append(cursor))
        await _both_listen(pair, received, own)
        received.clear()
        await pair.board.set([standing("own", 50)])
        await pair.other.set([standing("ann", 10, 1, NOW_MS, "Ann “ü”"), standing("own", 50)])
        await pair.other.set([standing("ann", 0, 2, None)])
        await pair.other.set([standing(f"p{n}", n) for n in range(1, 300)])
        await pair.until(lambda: len(received) == 3)
        (first, changes), (second, gone), (third, many) = received
        assert [first.seq, second.seq, third.seq] == [2, 3, 4]
        (ann,) = changes
        assert (ann.user_id, ann.username, ann.points, ann.rank, ann.previous_rank) == ("ann", "Ann “ü”", 10, 2, None)
        assert (ann.cursor, ann.at_ms) == (first, NOW_MS)
        assert [(one.user_id, one.points, one.rank, one.previous_rank) for one in gone] == [("ann", 0, None, 2)]
        assert len(many) in (0, 299), "too many changes are published as none"
        award = AwardSummary(action_type="QUÉST", points=10, total=60, at_ms=NOW_MS)
        await pair.other.set([replace(standing("own", 60, 2), awards=(award,), unlocked=(50, 60)), standing("x", 5)])
        await pair.until(lambda: len(received) == 4)
        (own_news, none) = received[-1][1]
        assert (own_news.awards, own_news.unlocked, none.awards, none.unlocked) == ((award,), (50, 60), (), ())
        history = await pair.board.since(third, 1)
        assert history.changes is not None
        assert [(one.user_id, one.awards, one.unlocked) for one in history.changes] == [
            ("own", (award,), (50, 60)),
            ("x", (), ()),
        ]

    play(scenario)


async def _both_listen(pair: BoardPair, received: list[Any], own: list[Any]) -> None:
    """Begin epochs until both boards receive those of the other: to subscribe takes a moment."""
    epoch = 0
    while not received or not own:
        epoch += 2
        assert epoch < 2_000
        await pair.board.begin(epoch)
        await pair.other.begin(epoch + 1)
        if not received or not own:
            await passed(5)
    await pair.until(lambda: received[-1][0].epoch == epoch + 1)  # the last one may not have arrived


def test_a_broken_board_raises_that_it_is_unavailable() -> None:
    async def scenario() -> None:
        board = MemoryBoard(GLOBAL_BOARD, lambda: NOW_MS)
        await board.begin(1)
        board.broken = True
        for refused in (board.set([]), board.state(), board.page(0, 1), board.rank_of("ann"), board.ping(), board.begin(2)):
            with pytest.raises(StoreUnavailable):
                await refused

    result_of(scenario())


POINTS = st.one_of(
    st.integers(-3, 3), st.integers(-10_000, 10_000), st.sampled_from([POINTS_MAX, -POINTS_MAX, 2**51, 2**51 - 1, -(2**51)])
)
STANDINGS = st.lists(
    st.builds(
        standing,
        st.sampled_from([f"u{n}" for n in range(12)]),
        POINTS,
        st.integers(1, 4),
        st.one_of(st.none(), st.integers(NOW_MS, NOW_MS + 3)),
    ),
    max_size=24,
)


def newest_of(standings: Sequence[Standing]) -> dict[str, Standing]:
    """The simple model: the newest standing of each player, the first of equal versions."""
    newest: dict[str, Standing] = {}
    for one in standings:
        if one.user_id not in newest or one.version > newest[one.user_id].version:
            newest[one.user_id] = one
    return newest


def shown(standings: Sequence[Standing]) -> list[Standing]:
    """The newest standings that are on the board, best first."""
    newest = newest_of(standings)
    on_board = [(sort_score(one.points, one.reached_at_ms), one) for one in newest.values() if one.reached_at_ms is not None]
    return [one for _, one in sorted(on_board, key=lambda pair: (pair[0], pair[1].user_id), reverse=True)]


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(STANDINGS.filter(bool), min_size=1, max_size=4), offset=st.integers(0, 5))
def test_page_rank_and_totals_equal_those_of_a_simple_model(play: Play, batches: list[list[Standing]], offset: int) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        for batch in batches:
            await pair.board.set(batch)
        expected = shown([one for batch in batches for one in batch])
        page = await pair.other.page(offset, 100)
        assert page.total == len(expected)
        assert [(row.rank, row.user_id, row.points, row.updated_at_ms) for row in page.rows] == [
            (rank, one.user_id, one.points, one.updated_at_ms) for rank, one in enumerate(expected, 1)
        ][offset:]
        for rank, one in enumerate(expected, 1):
            player_rank = await pair.board.rank_of(one.user_id)
            assert (player_rank.rank, player_rank.points) == (rank, one.points)
        on_board = await pair.board.totals_of([one.user_id for one in expected])
        assert on_board == [(one.points, one.version) for one in expected]
        assert all(points_of(sort_score(one.points, NOW_MS)) == one.points for one in expected)

    play(scenario)


def board_key(one: Standing) -> tuple[int, float | None]:
    """What is compared of a player: the version and the score."""
    return one.version, None if one.reached_at_ms is None else sort_score(one.points, one.reached_at_ms)


@settings(max_examples=60, deadline=None)
@given(on_board=STANDINGS, others=STANDINGS, same=st.booleans())
def test_differing_finds_each_difference_and_nothing_else(
    play: Play, on_board: list[Standing], others: list[Standing], same: bool
) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        await pair.board.set(on_board)
        there, asked = newest_of(on_board), newest_of(others)
        compared = list(({**asked, **there} if same else {**there, **asked}).values())
        expected = [
            (one, there[one.user_id].version if one.user_id in there else -1)
            for one in compared
            if one.user_id not in there or board_key(there[one.user_id]) != board_key(one)
        ]
        assert await pair.other.differing(compared) == expected
        assert await pair.other.differing(list(there.values())) == []

    play(scenario)


def test_five_hundred_standings_can_be_compared_in_one_call(play: Play) -> None:
    async def scenario(pair: BoardPair) -> None:
        await pair.board.begin(1)
        on_board = [standing(f"p{n}", n * n * 7_919 % 1_000_003 - 500_000, 1, NOW_MS + n) for n in range(500)]
        await pair.board.set(on_board)
        assert await pair.board.differing(on_board) == []
        assert await pair.board.differing([]) == []
        ahead = replace(on_board[250], version=2)
        assert await pair.board.differing([*on_board[:250], ahead, *on_board[251:]]) == [(ahead, 1)]

    play(scenario)
