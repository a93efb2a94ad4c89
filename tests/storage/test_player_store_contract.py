"""Contract of the player store: the same tests run against the stores in memory, in SQLite and in PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoreboard.domain.entries import ResetOrder
from scoreboard.domain.players import Achievement, PlayerChange, PlayerSettings, SuspensionOrder, ledger_shard
from tests.storage.claims import NOW, claim
from tests.storage.harnesses import Harness, harness_of

KINDS = ("memory", "sqlite", "postgresql")
SHOWN, PRIVATE = PlayerSettings(spectators=True), PlayerSettings(spectators=False)
_ids = itertools.count(1)


@pytest.fixture(params=KINDS)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    harness = harness_of(request.param, tmp_path)
    yield harness
    harness.close()


def order(user_id: str = "amy", suspended: bool = True, at_ms: int = NOW, reason: str = "cheated") -> SuspensionOrder:
    return SuspensionOrder(
        suspension_id=f"s-{next(_ids)}", user_id=user_id, suspended=suspended, operator="root", reason=reason, at_ms=at_ms
    )


def test_achievements_are_read_oldest_first(harness: Harness) -> None:
    marks = (100, 500, 1_000)
    later, first = claim("amy", 900, milestones=marks, at_ms=NOW + 5), claim("amy", 100, milestones=marks)
    harness.do(harness.ledger.award([first, claim("bob", 100, milestones=marks)], []))
    harness.do(harness.ledger.award([later], []))
    assert harness.do(harness.player_store.achievements("amy")) == [
        Achievement(milestone=100, action_id=first.grant.action_id, at_ms=NOW),
        Achievement(milestone=500, action_id=later.grant.action_id, at_ms=NOW + 5),
        Achievement(milestone=1_000, action_id=later.grant.action_id, at_ms=NOW + 5),
    ]
    assert harness.do(harness.player_store.achievements("nobody")) == []


def test_achievements_stay_after_a_reset(harness: Harness) -> None:
    harness.do(harness.ledger.award([claim("amy", 100, milestones=(100,))], []))
    harness.do(harness.ledger.reset(ResetOrder(reset_id="r", user_ids=("amy",), operator="root", reason="", at_ms=NOW)))
    assert [one.milestone for one in harness.do(harness.player_store.achievements("amy"))] == [100]


def test_a_player_without_settings_allows_spectators(harness: Harness) -> None:
    assert harness.do(harness.player_store.settings("amy")) == SHOWN
    assert harness.do(harness.player_store.revision()) == 0
    assert harness.do(harness.player_store.changes_since(0, 10)) == []


def test_the_latest_change_of_the_settings_counts(harness: Harness) -> None:
    for wish in (PRIVATE, SHOWN, PRIVATE):
        harness.do(harness.player_store.change_settings("amy", wish, NOW))
        assert harness.do(harness.player_store.settings("amy")) == wish
    assert harness.do(harness.player_store.settings("bob")) == SHOWN


def test_a_player_is_suspended_until_the_suspension_is_lifted(harness: Harness) -> None:
    first, lifted, again = order(), order(suspended=False, at_ms=NOW + 1), order(at_ms=NOW + 2)
    assert harness.do(harness.player_store.suspend(first))
    assert harness.do(harness.player_store.suspended("", 10)) == ["amy"]
    assert harness.do(harness.player_store.suspend(lifted))
    assert harness.do(harness.player_store.suspended("", 10)) == []
    assert harness.do(harness.player_store.suspend(again))
    assert harness.do(harness.player_store.suspended("", 10)) == ["amy"]
    assert harness.do(harness.player_store.suspensions("amy", 10)) == [again, lifted, first]
    assert harness.do(harness.player_store.suspensions("amy", 2)) == [again, lifted]
    assert harness.do(harness.player_store.suspensions("bob", 10)) == []


def test_an_order_that_changes_nothing_is_not_stored(harness: Harness) -> None:
    assert not harness.do(harness.player_store.suspend(order(suspended=False)))
    assert harness.do(harness.player_store.suspend(order()))
    assert not harness.do(harness.player_store.suspend(order(reason="once more")))
    assert [one.reason for one in harness.do(harness.player_store.suspensions("amy", 10))] == ["cheated"]
    assert harness.do(harness.player_store.revision()) == 1


def test_unusual_text_in_a_reason_is_stored(harness: Harness) -> None:
    harness.do(harness.player_store.suspend(order(reason="n\0 \ud800 ' \" \\ ü; DROP TABLE suspensions")))
    assert harness.do(harness.player_store.suspensions("amy", 1))[0].reason == "n\ufffd ? ' \" \\ ü; DROP TABLE suspensions"


def test_suspended_players_are_paged_by_shard_and_then_by_code_point(harness: Harness) -> None:
    users = ["Zed", "_x", "a-b", "a.b", "a_b", "ab", "b", "user-10", "user-9"]
    for user in reversed(users):
        harness.do(harness.player_store.suspend(order(user)))
    harness.do(harness.player_store.suspend(order("ab", suspended=False)))
    seen: list[str] = []
    while page := harness.do(harness.player_store.suspended(seen[-1] if seen else "", 3)):
        assert len(page) <= 3
        seen += page
    assert seen == sorted((user for user in users if user != "ab"), key=lambda user: (ledger_shard(user), user))


def test_players_who_forbid_spectators_are_paged_by_shard_and_then_by_code_point(harness: Harness) -> None:
    users = ["Zed", "_x", "a-b", "a.b", "a_b", "ab", "b"]
    numbers = [harness.do(harness.player_store.change_settings(user, PRIVATE, NOW)) for user in reversed(users)]
    assert numbers == list(range(1, 8))
    assert harness.do(harness.player_store.change_settings("ab", SHOWN, NOW)) == 8
    assert harness.do(harness.player_store.change_settings("open", SHOWN, NOW)) == 9
    seen: list[str] = []
    while page := harness.do(harness.player_store.private(seen[-1] if seen else "", 3)):
        assert len(page) <= 3
        seen += page
    assert seen == sorted([user for user in users if user != "ab"], key=lambda user: (ledger_shard(user), user))


def test_changes_are_numbered_and_returned_in_order(harness: Harness) -> None:
    harness.do(harness.player_store.suspend(order("amy")))
    harness.do(harness.player_store.change_settings("bob", PRIVATE, NOW))
    harness.do(harness.player_store.suspend(order("amy", suspended=False)))
    harness.do(harness.player_store.change_settings("cat", PRIVATE, NOW))
    harness.do(harness.player_store.change_settings("bob", SHOWN, NOW))
    expected = [
        PlayerChange(revision=1, user_id="amy", suspended=True),
        PlayerChange(revision=3, user_id="amy", suspended=False),
        PlayerChange(revision=4, user_id="cat", spectators=False),
        PlayerChange(revision=5, user_id="bob", spectators=True),  # revision 2 is gone, because this change replaced it
    ]
    assert harness.do(harness.player_store.changes_since(0, 10)) == expected
    assert harness.do(harness.player_store.changes_since(0, 2)) == expected[:2]
    assert harness.do(harness.player_store.changes_since(3, 10)) == expected[2:]
    assert harness.do(harness.player_store.changes_since(5, 10)) == []
    assert harness.do(harness.player_store.revision()) == 5


@pytest.fixture(scope="module", params=KINDS)
def shared_harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One harness for all examples. Each example uses its own user ids."""
    harness = harness_of(request.param, tmp_path_factory.mktemp("shared"))
    yield harness
    harness.close()


def all_suspended(harness: Harness) -> list[str]:
    seen: list[str] = []
    while page := harness.do(harness.player_store.suspended(seen[-1] if seen else "", 100)):
        seen += page
    return seen


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["suspend", "reinstate", "show", "hide"]), st.booleans()), max_size=15)
)
def test_a_follower_of_the_changes_has_the_state_of_the_store(
    shared_harness: Harness, steps: list[tuple[int, str, bool]]
) -> None:
    player_store, do, name = shared_harness.player_store, shared_harness.do, f"example-{next(_ids)}"
    seen = do(player_store.revision())
    suspended: set[str] = set()
    private: set[str] = set()
    for number, what, poll in [*steps, (0, "suspend", True)]:
        user = f"{name}.{number}"
        if what in ("suspend", "reinstate"):
            do(player_store.suspend(order(user, what == "suspend")))
        else:
            do(player_store.change_settings(user, PlayerSettings(spectators=what == "show"), NOW))
        while poll and (changes := do(player_store.changes_since(seen, 2))):
            assert [change.revision for change in changes] == sorted({change.revision for change in changes})
            seen = changes[-1].revision
            for change in changes:
                if change.suspended is not None:
                    (suspended.add if change.suspended else suspended.discard)(change.user_id)
                if change.spectators is not None:
                    (private.discard if change.spectators else private.add)(change.user_id)
    assert suspended == {user for user in all_suspended(shared_harness) if user.startswith(f"{name}.")}
    assert private == {f"{name}.{number}" for number in range(3) if do(player_store.settings(f"{name}.{number}")) == PRIVATE}
