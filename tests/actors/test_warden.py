"""The warden over the register's twin: who is suspended is known within a look, and nothing that happens meanwhile is missed."""

from __future__ import annotations

import itertools

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from scoreboard.actors import suspension_watcher as module
from scoreboard.actors.suspension_watcher import KNOWN_S_MAX, POLL_S, SuspensionWatcher
from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.players import PlayerSettings, SuspensionOrder
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.actors.fakes import NOW, QuietMeter
from tests.awaiting import result_of, started

AWAY = StoreUnavailable("away")
_ids = itertools.count()


class House:
    def __init__(self, player_store: MemoryPlayerStore | None = None) -> None:
        self.clock = Clock()
        self.player_store = player_store or MemoryPlayerStore()
        self.meter = QuietMeter()
        self.told: list[tuple[str, str]] = []
        self.suspension_watcher = SuspensionWatcher(
            player_store=self.player_store,
            clock=self.clock,
            meter=self.meter,
            on_suspended=lambda user_id: self.told.append(("suspended", user_id)),
            on_private=lambda user_id: self.told.append(("private", user_id)),
        )

    def order(self, user_id: str, suspended: bool = True) -> None:
        result_of(self.player_store.suspend(order(user_id, suspended)))

    def wish(self, user_id: str, spectators: bool) -> None:
        result_of(self.player_store.change_settings(user_id, PlayerSettings(spectators=spectators), NOW))

    def change_here(self, user_id: str, spectators: bool) -> None:
        """As the web does in this very process."""
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
def house() -> House:
    return House()


def test_it_starts_knowing_everyone_and_tells_nobody_of_what_was_before(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUSPENDED_PER_PAGE", 2)
    for user in ("amy", "bob", "cat", "dan", "eve"):
        house.order(user)
    house.order("cat", suspended=False)
    house.wish("amy", spectators=False)
    result_of(house.suspension_watcher.start())
    assert house.is_suspended("amy", "bob", "cat", "dan", "eve", "nobody") == [True, True, False, True, True, False]
    house.clock.advance(POLL_S)
    assert house.told == []


def test_an_order_is_followed_within_a_look(house: House) -> None:
    result_of(house.suspension_watcher.start())
    house.order("amy")
    assert house.is_suspended("amy") == [False]
    house.clock.advance(POLL_S)
    assert house.is_suspended("amy") == [True]
    house.order("amy", suspended=False)
    house.clock.advance(POLL_S)
    assert house.is_suspended("amy") == [False]
    house.order("amy")
    house.clock.advance(POLL_S)
    assert house.told == [("suspended", "amy"), ("suspended", "amy")]


def test_it_tells_who_does_not_want_to_be_watched_any_more(house: House) -> None:
    result_of(house.suspension_watcher.start())
    house.wish("amy", spectators=False)
    house.wish("bob", spectators=True)
    house.clock.advance(POLL_S)
    assert house.told == [("private", "amy")]
    assert house.is_suspended("amy", "bob") == [False, False]


def test_it_starts_knowing_who_forbids_spectators_and_follows_that(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRIVATE_PER_PAGE", 2)
    for user in ("amy", "bob", "cat", "dan", "eve"):
        house.wish(user, spectators=False)
    house.wish("cat", spectators=True)
    result_of(house.suspension_watcher.start())
    assert house.private("amy", "bob", "cat", "dan", "eve", "zed") == [True, True, False, True, True, False]
    assert house.told == [], "of what was before"
    house.wish("amy", spectators=True)
    house.wish("zed", spectators=False)
    assert house.private("amy", "zed") == [True, False]
    house.clock.advance(POLL_S)
    assert house.private("amy", "zed") == [False, True]


def test_a_change_of_settings_in_this_process_holds_at_once(house: House) -> None:
    result_of(house.suspension_watcher.start())
    house.change_here("amy", spectators=False)
    assert house.private("amy") == [True]
    assert house.told == [("private", "amy")]
    house.change_here("amy", spectators=True)
    assert house.private("amy") == [False]
    house.clock.advance(POLL_S)
    assert house.private("amy") == [False]


def test_an_older_look_does_not_undo_a_change_that_was_made_here_meanwhile(house: House) -> None:
    """The look read the settings as they were, and is told so only after the change."""
    result_of(house.suspension_watcher.start())
    house.wish("amy", spectators=True)
    [earlier] = result_of(house.player_store.changes_since(0, 10))
    house.change_here("amy", spectators=False)
    house.suspension_watcher._follow(earlier)
    assert house.private("amy") == [True]
    house.clock.advance(POLL_S)
    assert house.private("amy") == [True]
    house.wish("amy", spectators=True)
    house.clock.advance(POLL_S)
    assert house.private("amy") == [False], "and what comes later is followed"
    assert house.suspension_watcher._noted == {}


def test_a_change_that_was_followed_before_it_is_noted_changes_nothing(house: House) -> None:
    result_of(house.suspension_watcher.start())
    number = result_of(house.player_store.change_settings("amy", PlayerSettings(spectators=False), NOW))
    house.wish("amy", spectators=True)
    house.clock.advance(POLL_S)
    house.suspension_watcher.note_settings("amy", PlayerSettings(spectators=False), number)
    assert house.private("amy") == [False]


def test_what_is_known_of_settings_grows_old(house: House) -> None:
    house.wish("amy", spectators=False)
    result_of(house.suspension_watcher.start())
    house.player_store.broken = AWAY
    house.clock.pump([POLL_S] * int(KNOWN_S_MAX / POLL_S))
    assert house.private("amy", "bob") == [True, False]
    house.clock.advance(POLL_S)
    assert house.private("amy") == [True]
    with pytest.raises(StoreUnavailable):
        house.private("bob")
    house.player_store.broken = None
    house.clock.advance(POLL_S)
    assert house.private("amy", "bob") == [True, False]


def test_more_turns_than_fit_a_page_are_followed_in_one_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES_PER_PAGE", 3)
    result_of(house.suspension_watcher.start())
    for number in range(10):
        house.order(f"user-{number}")
    house.clock.advance(POLL_S)
    assert [user for _, user in house.told] == [f"user-{number}" for number in range(10)]


class BusyPlayerStore(MemoryPlayerStore):
    """Something is ordered in the middle of the first look: behind the page that was read, and of one that was on it."""

    async def suspended(self, after_user_id: str, limit: int) -> list[str]:
        page = await super().suspended(after_user_id, limit)
        if after_user_id == "":
            await self.suspend(order("aaron"))
            await self.suspend(order("mia", suspended=False))
        return page


def test_a_change_during_the_start_is_not_missed() -> None:
    house = House(BusyPlayerStore())
    house.order("mia")
    result_of(house.suspension_watcher.start())
    house.clock.advance(POLL_S)
    assert house.is_suspended("aaron", "mia") == [True, False]
    assert house.told == [("suspended", "aaron")]


def test_while_the_register_is_away_it_keeps_what_it_knows_and_then_catches_up(house: House) -> None:
    house.order("amy")
    result_of(house.suspension_watcher.start())
    house.player_store.broken = AWAY
    house.clock.pump([POLL_S] * 3)
    assert house.is_suspended("amy", "bob") == [True, False]
    assert house.meter.counts == {"register_unavailable_total": 3}
    house.player_store.broken = None
    house.order("bob")
    house.clock.advance(POLL_S)
    assert house.is_suspended("amy", "bob") == [True, True]


def test_without_the_register_it_does_not_start(house: House) -> None:
    house.player_store.broken = AWAY
    with pytest.raises(StoreUnavailable):
        result_of(house.suspension_watcher.start())


def test_a_slow_register_is_asked_once_at_a_time(house: House) -> None:
    result_of(house.suspension_watcher.start())
    house.player_store.pause()
    house.clock.pump([POLL_S] * 4)
    house.player_store.resume()
    house.order("amy")
    house.clock.advance(POLL_S)
    assert house.told == [("suspended", "amy")]


def test_one_who_stumbles_over_the_news_does_not_hinder_the_next(house: House) -> None:
    def stumble(_user_id: str) -> None:
        raise LookupError("a mistake of ours")

    suspension_watcher = SuspensionWatcher(
        player_store=house.player_store,
        clock=house.clock,
        meter=house.meter,
        on_suspended=stumble,
        on_private=lambda _user_id: None,
    )
    result_of(suspension_watcher.start())
    house.order("amy")
    house.order("bob")
    with capturedLogs() as logged:
        house.clock.advance(POLL_S)
    assert (suspension_watcher.is_suspended("amy"), suspension_watcher.is_suspended("bob")) == (True, True)
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [LookupError, LookupError]


def test_a_warden_that_was_stopped_looks_no_more(house: House) -> None:
    starting = started(house.suspension_watcher.start())
    result_of(house.suspension_watcher.stop())
    house.order("amy")
    house.clock.pump([POLL_S] * 3)
    assert house.is_suspended("amy") == [False]
    assert starting.called
    assert house.clock.getDelayedCalls() == []
