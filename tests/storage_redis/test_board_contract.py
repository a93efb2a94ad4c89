"""What every board promises, asked of the one in memory and of the one in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.boundaries import Board, StaleBoard, StoreUnavailable
from scoreboard.domain.standings import points_of, weight
from scoreboard.domain.values import POINTS_MAX, Around, Cursor, Deed, ScoreChanged, Standing, Stretch, View
from scoreboard.storage.board import RedisBoard
from scoreboard.storage.memory_board import Canvas, MemoryBoard
from tests.awaiting import result_of, run
from tests.storage_redis.redis_server import RedisServer
from tests.storage_redis.scenes import NOW_MS, linked, passed, standing, the_reactor, until


class Studio(NamedTuple):
    """Two processes' boards on one store that can be lost; ``until`` waits for what travels between them."""

    board: Board
    other: Board
    lose: Callable[[], None]
    until: Callable[[Callable[[], bool]], Awaitable[None]]


Play = Callable[[Callable[[Studio], Coroutine[Any, Any, None]]], None]


def in_memory(scenario: Callable[[Studio], Coroutine[Any, Any, None]]) -> None:
    canvas = Canvas()

    async def at_once(true: Callable[[], bool]) -> None:
        assert true()

    board, other = MemoryBoard(lambda: NOW_MS, canvas), MemoryBoard(lambda: NOW_MS, canvas)
    result_of(scenario(Studio(board, other, canvas.lose, at_once)))


@pytest.fixture(scope="module", params=["memory", "redis"])
def play(request: pytest.FixtureRequest) -> Iterator[Play]:
    if request.param == "memory":
        yield in_memory
        return
    server: RedisServer = request.getfixturevalue("redis_server")

    def in_redis(scenario: Callable[[Studio], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            server.flush()
            async with linked(server.url) as link, linked(server.url) as another:
                board, other = (RedisBoard(one, the_reactor(), lambda: NOW_MS) for one in (link, another))
                await scenario(Studio(board, other, server.flush, until))

        run(main)

    yield in_redis


async def pages(*pages: Sequence[Standing]) -> AsyncIterator[Sequence[Standing]]:
    for page in pages:
        yield page


async def ranking(board: Board) -> list[tuple[str, int]]:
    return [(row.user_id, row.points) for row in (await board.page(0, 100)).rows]


def test_an_empty_store_knows_nothing_and_cannot_be_drawn_on(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        assert await studio.board.state() is None
        for refused in (
            studio.board.set([standing("ann", 1)], NOW_MS),
            studio.board.page(0, 10),
            studio.board.place("ann"),
            studio.board.drawn(["ann"]),
        ):
            with pytest.raises(StaleBoard):
                await refused

    play(scenario)


def test_a_set_tells_ranks_before_and_after_the_whole_step(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        first = await studio.board.set([standing("ann", 100), standing("bob", 200)], NOW_MS)
        assert [(one.previous_rank, one.rank) for one in first.placements] == [(None, 2), (None, 1)]
        assert (first.cursor, first.total) == (Cursor(epoch=1, seq=1), 2)
        then = await studio.board.set([standing("bob", 250, 2), standing("ann", 300, 2), standing("cid", 275)], NOW_MS)
        assert [(one.previous_rank, one.rank) for one in then.placements] == [(1, 3), (2, 1), (None, 2)]
        assert (then.cursor, then.total) == (Cursor(epoch=1, seq=2), 3)
        assert await ranking(studio.other) == [("ann", 300), ("cid", 275), ("bob", 250)]

    play(scenario)


def test_repeating_a_set_or_bringing_old_news_changes_nothing(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("ann", 300, 3), standing("bob", 200)], NOW_MS)
        for late in (standing("ann", 300, 3), standing("ann", 100, 1), standing("ann", 999, 2, None)):
            again = await studio.other.set([late], NOW_MS)
            assert not again.placements[0].applied
            assert (again.placements[0].previous_rank, again.placements[0].rank) == (1, 1)
            assert again.cursor == Cursor(epoch=1, seq=1)
        assert await ranking(studio.board) == [("ann", 300), ("bob", 200)]

    play(scenario)


def test_of_two_standings_of_one_player_in_a_batch_the_newer_stays(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        step = await studio.board.set([standing("ann", 2, 2), standing("ann", 1, 1), standing("ann", 3, 3)], NOW_MS)
        assert [one.applied for one in step.placements] == [True, False, True]
        assert await studio.board.drawn(["ann"]) == [(3, 3)]

    play(scenario)


def test_equal_points_rank_first_come_first(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        late, early = standing("amy", 500, 1, NOW_MS + 1), standing("zed", 500, 1, NOW_MS)
        await studio.board.set([late, early, standing("mid", 501, 1, NOW_MS + 9)], NOW_MS)
        assert [user for user, _ in await ranking(studio.board)] == ["mid", "zed", "amy"]

    play(scenario)


def test_a_reset_takes_a_player_off_the_board_for_good_measure(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("ann", 300), standing("bob", 200)], NOW_MS)
        gone = await studio.board.set([standing("ann", 0, 2, None)], NOW_MS)
        assert (gone.placements[0].previous_rank, gone.placements[0].rank, gone.total) == (1, None, 1)
        assert await studio.board.drawn(["ann", "bob", "nobody"]) == [None, (200, 1), None]
        assert (await studio.board.place("ann")).rank is None
        late = await studio.board.set([standing("ann", 300, 1)], NOW_MS)
        assert not late.placements[0].applied, "what was before the reset must not come back"

    play(scenario)


def test_a_place_says_where_and_a_page_who(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(4)
        await studio.board.set([standing(f"p{n}", 10 * n, 1, NOW_MS + n, f"Player {n} “ü|ñ”") for n in range(1, 6)], NOW_MS)
        place, stranger = await studio.board.place("p4"), await studio.board.place("stranger")
        assert (place.cursor, place.total, place.points, place.rank) == (Cursor(epoch=4, seq=1), 5, 40, 2)
        assert place.updated_at_ms == NOW_MS + 4
        assert (stranger.total, stranger.points, stranger.rank, stranger.updated_at_ms) == (5, 0, None, None)
        page = await studio.board.page(1, 2)
        assert (page.cursor, page.total, page.read_at_ms) == (Cursor(epoch=4, seq=1), 5, NOW_MS)
        assert [(row.rank, row.user_id, row.username) for row in page.rows] == [
            (2, "p4", "Player 4 “ü|ñ”"),
            (3, "p3", "Player 3 “ü|ñ”"),
        ]
        assert (await studio.board.page(99, 10)).rows == ()

    play(scenario)


def test_views_are_read_together_at_one_cursor(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(4)
        await studio.board.set([standing(f"p{n}", 100 - n) for n in range(1, 8)], NOW_MS)
        views: list[View] = [
            Stretch(offset=0, limit=2),
            Stretch(offset=5, limit=10),
            Stretch(offset=7, limit=10),
            Around(user_id="p4", rows=1),
            Around(user_id="p1", rows=2),
            Around(user_id="p7", rows=2),
            Around(user_id="stranger", rows=2),
        ]
        found = await studio.board.stretches(views)
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
        assert await studio.board.stretches([]) == []

    play(scenario)


def test_the_position_only_goes_forward(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("ann", 1)], NOW_MS + 5)
        await studio.board.set([standing("bob", 1)], NOW_MS)
        state = await studio.board.state()
        assert state is not None
        assert (state.position_ms, state.cursor, state.origin) == (NOW_MS + 5, Cursor(epoch=1, seq=2), state.run)

    play(scenario)


def test_a_new_epoch_keeps_the_drawing_and_an_older_one_is_refused(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(5)
        await studio.board.set([standing("ann", 1)], NOW_MS)
        await studio.board.begin(6)
        state = await studio.board.state()
        assert state is not None
        assert (state.cursor, state.position_ms) == (Cursor(epoch=6, seq=0), NOW_MS)
        assert await ranking(studio.board) == [("ann", 1)]
        with pytest.raises(StaleBoard):
            await studio.other.begin(5)

    play(scenario)


def test_a_redraw_replaces_everything_at_once(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("old", 999, 7), standing("ann", 5, 7)], NOW_MS)
        drawn = await studio.board.redraw(
            2, pages([standing("ann", 30, 8)], [standing("bob", 40), standing("off", 0, 3, None)]), NOW_MS - 1
        )
        assert drawn == 2
        state = await studio.other.state()
        assert state is not None
        assert (state.cursor, state.position_ms, state.origin) == (Cursor(epoch=2, seq=0), NOW_MS - 1, state.run)
        assert await ranking(studio.other) == [("bob", 40), ("ann", 30)]
        late = await studio.board.set([standing("off", 10, 3)], NOW_MS)
        assert not late.placements[0].applied, "the version of who is off the board is kept"

    play(scenario)


def test_an_empty_ledger_draws_an_empty_board(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("old", 999)], NOW_MS)
        assert await studio.board.redraw(2, pages(), NOW_MS) == 0
        page = await studio.board.page(0, 10)
        assert (page.cursor, page.total, page.rows) == (Cursor(epoch=2, seq=0), 0, ())

    play(scenario)


def test_of_two_redraws_at_once_the_newer_epoch_stays(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        async def overtaken() -> AsyncIterator[Sequence[Standing]]:
            yield [standing("ann", 1)]
            await studio.other.redraw(9, pages([standing("bob", 2)]), NOW_MS)

        with pytest.raises(StaleBoard):
            await studio.board.redraw(8, overtaken(), NOW_MS)
        assert await ranking(studio.board) == [("bob", 2)]

    play(scenario)


def test_a_drawing_of_another_ledger_is_replaced_whatever_its_epoch(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.redraw(57, pages([standing("stranger", 1)]), NOW_MS)
        await studio.board.redraw(3, pages([standing("ann", 1)]), NOW_MS)
        assert await ranking(studio.board) == [("ann", 1)]

    play(scenario)


def test_what_was_lost_is_noticed(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        await studio.board.set([standing("ann", 1)], NOW_MS)
        studio.lose()
        assert await studio.board.state() is None
        with pytest.raises(StaleBoard):
            await studio.board.set([standing("ann", 2, 2)], NOW_MS)
        await studio.board.redraw(2, pages([standing("ann", 2, 2)]), NOW_MS)
        assert await ranking(studio.board) == [("ann", 2)]

    play(scenario)


def test_others_are_heard_and_oneself_is_not(play: Play) -> None:
    async def scenario(studio: Studio) -> None:
        heard: list[tuple[Cursor, list[ScoreChanged]]] = []
        studio.board.listen(lambda cursor, changes: heard.append((cursor, list(changes))))
        own: list[Cursor] = []
        studio.other.listen(lambda cursor, _: own.append(cursor))
        await _both_listen(studio, heard, own)
        heard.clear()
        await studio.board.set([standing("own", 50)], NOW_MS)
        await studio.other.set([standing("ann", 10, 1, NOW_MS, "Ann “ü”"), standing("own", 50)], NOW_MS)
        await studio.other.set([standing("ann", 0, 2, None)], NOW_MS)
        await studio.other.set([standing(f"p{n}", n) for n in range(1, 300)], NOW_MS)
        await studio.until(lambda: len(heard) == 3)
        (first, changes), (second, gone), (third, many) = heard
        assert [first.seq, second.seq, third.seq] == [2, 3, 4]
        (ann,) = changes
        assert (ann.user_id, ann.username, ann.points, ann.rank, ann.previous_rank) == ("ann", "Ann “ü”", 10, 2, None)
        assert (ann.cursor, ann.at_ms) == (first, NOW_MS)
        assert [(one.user_id, one.points, one.rank, one.previous_rank) for one in gone] == [("ann", 0, None, 2)]
        assert len(many) in (0, 299), "too many are told as none"
        deed = Deed(action_type="QUÉST", points=10, total=60, at_ms=NOW_MS)
        await studio.other.set([replace(standing("own", 60, 2), deeds=(deed,), unlocked=(50, 60)), standing("x", 5)], NOW_MS)
        await studio.until(lambda: len(heard) == 4)
        (own_news, none) = heard[-1][1]
        assert (own_news.deeds, own_news.unlocked, none.deeds, none.unlocked) == ((deed,), (50, 60), (), ())
        history = await studio.board.since(third, 1)
        assert history.changes is not None
        assert [(one.user_id, one.deeds, one.unlocked) for one in history.changes] == [("own", (deed,), (50, 60)), ("x", (), ())]

    play(scenario)


async def _both_listen(studio: Studio, heard: list[Any], own: list[Any]) -> None:
    """Subscribing takes a moment: begin epochs until both boards hear of the other's."""
    epoch = 0
    while not heard or not own:
        epoch += 2
        assert epoch < 2_000
        await studio.board.begin(epoch)
        await studio.other.begin(epoch + 1)
        if not heard or not own:
            await passed(5)


def test_a_broken_board_says_that_it_is_away() -> None:
    async def scenario() -> None:
        board = MemoryBoard(lambda: NOW_MS)
        await board.begin(1)
        board.broken = True
        for refused in (board.set([], 0), board.state(), board.page(0, 1), board.place("ann"), board.ping(), board.begin(2)):
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


def shown(standings: Sequence[Standing]) -> list[Standing]:
    """The oracle: the newest of each player, the first of equal versions; best first."""
    newest: dict[str, Standing] = {}
    for one in standings:
        if one.user_id not in newest or one.version > newest[one.user_id].version:
            newest[one.user_id] = one
    on_board = [(weight(one.points, one.reached_at_ms), one) for one in newest.values() if one.reached_at_ms is not None]
    return [one for _, one in sorted(on_board, key=lambda pair: (pair[0], pair[1].user_id), reverse=True)]


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(STANDINGS.filter(bool), min_size=1, max_size=4), offset=st.integers(0, 5))
def test_page_place_and_drawn_agree_with_an_oracle(play: Play, batches: list[list[Standing]], offset: int) -> None:
    async def scenario(studio: Studio) -> None:
        await studio.board.begin(1)
        for batch in batches:
            await studio.board.set(batch, NOW_MS)
        expected = shown([one for batch in batches for one in batch])
        page = await studio.other.page(offset, 100)
        assert page.total == len(expected)
        assert [(row.rank, row.user_id, row.points, row.updated_at_ms) for row in page.rows] == [
            (rank, one.user_id, one.points, one.updated_at_ms) for rank, one in enumerate(expected, 1)
        ][offset:]
        for rank, one in enumerate(expected, 1):
            place = await studio.board.place(one.user_id)
            assert (place.rank, place.points) == (rank, one.points)
        drawn = await studio.board.drawn([one.user_id for one in expected])
        assert drawn == [(one.points, one.version) for one in expected]
        assert all(points_of(weight(one.points, NOW_MS)) == one.points for one in expected)

    play(scenario)
