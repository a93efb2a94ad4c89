"""Views: what single listeners follow beside the room, read when a player in it moved, within a limit a tick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.actors import views as module
from scoreboard.actors.announcer import TOP
from scoreboard.actors.members import Member
from scoreboard.actors.views import Views
from scoreboard.domain.board_pages import Around, Page, RankRange, Row, View
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.refusals import TOO_MANY_VIEWS
from tests.actors.fakes import NOW, FakeListener, PlainEncoder, many, moved
from tests.actors.test_announcer import Harness
from tests.awaiting import result_of

MIDDLE = RankRange(offset=2, limit=3)
AROUND_P5 = Around(user_id="p5", rows=1)


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.board.write(1, *many(0, 12))
    return harness


def follower(harness: Harness, view: View, *, joined: bool = False) -> FakeListener:
    listener = harness.listener("p5", joined=joined)
    assert harness.announcer.follow(listener, view) == harness.board.cursor
    harness.tick()
    return listener


def answered(listener: FakeListener) -> str:
    """What came since the last look."""
    seen = listener.seen
    listener.offers.clear()
    return seen


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (MIDDLE, "V:3p2,4p3,5p4@1"),
        (AROUND_P5, "V:5p4,6p5,7p6@1"),
        (Around(user_id="p0", rows=2), "V:1p0,2p1,3p2@1"),
        (Around(user_id="p11", rows=2), "V:10p9,11p10,12p11@1"),
        (Around(user_id="nobody", rows=2), "V:-@1"),
        (RankRange(offset=50, limit=10), "V:-@1"),
    ],
)
def test_a_view_begins_with_what_it_shows_now(harness: Harness, view: View, shown: str) -> None:
    assert answered(follower(harness, view)) == shown


def test_a_change_of_a_view_is_sent_with_the_rows_before_it(harness: Harness) -> None:
    listener = follower(harness, AROUND_P5)
    answered(listener)
    harness.board.write(2, *many(0, 4), ("p5", 996), ("p4", 995), *many(6, 12))
    harness.tick(moved("p5", 5, 6, seq=2))
    assert answered(listener) == "S:p5:6>5@2 V:5p4,6p5,7p6>4p3,5p5,6p4@2"


def test_a_view_in_which_no_player_moved_is_not_read(harness: Harness) -> None:
    listener = follower(harness, MIDDLE)
    answered(listener)
    harness.board.read.clear()
    harness.board.write(2, *many(0, 12))
    harness.tick(moved("p7", 8, 9, seq=2))
    assert harness.board.read == []
    harness.board.write(3, *many(0, 12))
    harness.tick(moved("p1", 2, 3, seq=3))
    assert harness.board.read == [TOP, MIDDLE]
    assert answered(listener) == "", "the rows are the same"


def test_a_player_who_enters_the_board_sees_the_neighbours(harness: Harness) -> None:
    listener = harness.listener("zed", joined=False)
    harness.announcer.follow(listener, Around(user_id="zed", rows=1))
    harness.tick()
    assert answered(listener) == "V:-@1"
    harness.board.write(2, *many(0, 12), ("zed", 1))
    harness.tick(moved("zed", 13, None, seq=2))
    assert answered(listener) == "S:zed:None>13@2 R:zed:50 V:->12p11,13zed@2"


def test_an_unknown_step_makes_every_view_due(harness: Harness) -> None:
    listener = follower(harness, MIDDLE)
    answered(listener)
    harness.board.write(3, ("new", 5_000), *many(0, 12))
    harness.tick(moved("p11", 13, 13, seq=3))  # the step with seq 2 is not known
    harness.tick(ms=50)
    assert answered(listener) == "V:3p2,4p3,5p4>3p1,4p2,5p3@3"


def test_all_events_of_a_tick_leave_in_one_piece_with_one_cursor(harness: Harness) -> None:
    listener = follower(harness, MIDDLE, joined=True)
    answered(listener)
    harness.board.write(2, ("new", 5_000), *many(0, 12))
    harness.tick(moved("new", 1, None, seq=2))
    assert len(listener.offers) == 1
    assert listener.seen == "B@2 V:3p2,4p3,5p4>3p1,4p2,5p3@2"


def test_a_view_of_many_followers_is_read_once_and_encoded_once(harness: Harness) -> None:
    listeners = [harness.listener(f"w{n}", joined=False) for n in range(20)]
    for listener in listeners:
        harness.announcer.follow(listener, MIDDLE)
    harness.tick()
    assert harness.encoder.framed == 1
    assert harness.board.read == [TOP, MIDDLE]


def test_a_follower_that_stalled_gets_its_views_whole(harness: Harness) -> None:
    listener = follower(harness, MIDDLE)
    answered(listener)
    listener.drained = False
    harness.board.write(2, ("new", 5_000), *many(0, 12))
    harness.tick(moved("new", 1, None, seq=2))
    harness.board.write(3, ("newer", 6_000), ("new", 5_000), *many(0, 12))
    harness.tick(moved("newer", 1, None, seq=3))
    listener.drained = True
    harness.tick(ms=50)
    harness.tick(ms=50)
    assert answered(listener) == "V:3p0,4p1,5p2@3"


def test_a_follower_that_reads_nothing_is_closed(harness: Harness) -> None:
    listener = follower(harness, MIDDLE)
    listener.drained = False
    harness.board.write(2, ("new", 5_000), *many(0, 12))
    harness.tick(moved("new", 1, None, seq=2))
    for _ in range(250):
        harness.tick()
    assert listener.close_reason is not None
    assert listener.close_reason.code == 4008


def test_while_the_board_cannot_be_read_a_view_waits(harness: Harness) -> None:
    listener = harness.listener("p5", joined=False)
    harness.board.degraded = True
    harness.announcer.follow(listener, MIDDLE)
    harness.tick()
    harness.tick()
    assert answered(listener) == ""
    harness.board.degraded = False
    harness.tick()
    assert answered(listener) == "V:3p2,4p3,5p4@1"


def test_a_fifth_view_is_refused_and_a_view_followed_again_is_sent_whole(harness: Harness) -> None:
    listener = harness.listener(joined=False)
    for offset in range(4):
        harness.announcer.follow(listener, RankRange(offset=offset, limit=1))
    assert harness.announcer.follow(listener, MIDDLE) is TOO_MANY_VIEWS
    harness.tick()
    answered(listener)
    harness.announcer.follow(listener, RankRange(offset=0, limit=1))
    harness.tick()
    assert answered(listener) == "V:1p0@1"
    harness.announcer.unfollow(listener, RankRange(offset=0, limit=1))
    assert isinstance(harness.announcer.follow(listener, MIDDLE), Cursor)


def test_a_listener_that_quits_or_leaves_follows_no_view(harness: Harness) -> None:
    one, other = follower(harness, MIDDLE), follower(harness, AROUND_P5)
    harness.announcer.quit(one)
    harness.announcer.leave(other)
    assert len(harness.announcer._views) == 0
    assert not harness.announcer._views.waiting


def test_a_tick_reads_limited_rows_and_the_next_tick_reads_the_rest(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_TICK_MAX", 6)
    listeners = [harness.listener(f"w{n}", joined=False) for n in range(4)]
    for n, listener in enumerate(listeners):
        harness.announcer.follow(listener, RankRange(offset=n, limit=3))
    harness.tick(ms=0)
    assert [bool(listener.offers) for listener in listeners] == [True, True, False, False]
    harness.tick()
    assert all(listener.offers for listener in listeners)


def test_the_number_of_different_views_is_limited(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VIEWS_MAX", 1)
    first, second = harness.listener(joined=False), harness.listener(joined=False)
    assert isinstance(harness.announcer.follow(first, MIDDLE), Cursor)
    assert isinstance(harness.announcer.follow(second, MIDDLE), Cursor), "the same view does not count again"
    assert harness.announcer.follow(second, AROUND_P5) is TOO_MANY_VIEWS


# The rule that makes views due


def _rows(order: list[str]) -> tuple[Row, ...]:
    return tuple(Row(rank=n, user_id=u, username=u, avatar=None, points=0, updated_at_ms=NOW) for n, u in enumerate(order, 1))


PLAYERS = "abcdefghij"
anybody = st.sampled_from(PLAYERS)
any_view: st.SearchStrategy[View] = st.one_of(
    st.builds(RankRange, offset=st.integers(0, 8), limit=st.integers(1, 5)),
    st.builds(Around, user_id=anybody, rows=st.integers(1, 3)),
)


@given(st.permutations(PLAYERS), st.integers(0, 10), any_view, st.lists(st.tuples(anybody, st.integers(0, 10)), max_size=6))
def test_a_view_that_is_not_due_has_not_changed(players: list[str], there: int, view: View, steps: list[tuple[str, int]]) -> None:
    """Players move step by step: onto the board, off it, and past each other."""
    order = players[:there]
    views, member = Views(), Member(FakeListener(PlainEncoder(), "watcher"))
    views.follow(member, view)
    assert views.take() == [view]

    def shown() -> tuple[Row, ...]:
        rows = _rows(order)
        if isinstance(view, RankRange):
            return rows[view.offset : view.offset + view.limit]
        if view.user_id not in order:
            return ()
        at = order.index(view.user_id)
        return rows[max(0, at - view.rows) : at + view.rows + 1]

    page = Page(cursor=Cursor(epoch=1, seq=1), total=there, rows=shown(), read_at_ms=NOW)
    assert result_of(_news(views, view, page, member)) == page.rows
    for user, player_rank in steps:
        previous = order.index(user) + 1 if user in order else None
        if previous is not None:
            order.remove(user)
        if player_rank < 10:
            order.insert(player_rank, user)
        rank = order.index(user) + 1 if user in order else None
        views.note([moved(user, rank, previous)])
    if not views.take():
        assert shown() == page.rows


async def _news(views: Views, view: View, page: Page, member: Member) -> tuple[Row, ...]:
    ((follower, event),) = views.news(view, page)
    assert follower is member
    return event.page.rows
