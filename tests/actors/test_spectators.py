"""Spectators, achievements and suspensions: events for single listeners."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scoreboard.actors.spectators import SPECTATED_PER_LISTENER_MAX
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import PlayerActed
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED
from tests.actors.fakes import FakeListener, many, moved
from tests.actors.test_announcer import Harness
from tests.awaiting import result_of


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.board.write(1, *many(0, 12))
    return harness


def spectator(harness: Harness, user_id: str = "amy", *, role: str = "user") -> FakeListener:
    listener = harness.listener("watcher", joined=False)
    listener.player = replace(listener.player, role=role)
    assert harness.announcer.spectate(listener, user_id) is None
    return listener


def test_spectators_get_every_award_and_other_listeners_none(harness: Harness) -> None:
    watcher, unknown_client = spectator(harness), harness.listener("zed", joined=False)
    harness.tick(moved("amy", 40, 41, awards=["QUEST", "RAID"]), moved("bob", 50, 51, awards=["QUEST"]))
    assert watcher.seen == "A:amy:QUEST+10@1 A:amy:RAID+10@1"
    assert unknown_client.seen == ""


def test_a_spectator_in_the_room_gets_room_events_and_awards_in_one_piece(harness: Harness) -> None:
    watcher = harness.listener("watcher")
    harness.announcer.spectate(watcher, "amy")
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert [offer.decode().strip() for offer in watcher.offers] == ["S:amy:41>40@1 A:amy:QUEST+10@1"]


def test_awards_of_one_tick_are_sent_together_without_the_oldest_of_very_many(harness: Harness) -> None:
    watcher = spectator(harness)
    harness.announcer.publish([moved("x", 1, 2)])  # the changes that follow wait for the next tick
    harness.clock.advance(0)
    for n in range(14):
        harness.announcer.publish([moved("amy", 40, 41, seq=n + 1, awards=[f"D{n}"])])
    harness.clock.advance(0.05)
    assert watcher.seen.count("A:amy") == 10
    assert "D13" in watcher.seen
    assert "D3+" not in watcher.seen


def test_a_spectator_that_left_gets_no_more(harness: Harness) -> None:
    one, other = spectator(harness), spectator(harness)
    harness.announcer.unspectate(one, "amy")
    harness.announcer.leave(other)
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert one.seen == other.seen == ""


def test_a_player_who_forbids_spectators_is_still_followed_by_admins_and_their_own_listeners(harness: Harness) -> None:
    harness.private.add("amy")
    watcher, own = harness.listener("watcher", joined=False), harness.listener("amy", joined=False)
    assert harness.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    assert harness.announcer.spectate(own, "amy") is None
    admin = spectator(harness, role="admin")
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert watcher.seen == ""
    assert "A:amy" in admin.seen
    assert "A:amy" in own.seen


def test_spectators_are_notified_and_removed_when_the_player_forbids_them(harness: Harness) -> None:
    watcher, admin = spectator(harness), spectator(harness, role="admin")
    harness.announcer.end_spectating("amy")
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert watcher.seen == "E:amy"
    assert admin.seen == "A:amy:QUEST+10@1"


def test_a_refused_spectator_gets_no_award_by_any_way(harness: Harness) -> None:
    harness.private.add("amy")
    watcher = harness.listener("watcher", joined=False)
    harness.board.missed = (moved("amy", 40, 41, awards=["QUEST"]),)
    assert harness.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    missed = result_of(harness.announcer.catch_up(watcher, harness.board.cursor))
    back = result_of(harness.announcer.resume(watcher, harness.board.cursor))
    answered = [*(missed or ()), *(back.missed or ())]
    assert [one for one in answered if isinstance(one, PlayerActed)] == []
    assert "A:amy" not in watcher.seen


def test_while_settings_are_not_known_no_spectator_is_added_or_removed(harness: Harness) -> None:
    watcher, other = spectator(harness), harness.listener("other", joined=False)
    harness.unknown = StoreUnavailable("the register could not be followed of late")
    for one in (watcher, other):
        with pytest.raises(StoreUnavailable):
            harness.announcer.spectate(one, "amy")
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert watcher.seen == "A:amy:QUEST+10@1"
    assert other.seen == ""
    own = harness.listener("amy", joined=False)
    assert harness.announcer.spectate(own, "amy") is None, "a player always gets their own awards"


def test_a_spectator_that_asks_again_is_removed_if_the_player_forbids_it_now(harness: Harness) -> None:
    watcher = spectator(harness)
    harness.private.add("amy")
    assert harness.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert watcher.seen == ""


def test_a_listener_can_spectate_a_limited_number_of_players(harness: Harness) -> None:
    watcher = harness.listener("watcher", joined=False)
    for n in range(SPECTATED_PER_LISTENER_MAX):
        assert harness.announcer.spectate(watcher, f"u{n}") is None
    assert harness.announcer.spectate(watcher, "amy") is TOO_MANY_SPECTATED
    assert harness.announcer.spectate(watcher, "u0") is None, "the listener follows this player already"
    member = harness.announcer._members[watcher]
    harness.announcer.leave(watcher)
    assert not harness.announcer._spectators._watching.by_name
    assert not member.watched


def test_a_milestone_is_sent_to_its_player_alone(harness: Harness) -> None:
    amy, watcher = harness.listener("amy", joined=False), spectator(harness)
    harness.tick(moved("amy", 400, 500, unlocked=(100, 500)))
    assert amy.seen == "S:amy:500>400@1 U:amy:100 U:amy:500"
    assert watcher.seen == ""


def test_all_listeners_of_a_suspended_player_are_notified_and_closed(harness: Harness) -> None:
    sockets, other = [harness.listener("amy"), harness.listener("amy", joined=False)], harness.listener("zed")
    sockets[1].drained = False
    harness.announcer.close_listeners_of("amy")
    assert [listener.seen for listener in sockets] == ["X:amy", ""]
    assert [listener.close_reason for listener in sockets] == [ACCOUNT_SUSPENDED, ACCOUNT_SUSPENDED]
    harness.board.write(2, ("amy", 1))
    harness.tick(moved("amy", 1, 2, seq=2))
    assert sockets[0].seen == "X:amy"
    assert other.close_reason is None


def test_a_listener_that_leaves_during_an_offer_does_not_affect_others(harness: Harness) -> None:
    first, second = spectator(harness), spectator(harness)
    first.on_offer = lambda: harness.announcer.leave(first)
    harness.tick(moved("amy", 40, 41, awards=["QUEST"]))
    assert second.seen == "A:amy:QUEST+10@1"
