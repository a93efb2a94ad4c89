"""Spectators, achievements and suspensions: what single sockets hear beside the board."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scoreboard.actors.spectators import SPECTATED_PER_LISTENER_MAX
from scoreboard.boundaries import SUSPENDED, StoreUnavailable
from scoreboard.domain.refusals import NO_SPECTATORS, TOO_MANY_SPECTATED
from scoreboard.domain.values import PlayerActed
from tests.actors.fakes import Screen, many, moved
from tests.actors.test_announcer import House
from tests.awaiting import result_of


@pytest.fixture
def house() -> House:
    house = House()
    house.board.write(1, *many(0, 12))
    return house


def spectator(house: House, user_id: str = "amy", *, role: str = "user") -> Screen:
    screen = house.screen("watcher", joined=False)
    screen.player = replace(screen.player, role=role)
    assert house.announcer.spectate(screen, user_id) is None
    return screen


def test_spectators_hear_every_deed_and_others_none(house: House) -> None:
    watcher, stranger = spectator(house), house.screen("zed", joined=False)
    house.tick(moved("amy", 40, 41, deeds=["QUEST", "RAID"]), moved("bob", 50, 51, deeds=["QUEST"]))
    assert watcher.seen == "A:amy:QUEST+10@1 A:amy:RAID+10@1"
    assert stranger.seen == ""


def test_a_spectator_in_the_room_hears_it_in_the_ticks_one_piece(house: House) -> None:
    watcher = house.screen("watcher")
    house.announcer.spectate(watcher, "amy")
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert [offer.decode().strip() for offer in watcher.offers] == ["S:amy:41>40@1 A:amy:QUEST+10@1"]


def test_deeds_of_one_tick_are_told_together_and_the_oldest_of_very_many_are_left_out(house: House) -> None:
    watcher = spectator(house)
    house.announcer.tell([moved("x", 1, 2)])  # a tick is under way or over: the next gathers
    house.clock.advance(0)
    for n in range(14):
        house.announcer.tell([moved("amy", 40, 41, seq=n + 1, deeds=[f"D{n}"])])
    house.clock.advance(0.05)
    assert watcher.seen.count("A:amy") == 10
    assert "D13" in watcher.seen
    assert "D3+" not in watcher.seen


def test_a_spectator_that_left_hears_no_more(house: House) -> None:
    one, other = spectator(house), spectator(house)
    house.announcer.unspectate(one, "amy")
    house.announcer.leave(other)
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert one.seen == other.seen == ""


def test_a_player_may_forbid_spectators_but_for_admins_and_the_own_sockets(house: House) -> None:
    house.private.add("amy")
    watcher, own = house.screen("watcher", joined=False), house.screen("amy", joined=False)
    assert house.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    assert house.announcer.spectate(own, "amy") is None
    admin = spectator(house, role="admin")
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert watcher.seen == ""
    assert "A:amy" in admin.seen
    assert "A:amy" in own.seen


def test_who_is_watching_when_it_is_forbidden_is_told_and_put_out(house: House) -> None:
    watcher, admin = spectator(house), spectator(house, role="admin")
    house.announcer.shut_out("amy")
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert watcher.seen == "E:amy"
    assert admin.seen == "A:amy:QUEST+10@1"


def test_the_answer_comes_at_once_and_nothing_is_heard_before_it(house: House) -> None:
    house.private.add("amy")
    watcher = house.screen("watcher", joined=False)
    house.board.missed = (moved("amy", 40, 41, deeds=["QUEST"]),)
    assert house.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    missed = result_of(house.announcer.catch_up(watcher, house.board.cursor))
    back = result_of(house.announcer.resume(watcher, house.board.cursor))
    told = [*(missed or ()), *(back.missed or ())]
    assert [one for one in told if isinstance(one, PlayerActed)] == []
    assert "A:amy" not in watcher.seen


def test_while_it_is_not_known_who_forbids_it_nobody_gets_a_seat_and_nobody_loses_one(house: House) -> None:
    watcher, other = spectator(house), house.screen("other", joined=False)
    house.unknown = StoreUnavailable("the register could not be followed of late")
    for one in (watcher, other):
        with pytest.raises(StoreUnavailable):
            house.announcer.spectate(one, "amy")
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert watcher.seen == "A:amy:QUEST+10@1"
    assert other.seen == ""
    own = house.screen("amy", joined=False)
    assert house.announcer.spectate(own, "amy") is None, "one's own actions are one's own whatever the settings"


def test_a_seat_that_is_asked_for_again_is_lost_if_it_is_forbidden_by_now(house: House) -> None:
    watcher = spectator(house)
    house.private.add("amy")
    assert house.announcer.spectate(watcher, "amy") is NO_SPECTATORS
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert watcher.seen == ""


def test_a_socket_spectates_so_many_and_no_more(house: House) -> None:
    watcher = house.screen("watcher", joined=False)
    for n in range(SPECTATED_PER_LISTENER_MAX):
        assert house.announcer.spectate(watcher, f"u{n}") is None
    assert house.announcer.spectate(watcher, "amy") is TOO_MANY_SPECTATED
    assert house.announcer.spectate(watcher, "u0") is None, "it does already"
    house.announcer.leave(watcher)
    assert not house.announcer._spectators._watching
    assert not house.announcer._spectators._watched


def test_a_milestone_is_told_to_the_player_alone(house: House) -> None:
    amy, watcher = house.screen("amy", joined=False), spectator(house)
    house.tick(moved("amy", 400, 500, unlocked=(100, 500)))
    assert amy.seen == "S:amy:500>400@1 U:amy:100 U:amy:500"
    assert watcher.seen == ""


def test_a_suspended_player_is_told_and_every_socket_closed(house: House) -> None:
    sockets, other = [house.screen("amy"), house.screen("amy", joined=False)], house.screen("zed")
    sockets[1].drained = False
    house.announcer.expel("amy")
    assert [screen.seen for screen in sockets] == ["X:amy", ""]
    assert [screen.parted for screen in sockets] == [SUSPENDED, SUSPENDED]
    house.board.write(2, ("amy", 1))
    house.tick(moved("amy", 1, 2, seq=2))
    assert sockets[0].seen == "X:amy"
    assert other.parted is None


def test_a_socket_that_goes_when_it_is_offered_something_takes_nobody_along(house: House) -> None:
    first, second = spectator(house), spectator(house)
    first.on_offer = lambda: house.announcer.leave(first)
    house.tick(moved("amy", 40, 41, deeds=["QUEST"]))
    assert second.seen == "A:amy:QUEST+10@1"
