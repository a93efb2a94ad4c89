"""Places that are kept: rows from any snapshot, what was missed, and a cursor that never goes back, whatever the schedule."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from scoreboard.actors import announcer as module
from scoreboard.actors.announcer import Announcer
from scoreboard.actors.ranking import Ranking
from scoreboard.domain.board_pages import Around, Page, RankRange, Row, View
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import BoardChanged, Event, RankAchieved, ScoreChanged, ViewChanged
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.row_operations import diff, offset_of
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.domain.standings import Standing
from scoreboard.storage.memory.board import MemoryBoard, SharedBoardState
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.actors.fakes import NOW, QuietMeter, Screen
from tests.awaiting import result_of, started
from tests.client_rows import apply


class Steps(Clock):
    """A clock whose due calls are made one by one, so that anything may happen between two."""

    def do_step(self) -> bool:
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        if due:
            first = min(due, key=lambda call: call.getTime())
            self.calls.remove(first)
            first.called = 1
            first.func(*first.args, **first.kw)
        return bool(due)


class SlowBoard(MemoryBoard):
    """Answers in order, as Redis does, each when the test lets it; what it answers is of the moment when it was asked."""

    def __init__(self, shared_state: SharedBoardState) -> None:
        super().__init__(GLOBAL_BOARD, lambda: NOW, shared_state)
        self.fast = MemoryBoard(GLOBAL_BOARD, lambda: NOW, shared_state)
        self.slow = False
        self.replies: deque[Deferred[None]] = deque()

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        found = await self.fast.read_views(views)
        await self._step()
        return found

    async def since(self, cursor: Cursor, limit: int) -> History:
        found = await self.fast.since(cursor, limit)
        await self._step()
        return found

    async def _step(self) -> None:
        if self.slow or self.replies:  # nobody overtakes
            do_step: Deferred[None] = Deferred()
            self.replies.append(do_step)
            await do_step

    def reply(self) -> None:
        if self.replies:
            self.replies.popleft().callback(None)


class EventTextEncoder:
    """Frames that hold the whole event. ``rows`` reads tops as what is different in them."""

    def __init__(self, *, rows: bool = False) -> None:
        self.rows = rows
        self.framed = 0

    def frame(self, event: Event) -> bytes:
        self.framed += 1
        return pickle.dumps(_plain(event)) + b"\0end\0"


def _plain(event: Event) -> Any:
    match event:
        case BoardChanged(page=page, before=before, reset=reset):
            return ("board", page.cursor, page.rows, before, reset)
        case ScoreChanged():
            return ("score", event.cursor, event.user_id, event.points)
        case RankAchieved():
            return ("rank", event.cursor)
        case ViewChanged(view=view, page=page, before=before):
            return ("view", page.cursor, view, page.rows, before)
        case _:
            raise AssertionError(event)


class Client:
    """A client that does what docs/protocol-live.md says, over as many connections as it takes."""

    def __init__(self, user_id: str, encoder: EventTextEncoder) -> None:
        self.user_id, self.encoder = user_id, encoder
        self.screen: Screen | None = None
        self.joining = False
        self.cursor = Cursor(epoch=0, seq=0)
        self.top: tuple[Row, ...] = ()
        self.points: dict[str, int] = {}
        self.views: dict[View, tuple[Row, ...] | None] = {}
        #: Whether nothing was missed for good since it began to watch.
        self.complete = False
        self.began = self.cursor

    def on_changes(self, plain: Any) -> None:
        kind, cursor, *rest = plain
        assert cursor >= self.cursor, f"went back from {self.cursor} to {cursor}"
        self.cursor = cursor
        if kind == "board":
            rows, before, reset = rest
            if reset:
                self.complete = False
            self.top = apply(self.top, diff(before, rows)) if self.encoder.rows and before is not None else rows
            assert self.top == rows
            self.points.update({row.user_id: row.points for row in rows})
        elif kind == "score":
            self.points[rest[0]] = rest[1]
        elif kind == "view":
            view, rows, before = rest
            if before is not None:
                assert before == self.views[view], "an operation on rows that were not shown"
                assert apply(before, diff(before, rows), offset_of(rows)) == rows
            self.views[view] = rows

    def read(self) -> None:
        if self.screen is not None:
            for offer in self.screen.offers:
                for piece in offer.split(b"\0end\0")[:-1]:
                    self.on_changes(pickle.loads(piece))
            self.screen.offers.clear()


class Theatre:
    def __init__(self) -> None:
        self.clock = Steps()
        self.clock.advance(1_000)
        shared_state = SharedBoardState()
        self.board = SlowBoard(shared_state)
        self.drawing = MemoryBoard(GLOBAL_BOARD, lambda: NOW, shared_state)
        result_of(self.drawing.begin(1))
        meter = QuietMeter()
        self.ledger = MemoryLedger()
        self.ranking = Ranking(board=self.board, ledger=self.ledger, clock=self.clock, now_ms=lambda: NOW, meter=meter)
        self.announcer = Announcer(
            ranking=self.ranking,
            forbids_spectators=lambda _user_id: False,
            clock=self.clock,
            tick_ms=50,
            score_updates_per_tick_max=1_000,
            meter=meter,
        )
        self.drawing.shared_state.listeners.append((self.board, self.on_changes))
        self.ranking.advance(Cursor(epoch=1, seq=0))
        self.version = 0
        self.points: dict[str, tuple[Cursor, int]] = {}
        self.failed: list[object] = []

    def on_changes(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        self.ranking.advance(cursor)
        self.announcer.tell(changes)

    def score(self, user_id: str, points: int, *, off: bool = False) -> None:
        self.version += 1
        points = 0 if off else points
        one = Standing(
            user_id=user_id,
            username=user_id,
            avatar=None,
            points=points,
            version=self.version,
            reached_at_ms=None if off else NOW + self.version,
            updated_at_ms=NOW + self.version,
        )
        self.ledger.standings[user_id] = one  # commit, then draw: the ledger is never behind the board
        self.points[user_id] = (result_of(self.drawing.set([one])).cursor, points)

    def begin(self) -> None:
        assert self.drawing.shared_state.cursor is not None
        result_of(self.drawing.begin(self.drawing.shared_state.cursor.epoch + 1))

    def join(self, client: Client, *, resume: bool) -> None:
        if client.joining:
            return
        if client.screen is None:
            client.screen = Screen(client.encoder, client.user_id)  # type: ignore[arg-type]  # any wire will do
            self.announcer.enter(client.screen)
        screen, client.joining = client.screen, True
        begun = started(self.announcer.resume(screen, client.cursor) if resume else self.announcer.join(screen))

        def joined(found: Any) -> None:
            client.joining = False
            if screen is not client.screen:
                return
            client.read()
            page, missed = (found.page, found.missed) if isinstance(found, ResumeResult) else (found, None)
            if missed is None:
                client.on_changes(("board", page.cursor, page.rows, None, True))
                client.complete, client.began = True, page.cursor
                client.points = {row.user_id: row.points for row in page.rows}
            else:
                for event in missed:
                    client.on_changes(_plain(event))

        begun.addCallback(joined)
        begun.addErrback(self.failed.append)

    def cut(self, client: Client) -> None:
        if client.screen is not None:
            client.read()
            self.announcer.leave(client.screen)
            client.screen = None
            client.views.clear()

    def follow(self, client: Client, view: View) -> None:
        if client.screen is not None:
            cursor = self.announcer.follow(client.screen, view)
            assert not isinstance(cursor, Refusal)
            assert cursor >= client.cursor
            client.views.setdefault(view, None)

    def unfollow(self, client: Client, view: View) -> None:
        if client.screen is not None:
            client.read()
            self.announcer.unfollow(client.screen, view)
            client.views.pop(view, None)

    def pass_time(self) -> None:
        for _ in range(60):
            self.board.reply()
            self.clock.rightNow += 0.05
            while self.clock.do_step():
                pass


PLAYERS = [f"p{n}" for n in range(14)]
VIEWS: list[View] = [
    Around(user_id="p0", rows=2),
    Around(user_id="p3", rows=1),
    RankRange(offset=0, limit=3),
    RankRange(offset=4, limit=5),
]
one_client = st.integers(0, 4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("score"), st.sampled_from(PLAYERS), st.integers(1, 20)),
        st.tuples(st.just("score"), st.sampled_from(PLAYERS), st.integers(1, 20)),
        st.tuples(st.just("off"), st.sampled_from(PLAYERS)),
        st.tuples(st.just("join"), one_client),
        st.tuples(st.just("resume"), one_client),
        st.tuples(st.just("cut"), one_client),
        st.tuples(st.sampled_from(["follow", "follow", "unfollow"]), one_client, st.integers(0, 3)),
        st.tuples(st.just("stall"), one_client),
        st.tuples(st.just("drain"), one_client),
        st.tuples(st.sampled_from(["tick", "tick", "turn", "turn", "reply", "slow", "epoch", "break"])),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps)
@example([("score", "p0", 1), ("tick",), ("break",), ("resume", 0)])  # a top from the ledger, and then nothing changes
def test_no_client_goes_back_none_has_a_gap_and_all_end_with_the_board(schedule: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SOCKETS_PER_TURN", 1)  # every tick takes many turns, in which anything may happen
        theatre = Theatre()
        whole, rows = EventTextEncoder(), EventTextEncoder(rows=True)
        clients = [Client(f"p{n}", rows if n % 2 else whole) for n in range(5)]
        for client in clients:
            theatre.join(client, resume=False)
        for step, *about in schedule:
            play(theatre, clients, step, about)
            for client in clients:
                client.read()
        for client in clients:
            if client.screen is not None:
                client.screen.drained = True
        theatre.board.slow = theatre.board.fast.broken = False
        theatre.pass_time()
        top = result_of(theatre.drawing.page(0, 10)).rows
        assert not theatre.failed
        for client in clients:
            client.read()
            if client.screen is not None and client.screen in theatre.announcer._room:
                assert client.top == top
                if client.complete:
                    news = {user: points for user, (at, points) in theatre.points.items() if at > client.began}
                    assert {user: client.points.get(user) for user in news} == news
            for view, shown in client.views.items():
                assert shown == result_of(theatre.drawing.read_views([view]))[0].rows
        assert not theatre.announcer._room.has_newcomers
        assert not theatre.announcer._room._audiences


def play(theatre: Theatre, clients: list[Client], step: str, about: list[Any]) -> None:
    match step, about:
        case "score", [user_id, points]:
            theatre.score(user_id, points)
        case "off", [user_id]:
            theatre.score(user_id, 0, off=True)
        case (("join" | "resume"), [number]):
            theatre.join(clients[number], resume=step == "resume")
        case "cut", [number]:
            theatre.cut(clients[number])
        case "follow", [number, which]:
            theatre.follow(clients[number], VIEWS[which])
        case "unfollow", [number, which]:
            theatre.unfollow(clients[number], VIEWS[which])
        case (("stall" | "drain"), [number]):
            screen = clients[number].screen
            if screen is not None:
                screen.drained = step == "drain"
        case "tick", _:
            theatre.clock.rightNow += 0.05
            theatre.clock.do_step()
        case "turn", _:
            theatre.clock.do_step()
        case "reply", _:
            theatre.board.reply()
        case "slow", _:
            theatre.board.slow = not theatre.board.slow
        case "break", _:
            theatre.board.fast.broken = not theatre.board.fast.broken
        case "epoch", _:
            theatre.begin()


def test_a_top_is_framed_once_for_each_way_of_reading_it() -> None:
    theatre = Theatre()
    whole, rows = EventTextEncoder(), EventTextEncoder(rows=True)
    clients = [Client(f"watcher-{n}", rows if n % 2 else whole) for n in range(20)]
    for client in clients:
        theatre.join(client, resume=False)
    theatre.score("amy", 100)
    theatre.clock.do_step()
    assert (whole.framed, rows.framed) == (1, 1)
    assert {len(client.screen.offers) for client in clients if client.screen} == {1}


def test_who_stalled_gets_a_snapshot_that_says_so_when_it_drains() -> None:
    theatre = Theatre()
    client = Client("watcher", EventTextEncoder(rows=True))
    theatre.join(client, resume=False)
    assert client.screen is not None
    client.screen.drained = False
    theatre.score("amy", 100)
    theatre.clock.do_step()
    client.screen.drained = True
    theatre.score("bob", 50)
    theatre.pass_time()
    assert client.complete
    client.read()
    assert [row.user_id for row in client.top] == ["amy", "bob"]
    assert not client.complete


def test_who_comes_back_hears_what_was_missed_at_one_cursor_and_the_own_news() -> None:
    theatre = Theatre()
    amy = Client("amy", EventTextEncoder())
    theatre.join(amy, resume=False)
    theatre.cut(amy)
    for n in range(12):
        theatre.score(f"p{n}", 100 - n)
    theatre.score("amy", 50)
    screen = Screen(amy.encoder, "amy")  # type: ignore[arg-type]  # any wire will do
    theatre.announcer.enter(screen)
    back = result_of(theatre.announcer.resume(screen, amy.cursor))
    assert back.missed is not None
    answered = [_plain(event)[:3] for event in back.missed]
    now = Cursor(epoch=1, seq=13)
    assert answered[:2] == [("score", now, "p10"), ("score", now, "p11")]
    assert answered[2][:2] == ("board", now)
    assert answered[3:] == [("score", now, "amy"), ("rank", now)]


def test_who_missed_nothing_hears_nothing_and_who_was_away_too_long_is_told() -> None:
    theatre = Theatre()
    theatre.score("amy", 100)
    screen = Screen(EventTextEncoder(), "zed")  # type: ignore[arg-type]  # any wire will do
    theatre.announcer.enter(screen)
    assert result_of(theatre.announcer.resume(screen, Cursor(epoch=1, seq=1))).missed == ()
    theatre.begin()
    assert result_of(theatre.announcer.resume(screen, Cursor(epoch=1, seq=1))).missed is None


def test_who_comes_back_to_no_room_hears_the_own_news_alone_at_one_cursor() -> None:
    theatre = Theatre()
    theatre.score("amy", 100)
    since = Cursor(epoch=1, seq=1)
    screen = Screen(EventTextEncoder(), "amy")  # type: ignore[arg-type]  # any wire will do
    theatre.announcer.enter(screen)
    assert result_of(theatre.announcer.catch_up(screen, since)) == ()
    theatre.score("bob", 200)
    assert result_of(theatre.announcer.catch_up(screen, since)) == ()
    theatre.score("amy", 250)
    theatre.score("cid", 1)
    missed = result_of(theatre.announcer.catch_up(screen, since))
    assert missed is not None
    assert [_plain(event)[:2] for event in missed] == [("score", Cursor(epoch=1, seq=4)), ("rank", Cursor(epoch=1, seq=4))]
    theatre.begin()
    assert result_of(theatre.announcer.catch_up(screen, since)) is None


def test_who_comes_back_to_no_room_while_a_tick_is_told_does_not_hear_of_it_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOCKETS_PER_TURN", 1)
    theatre, encoder = Theatre(), EventTextEncoder()
    for n in range(3):
        theatre.join(Client(f"watcher-{n}", encoder), resume=False)
    screen = Screen(EventTextEncoder(), "amy")  # type: ignore[arg-type]  # any wire will do
    theatre.announcer.enter(screen)
    screen.drained = False
    theatre.score("amy", 100)
    theatre.clock.do_step()
    assert result_of(theatre.announcer.catch_up(screen, Cursor(epoch=1, seq=0))) != ()
    screen.drained = True
    theatre.pass_time()
    assert screen.offers == []


def test_who_joins_again_while_a_tick_is_told_gets_the_own_news_of_it_first() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SOCKETS_PER_TURN", 1)
        theatre = Theatre()
        encoder = EventTextEncoder()
        first, amy = Client("first", encoder), Client("amy", encoder)
        for client in (first, amy):
            theatre.join(client, resume=False)
        theatre.score("amy", 100)
        theatre.clock.do_step()  # the tick has come to the first alone
        assert amy.screen is not None
        assert not amy.screen.offers
        theatre.score("bob", 50)
        theatre.join(amy, resume=False)
        assert amy.cursor.seq == 2
        assert "amy" in amy.points
        theatre.pass_time()
        amy.read()


def test_a_store_that_went_back_is_not_believed() -> None:
    theatre = Theatre()
    result_of(theatre.announcer.join(Screen(EventTextEncoder(), "zed")))  # type: ignore[arg-type]  # any wire will do
    theatre.ranking.advance(Cursor(epoch=1, seq=9))
    page = result_of(theatre.ranking.page(0, 10))
    assert page.degraded
    assert page.cursor == Cursor(epoch=1, seq=9)
    assert result_of(theatre.ranking.since(Cursor(epoch=1, seq=8), 10)).changes is None
