"""`scoreboard player`: what is known of one, and who may not come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.players import PlayerSettings
from tests.awaiting import result_of
from tests.cli.harness import NOW_MS, House, action_id

REASON = ("--reason", "cheated, ticket 4711")


def suspended(house: House) -> list[str]:
    return result_of(house.root.register.suspended("", 100))


def shown(house: House, user: str = "user-1") -> dict[str, Any]:
    known: dict[str, Any] = json.loads(house.scoreboard("player", "show", user, "--json").stdout)
    return known


def test_a_player_is_suspended_and_reinstated_and_both_orders_stay(house: House) -> None:
    house.award("user-1", number=1)
    ended = house.scoreboard("player", "suspend", "user-1", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout.partition(" (")[0]) == (0, "Suspended: user-1")
    assert suspended(house) == ["user-1"]
    ended = house.scoreboard("player", "reinstate", "user-1", "--reason", "appeal granted", "--operator", "grace", "--yes")
    assert (ended.exit_code, ended.stdout.partition(" (")[0]) == (0, "Reinstated: user-1")
    assert suspended(house) == []
    orders = shown(house)["suspensions"]
    assert [(one["suspended"], one["operator"], one["reason"], one["at_ms"]) for one in orders] == [
        (False, "grace", "appeal granted", NOW_MS),
        (True, "ada", "cheated, ticket 4711", NOW_MS),
    ]


def test_it_asks_and_says_whom_it_is_about(house: House) -> None:
    house.award("user-1", 1_250, number=1, username="Ada\x1b[2J")
    asked = house.scoreboard("player", "suspend", "user-1", *REASON, answer="y\n")
    assert "user-1 (Ada\\x1b[2J) has 1,250 points. Suspend this player? [y/N]" in asked.stderr
    assert suspended(house) == ["user-1"]
    asked = house.scoreboard("player", "reinstate", "user-1", *REASON, answer="yes\n")
    assert "Reinstate this player? [y/N]" in asked.stderr
    assert suspended(house) == []


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_no_answer_and_a_no_change_nothing(house: House, answer: str) -> None:
    ended = house.scoreboard("player", "suspend", "user-1", *REASON, answer=answer)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert suspended(house) == []


def test_a_player_may_be_suspended_before_the_first_score(house: House) -> None:
    ended = house.scoreboard("player", "suspend", "user-9", *REASON, answer="y\n")
    assert ended.exit_code == 0
    assert "The ledger has no player user-9 (yet). Suspend this player?" in ended.stderr
    assert suspended(house) == ["user-9"]
    assert house.scoreboard("player", "show", "user-9").exit_code == 0


@pytest.mark.parametrize(("first", "again"), [("suspend", "is suspended already"), ("reinstate", "is not suspended")])
def test_an_order_that_changes_nothing_is_a_finding_and_is_not_asked_about(house: House, first: str, again: str) -> None:
    if first == "suspend":
        house.scoreboard("player", first, "user-1", *REASON, "--yes")
    for answer in ((), ("--yes",)):
        ended = house.scoreboard("player", first, "user-1", *REASON, *answer)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", f"Error: user-1 {again}\n")


def test_an_order_for_programs_is_the_order_as_it_was_entered(house: House) -> None:
    printed = json.loads(house.scoreboard("player", "suspend", "user-1", *REASON, "--yes", "--json").stdout)
    assert printed == shown(house)["suspensions"][0]
    assert printed.keys() == {"suspension_id", "user_id", "suspended", "operator", "reason", "at_ms"}


@pytest.mark.parametrize("what", ["suspend", "reinstate"])
@pytest.mark.parametrize(
    "arguments", [["user-1"], ["user-1", "--reason", " "], ["user-1", "--reason", "x" * 501], ["a/b", *REASON], ["", *REASON]]
)
def test_an_order_has_a_reason_and_is_about_somebody(house: House, what: str, arguments: list[str]) -> None:
    assert house.scoreboard("player", what, *arguments, "--yes").exit_code == 2
    assert result_of(house.root.register.turn()) == 0


def test_everything_that_is_known_is_shown_in_80_columns(house: House) -> None:
    house.award("user-1", 100, number=1, username="Ada\x1b[2J", milestones=(100, 500))
    house.award("user-1", 12_345, number=2, username="Ada\x1b[2J", milestones=(100, 500))
    house.award("user-2", 99_999, number=3)
    result_of(house.root.register.change_settings("user-1", PlayerSettings(spectators=False), NOW_MS))
    house.scoreboard("player", "suspend", "user-1", "--reason", "cheated in every quest there is " * 5 + "\x1b[31m", "--yes")
    ended = house.scoreboard("player", "show", "user-1")
    assert ended.exit_code == 0
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [" ".join(line.split()) for line in lines[:7]] == [
        "player user-1",
        "name Ada\\x1b[2J",
        "points 12,445",
        "rank 2 of 2",
        "changed 2026-11-22 10:30:02 UTC",
        "spectators may not follow",
        "suspended YES",
    ]
    told = " ".join(ended.stdout.split())
    assert f"100 2026-11-22 10:30:01 {action_id(1)} 500 2026-11-22 10:30:02 {action_id(2)}" in told
    assert "2026-11-23 10:30:00 suspended ada cheated in every quest" in told
    assert "\x1b" not in ended.stdout


def test_everything_that_is_known_for_programs(house: House) -> None:
    award = house.award("user-1", number=1, milestones=(100,))
    known = shown(house)
    assert known["account"] == {
        "user_id": "user-1",
        "username": "user-1",
        "avatar": None,
        "points": 100,
        "version": 1,
        "reached_at_ms": award.claim.at_ms,
        "updated_at_ms": award.claim.at_ms,
    }
    assert (known["user_id"], known["rank"], known["players"], known["suspended"]) == ("user-1", 1, 1, False)
    assert known["settings"] == {"spectators": True}
    assert known["achievements"] == [{"milestone": 100, "action_id": action_id(1), "at_ms": award.claim.at_ms}]
    assert known["suspensions"] == []


@pytest.mark.parametrize("away", ["nobody runs it", "it does not answer"])
def test_without_redis_all_but_the_rank_is_shown(house: House, away: str) -> None:
    house.award("user-1", number=1)
    if away == "nobody runs it":
        house.root.board = None
    else:
        house.root.board.broken = StoreUnavailable("Redis does not answer")
    ended = house.scoreboard("player", "show", "user-1")
    assert ended.exit_code == 0
    assert "unknown: Redis does not answer" in ended.stdout
    assert (shown(house)["rank"], shown(house)["players"]) == (None, None)


def test_a_player_of_whom_nothing_is_known_is_a_finding(house: House) -> None:
    ended = house.scoreboard("player", "show", "user-9")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "Error: nothing is known of a player user-9\n")
    ended = house.scoreboard("player", "show", "user-9", "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["account"]) == (1, None)


def test_a_register_that_does_not_answer_is_3(house: House) -> None:
    house.root.register.broken = StoreUnavailable("the register does not answer")
    for arguments in (("show", "user-1"), ("suspend", "user-1", *REASON, "--yes")):
        ended = house.scoreboard("player", *arguments)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "", "Error: the register does not answer\n")
