"""Clients of ranking and announcer: in any schedule their rows and events have no gap, and their cursor never goes back."""

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

from scoreboard.actors import fan_out
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
from tests.actors.fakes import NOW, FakeListener, FakeMeter
from tests.awaiting import result_of, started
from tests.client_rows import apply


class Steps(Clock):
    """A clock that makes due calls one by one, so that other steps may happen between two."""

    def do_step(self) -> bool:
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        if due:
            first = min(due, key=lambda call: call.getTime())
            self.calls.remove(first)
            first.called = 1
            first.func(*first.args, **first.kw)
        return bool(due)


class SlowBoard(MemoryBoard):
    """A board that answers in order, as Redis does, when the test lets it. An answer is of the moment of its call."""

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
        if self.slow or self.replies:  # no call overtakes another
            do_step: Deferred[None] = Deferred()
            self.replies.append(do_step)
            await do_step

    def reply(self) -> None:
        if self.replies:
            self.replies.popleft().callback(None)


class EventTextEncoder:
    """Frames that hold the whole event. With ``rows`` a top is sent as its differences."""

    def __init__(self, *, rows: bool = False) -> None:
        self.rows = rows
        self.framed = 0

    def encode(self, events: Sequence[Event], *, more: bool = False) -> bytes:
        self.framed += len(events)
        return b"".join([pickle.dumps(_plain(event)) + b"\0end\0" for event in events])


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
    """A client that follows docs/protocol-live.md, over one connection after another."""

    def __init__(self, user_id: str, encoder: EventTextEncoder) -> None:
        self.user_id, self.encoder = user_id, encoder
        self.listener: FakeListener | None = None
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
                assert before == self.views[view], "an operation on rows that the client does not have"
                assert apply(before, diff(before, rows), offset_of(rows)) == rows
            self.views[view] = rows

    def read(self) -> None:
        if self.listener is not None:
            for offer in self.listener.offers:
                for piece in offer.split(b"\0end\0")[:-1]:
                    self.on_changes(pickle.loads(piece))
            self.listener.offers.clear()


class Simulation:
    def __init__(self) -> None:
        self.clock = Steps()
        self.clock.advance(1_000)
        shared_state = SharedBoardState()
        self.board = SlowBoard(shared_state)
        self.writer = MemoryBoard(GLOBAL_BOARD, lambda: NOW, shared_state)
        result_of(self.writer.begin(1))
        meter = FakeMeter()
        self.ledger = MemoryLedger()
        self.ranking = Ranking(
            board=self.board, ledger=self.ledger.board(GLOBAL_BOARD), clock=self.clock, now_ms=lambda: NOW, meter=meter
        )
        self.announcer = Announcer(
            ranking=self.ranking,
            forbids_spectators=lambda _user_id: False,
            clock=self.clock,
            tick_ms=50,
            score_updates_per_tick_max=1_000,
            meter=meter,
        )
        self.writer.shared_state.listeners.append((self.board, self.on_changes))
        self.ranking.advance(Cursor(epoch=1, seq=0))
        self.version = 0
        self.points: dict[str, tuple[Cursor, int]] = {}
        self.failed: list[object] = []

    def on_changes(self, cursor: Cursor, changes: Sequence[ScoreChanged]) -> None:
        self.ranking.advance(cursor)
        self.announcer.publish(changes)

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
        self.ledger.standings[user_id] = one  # commit, then project: the ledger is never behind the board
        self.points[user_id] = (result_of(self.writer.set([one])).cursor, points)

    def begin(self) -> None:
        assert self.writer.shared_state.cursor is not None
        result_of(self.writer.begin(self.writer.shared_state.cursor.epoch + 1))

    def join(self, client: Client, *, resume: bool) -> None:
        if client.joining:
            return
        if client.listener is None:
            client.listener = FakeListener(client.encoder, client.user_id)  # type: ignore[arg-type]  # any encoder will do
            self.announcer.enter(client.listener)
        listener, client.joining = client.listener, True
        begun = started(self.announcer.resume(listener, client.cursor) if resume else self.announcer.join(listener))

        def joined(found: Any) -> None:
            client.joining = False
            if listener is not client.listener:
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
        if client.listener is not None:
            client.read()
            self.announcer.leave(client.listener)
            client.listener = None
            client.views.clear()

    def follow(self, client: Client, view: View) -> None:
        if client.listener is not None:
            cursor = self.announcer.follow(client.listener, view)
            assert not isinstance(cursor, Refusal)
            assert cursor >= client.cursor
            client.views.setdefault(view, None)

    def unfollow(self, client: Client, view: View) -> None:
        if client.listener is not None:
            client.read()
            self.announcer.unfollow(client.listener, view)
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
@example([("score", "p0", 1), ("tick",), ("break",), ("resume", 0)])  # a degraded top, and then nothing changes
def test_each_client_sees_a_rising_cursor_without_gaps_and_ends_with_the_board(schedule: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_out, "SOCKETS_PER_TURN", 1)  # every tick takes many turns, between which other steps may happen
        simulation = Simulation()
        whole, rows = EventTextEncoder(), EventTextEncoder(rows=True)
        clients = [Client(f"p{n}", rows if n % 2 else whole) for n in range(5)]
        for client in clients:
            simulation.join(client, resume=False)
        for step, *about in schedule:
            play(simulation, clients, step, about)
            for client in clients:
                client.read()
        for client in clients:
            if client.listener is not None:
                client.listener.drained = True
        simulation.board.slow = simulation.board.fast.broken = False
        simulation.pass_time()
        top = result_of(simulation.writer.page(0, 10)).rows
        assert not simulation.failed
        for client in clients:
            client.read()
            if client.listener is not None and simulation.announcer._members[client.listener].in_room:
                assert client.top == top
                if client.complete:
                    news = {user: points for user, (at, points) in simulation.points.items() if at > client.began}
                    assert {user: client.points.get(user) for user in news} == news
            for view, shown in client.views.items():
                assert shown == result_of(simulation.writer.read_views([view]))[0].rows
        assert not simulation.announcer._room.has_newcomers
        assert not simulation.announcer._fan_out._with_extra


def play(simulation: Simulation, clients: list[Client], step: str, about: list[Any]) -> None:
    match step, about:
        case "score", [user_id, points]:
            simulation.score(user_id, points)
        case "off", [user_id]:
            simulation.score(user_id, 0, off=True)
        case (("join" | "resume"), [number]):
            simulation.join(clients[number], resume=step == "resume")
        case "cut", [number]:
            simulation.cut(clients[number])
        case "follow", [number, which]:
            simulation.follow(clients[number], VIEWS[which])
        case "unfollow", [number, which]:
            simulation.unfollow(clients[number], VIEWS[which])
        case (("stall" | "drain"), [number]):
            listener = clients[number].listener
            if listener is not None:
                listener.drained = step == "drain"
        case "tick", _:
            simulation.clock.rightNow += 0.05
            simulation.clock.do_step()
        case "turn", _:
            simulation.clock.do_step()
        case "reply", _:
            simulation.board.reply()
        case "slow", _:
            simulation.board.slow = not simulation.board.slow
        case "break", _:
            simulation.board.fast.broken = not simulation.board.fast.broken
        case "epoch", _:
            simulation.begin()


def test_a_top_is_encoded_once_for_each_encoder() -> None:
    simulation = Simulation()
    whole, rows = EventTextEncoder(), EventTextEncoder(rows=True)
    clients = [Client(f"watcher-{n}", rows if n % 2 else whole) for n in range(20)]
    for client in clients:
        simulation.join(client, resume=False)
    simulation.score("amy", 100)
    simulation.clock.do_step()
    assert (whole.framed, rows.framed) == (1, 1)
    assert {len(client.listener.offers) for client in clients if client.listener} == {1}


def test_a_stalled_client_gets_a_snapshot_when_it_reads_again() -> None:
    simulation = Simulation()
    client = Client("watcher", EventTextEncoder(rows=True))
    simulation.join(client, resume=False)
    assert client.listener is not None
    client.listener.drained = False
    simulation.score("amy", 100)
    simulation.clock.do_step()
    client.listener.drained = True
    simulation.score("bob", 50)
    simulation.pass_time()
    assert client.complete
    client.read()
    assert [row.user_id for row in client.top] == ["amy", "bob"]
    assert not client.complete


def test_a_client_that_resumes_gets_missed_and_own_events_at_one_cursor() -> None:
    simulation = Simulation()
    amy = Client("amy", EventTextEncoder())
    simulation.join(amy, resume=False)
    simulation.cut(amy)
    for n in range(12):
        simulation.score(f"p{n}", 100 - n)
    simulation.score("amy", 50)
    listener = FakeListener(amy.encoder, "amy")  # type: ignore[arg-type]  # any encoder will do
    simulation.announcer.enter(listener)
    back = result_of(simulation.announcer.resume(listener, amy.cursor))
    assert back.missed is not None
    answered = [_plain(event)[:3] for event in back.missed]
    now = Cursor(epoch=1, seq=13)
    assert answered[:2] == [("score", now, "p10"), ("score", now, "p11")]
    assert answered[2][:2] == ("board", now)
    assert answered[3:] == [("score", now, "amy"), ("rank", now)]


def test_a_resume_gets_nothing_after_no_changes_and_a_snapshot_after_a_new_epoch() -> None:
    simulation = Simulation()
    simulation.score("amy", 100)
    listener = FakeListener(EventTextEncoder(), "zed")  # type: ignore[arg-type]  # any encoder will do
    simulation.announcer.enter(listener)
    assert result_of(simulation.announcer.resume(listener, Cursor(epoch=1, seq=1))).missed == ()
    simulation.begin()
    assert result_of(simulation.announcer.resume(listener, Cursor(epoch=1, seq=1))).missed is None


def test_a_resume_outside_the_room_gets_only_own_events_at_one_cursor() -> None:
    simulation = Simulation()
    simulation.score("amy", 100)
    since = Cursor(epoch=1, seq=1)
    listener = FakeListener(EventTextEncoder(), "amy")  # type: ignore[arg-type]  # any encoder will do
    simulation.announcer.enter(listener)
    assert result_of(simulation.announcer.catch_up(listener, since)) == ()
    simulation.score("bob", 200)
    assert result_of(simulation.announcer.catch_up(listener, since)) == ()
    simulation.score("amy", 250)
    simulation.score("cid", 1)
    missed = result_of(simulation.announcer.catch_up(listener, since))
    assert missed is not None
    assert [_plain(event)[:2] for event in missed] == [("score", Cursor(epoch=1, seq=4)), ("rank", Cursor(epoch=1, seq=4))]
    simulation.begin()
    assert result_of(simulation.announcer.catch_up(listener, since)) is None


def test_a_resume_outside_the_room_during_a_tick_gets_no_event_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "SOCKETS_PER_TURN", 1)
    simulation, encoder = Simulation(), EventTextEncoder()
    for n in range(3):
        simulation.join(Client(f"watcher-{n}", encoder), resume=False)
    listener = FakeListener(EventTextEncoder(), "amy")  # type: ignore[arg-type]  # any encoder will do
    simulation.announcer.enter(listener)
    listener.drained = False
    simulation.score("amy", 100)
    simulation.clock.do_step()
    assert result_of(simulation.announcer.catch_up(listener, Cursor(epoch=1, seq=0))) != ()
    listener.drained = True
    simulation.pass_time()
    assert listener.offers == []


def test_a_second_join_during_a_tick_gets_its_own_events_of_it_first() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_out, "SOCKETS_PER_TURN", 1)
        simulation = Simulation()
        encoder = EventTextEncoder()
        first, amy = Client("first", encoder), Client("amy", encoder)
        for client in (first, amy):
            simulation.join(client, resume=False)
        simulation.score("amy", 100)
        simulation.clock.do_step()  # the tick has reached the first client only
        assert amy.listener is not None
        assert not amy.listener.offers
        simulation.score("bob", 50)
        simulation.join(amy, resume=False)
        assert amy.cursor.seq == 2
        assert "amy" in amy.points
        simulation.pass_time()
        amy.read()


def test_a_board_that_went_back_is_not_shown() -> None:
    simulation = Simulation()
    result_of(simulation.announcer.join(FakeListener(EventTextEncoder(), "zed")))  # type: ignore[arg-type]  # any encoder will do
    simulation.ranking.advance(Cursor(epoch=1, seq=9))
    page = result_of(simulation.ranking.page(0, 10))
    assert page.degraded
    assert page.cursor == Cursor(epoch=1, seq=9)
    assert result_of(simulation.ranking.since(Cursor(epoch=1, seq=8), 10)).changes is None
