"""Suspension watcher on a player store in memory: each change is known at the next poll, and none is missed."""

from __future__ import annotations

import itertools

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors import suspension_watcher as module
from scoreboard.actors.suspension_watcher import KNOWN_S_MAX, POLL_S, SuspensionWatcher
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerSettings, SuspensionOrder
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.actors.fakes import NOW, FakeMeter
from tests.awaiting import result_of, started

AWAY = StoreUnavailable("away")
_ids = itertools.count()


class Harness:
    def __init__(self, player_store: MemoryPlayerStore | None = None) -> None:
        self.clock = Clock()
        self.player_store = player_store or MemoryPlayerStore()
        self.meter = FakeMeter()
        self.answered: list[tuple[str, str]] = []
        self.suspension_watcher = SuspensionWatcher(
            player_store=self.player_store,
            clock=self.clock,
            meter=self.meter,
            on_suspended=lambda user_id: self.answered.append(("suspended", user_id)),
            on_private=lambda user_id: self.answered.append(("private", user_id)),
        )

    def order(self, user_id: str, suspended: bool = True) -> None:
        result_of(self.player_store.suspend(order(user_id, suspended)))

    def change_settings(self, user_id: str, spectators: bool) -> None:
        result_of(self.player_store.change_settings(user_id, PlayerSettings(spectators=spectators), NOW))

    def change_here(self, user_id: str, spectators: bool) -> None:
        """Change settings in this process, as `web/profile.py` does."""
        settings = PlayerSettings(spectators=spectators)
        self.suspension_watcher.note_settings(
            user_id, settings, result_of(self.player_store.change_settings(user_id, settings, NOW))
        )

    def private(self, *users: str) -> list[bool]:
        return [self.suspension_watcher.forbids_spectators(user) for user in users]

    def is_suspended(self, *users: str) -> list[bool]:
        return [self.suspension_watcher.is_suspended(user) for user in users]


def order(user_id: str, suspended: bool = True) -> SuspensionOrder:
    return SuspensionOrder(
        suspension_id=f"s-{next(_ids)}", user_id=user_id, suspended=suspended, operator="root", reason="r", at_ms=NOW
    )


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_a_started_watcher_knows_all_suspended_players_and_makes_no_callback(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAYERS_PER_PAGE", 2)
    for user in ("amy", "bob", "cat", "dan", "eve"):
        harness.order(user)
    harness.order("cat", suspended=False)
    harness.change_settings("amy", spectators=False)
    result_of(harness.suspension_watcher.start())
    assert harness.is_suspended("amy", "bob", "cat", "dan", "eve", "nobody") == [True, True, False, True, True, False]
    harness.clock.advance(POLL_S)
    assert harness.answered == []


def test_a_suspension_is_followed_at_the_next_poll(harness: Harness) -> None:
    result_of(harness.suspension_watcher.start())
    harness.order("amy")
    assert harness.is_suspended("amy") == [False]
    harness.clock.advance(POLL_S)
    assert harness.is_suspended("amy") == [True]
    harness.order("amy", suspended=False)
    harness.clock.advance(POLL_S)
    assert harness.is_suspended("amy") == [False]
    harness.order("amy")
    harness.clock.advance(POLL_S)
    assert harness.answered == [("suspended", "amy"), ("suspended", "amy")]


def test_it_reports_a_player_who_begins_to_forbid_spectators(harness: Harness) -> None:
    result_of(harness.suspension_watcher.start())
    harness.change_settings("amy", spectators=False)
    harness.change_settings("bob", spectators=True)
    harness.clock.advance(POLL_S)
    assert harness.answered == [("private", "amy")]
    assert harness.is_suspended("amy", "bob") == [False, False]


def test_at_the_start_it_knows_who_forbids_spectators_and_follows_changes(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAYERS_PER_PAGE", 2)
    for user in ("amy", "bob", "cat", "dan", "eve"):
        harness.change_settings(user, spectators=False)
    harness.change_settings("cat", spectators=True)
    result_of(harness.suspension_watcher.start())
    assert harness.private("amy", "bob", "cat", "dan", "eve", "zed") == [True, True, False, True, True, False]
    assert harness.answered == [], "nothing happened since the start"
    harness.change_settings("amy", spectators=True)
    harness.change_settings("zed", spectators=False)
    assert harness.private("amy", "zed") == [True, False]
    harness.clock.advance(POLL_S)
    assert harness.private("amy", "zed") == [False, True]


def test_a_change_of_settings_in_this_process_counts_at_once(harness: Harness) -> None:
    result_of(harness.suspension_watcher.start())
    harness.change_here("amy", spectators=False)
    assert harness.private("amy") == [True]
    assert harness.answered == [("private", "amy")]
    harness.change_here("amy", spectators=True)
    assert harness.private("amy") == [False]
    harness.clock.advance(POLL_S)
    assert harness.private("amy") == [False]


def test_an_older_poll_does_not_undo_a_change_that_was_made_in_this_process(harness: Harness) -> None:
    """The poll read the older settings before the change, and applies them after it."""
    result_of(harness.suspension_watcher.start())
    harness.change_settings("amy", spectators=True)
    [earlier] = result_of(harness.player_store.changes_since(0, 10))
    harness.change_here("amy", spectators=False)
    harness.suspension_watcher._follow(earlier)
    assert harness.private("amy") == [True]
    harness.clock.advance(POLL_S)
    assert harness.private("amy") == [True]
    harness.change_settings("amy", spectators=True)
    harness.clock.advance(POLL_S)
    assert harness.private("amy") == [False], "a later change is followed"
    assert harness.suspension_watcher._noted == {}


def test_a_change_that_was_followed_before_it_is_noted_changes_nothing(harness: Harness) -> None:
    result_of(harness.suspension_watcher.start())
    number = result_of(harness.player_store.change_settings("amy", PlayerSettings(spectators=False), NOW))
    harness.change_settings("amy", spectators=True)
    harness.clock.advance(POLL_S)
    harness.suspension_watcher.note_settings("amy", PlayerSettings(spectators=False), number)
    assert harness.private("amy") == [False]


def test_settings_are_unknown_when_the_store_has_not_answered_for_some_seconds(harness: Harness) -> None:
    harness.change_settings("amy", spectators=False)
    result_of(harness.suspension_watcher.start())
    harness.player_store.broken = AWAY
    harness.clock.pump([POLL_S] * int(KNOWN_S_MAX / POLL_S))
    assert harness.private("amy", "bob") == [True, False]
    harness.clock.advance(POLL_S)
    assert harness.private("amy") == [True]
    with pytest.raises(StoreUnavailable):
        harness.private("bob")
    harness.player_store.broken = None
    harness.clock.advance(POLL_S)
    assert harness.private("amy", "bob") == [True, False]


def test_more_changes_than_fit_in_a_page_are_followed_in_one_poll(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES_PER_PAGE", 3)
    result_of(harness.suspension_watcher.start())
    for number in range(10):
        harness.order(f"user-{number}")
    harness.clock.advance(POLL_S)
    assert [user for _, user in harness.answered] == [f"user-{number}" for number in range(10)]


class BusyPlayerStore(MemoryPlayerStore):
    """A player store that changes during the start: behind the page that was read, and on it."""

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        page = await super().suspended(after_user_id, limit)
        if after_user_id == "":
            await self.suspend(order("aaron"))
            await self.suspend(order("mia", suspended=False))
        return page


def test_a_change_during_the_start_is_not_missed() -> None:
    harness = Harness(BusyPlayerStore())
    harness.order("mia")
    result_of(harness.suspension_watcher.start())
    harness.clock.advance(POLL_S)
    assert harness.is_suspended("aaron", "mia") == [True, False]
    assert harness.answered == [("suspended", "aaron")]


def test_without_the_player_store_it_keeps_what_it_knows_and_then_catches_up(harness: Harness) -> None:
    harness.order("amy")
    result_of(harness.suspension_watcher.start())
    harness.player_store.broken = AWAY
    harness.clock.pump([POLL_S] * 3)
    assert harness.is_suspended("amy", "bob") == [True, False]
    assert harness.meter.counts == {"player_store_unavailable_total": 3}
    harness.player_store.broken = None
    harness.order("bob")
    harness.clock.advance(POLL_S)
    assert harness.is_suspended("amy", "bob") == [True, True]


def test_without_the_player_store_it_does_not_start(harness: Harness) -> None:
    harness.player_store.broken = AWAY
    with pytest.raises(StoreUnavailable):
        result_of(harness.suspension_watcher.start())


def test_polls_of_a_slow_player_store_do_not_overlap(harness: Harness) -> None:
    result_of(harness.suspension_watcher.start())
    harness.player_store.pause()
    harness.clock.pump([POLL_S] * 4)
    harness.player_store.resume()
    harness.order("amy")
    harness.clock.advance(POLL_S)
    assert harness.answered == [("suspended", "amy")]


def test_a_callback_that_fails_does_not_prevent_the_next(harness: Harness) -> None:
    def fail(_user_id: str) -> None:
        raise LookupError("a mistake of ours")

    suspension_watcher = SuspensionWatcher(
        player_store=harness.player_store,
        clock=harness.clock,
        meter=harness.meter,
        on_suspended=fail,
        on_private=lambda _user_id: None,
    )
    result_of(suspension_watcher.start())
    harness.order("amy")
    harness.order("bob")
    with capturedLogs() as logged:
        harness.clock.advance(POLL_S)
    assert (suspension_watcher.is_suspended("amy"), suspension_watcher.is_suspended("bob")) == (True, True)
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [LookupError, LookupError]


def test_a_stopped_watcher_does_not_poll(harness: Harness) -> None:
    starting = started(harness.suspension_watcher.start())
    result_of(harness.suspension_watcher.stop())
    harness.order("amy")
    harness.clock.pump([POLL_S] * 3)
    assert harness.is_suspended("amy") == [False]
    assert starting.called
    assert harness.clock.getDelayedCalls() == []


def test_each_suspension_and_its_end_is_logged_at_info() -> None:
    harness = Harness()
    result_of(harness.suspension_watcher.start())
    with capturedLogs() as events:
        for suspended in (True, False):
            harness.order("eve", suspended)
            harness.clock.advance(POLL_S)
    assert [(event["log_level"].name, event["log_format"], event["user_id"]) for event in events] == [
        ("info", "{user_id} was suspended", "eve"),
        ("info", "{user_id} was reinstated", "eve"),
    ]
