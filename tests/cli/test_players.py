"""Tests of `scoreboard player`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerSettings
from tests.awaiting import result_of
from tests.cli.harness import NOW_MS, CliHarness, action_id

REASON = ("--reason", "cheated, ticket 4711")


def suspended(cli: CliHarness) -> list[str]:
    return result_of(cli.admin.player_store.suspended("", 100))


def shown(cli: CliHarness, user: str = "user-1") -> dict[str, Any]:
    known: dict[str, Any] = json.loads(cli.run("player", "show", user, "--json").stdout)
    return known


def test_both_orders_are_kept_after_suspending_and_reinstating_a_player(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    ended = cli.run("player", "suspend", "user-1", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout.partition(" (")[0]) == (0, "Suspended: user-1")
    assert suspended(cli) == ["user-1"]
    ended = cli.run("player", "reinstate", "user-1", "--reason", "appeal granted", "--operator", "grace", "--yes")
    assert (ended.exit_code, ended.stdout.partition(" (")[0]) == (0, "Reinstated: user-1")
    assert suspended(cli) == []
    shown_suspensions = shown(cli)["suspensions"]
    assert [(one["suspended"], one["operator"], one["reason"], one["at_ms"]) for one in shown_suspensions] == [
        (False, "grace", "appeal granted", NOW_MS),
        (True, "ada", "cheated, ticket 4711", NOW_MS),
    ]


def test_the_prompt_names_the_player_and_the_points(cli: CliHarness) -> None:
    cli.award("user-1", 1_250, number=1, username="Ada\x1b[2J")
    asked = cli.run("player", "suspend", "user-1", *REASON, answer="y\n")
    assert "user-1 (Ada\\x1b[2J) has 1,250 points. Suspend this player? [y/N]" in asked.stderr
    assert suspended(cli) == ["user-1"]
    asked = cli.run("player", "reinstate", "user-1", *REASON, answer="yes\n")
    assert "Reinstate this player? [y/N]" in asked.stderr
    assert suspended(cli) == []


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_no_and_a_missing_answer_change_nothing(cli: CliHarness, answer: str) -> None:
    ended = cli.run("player", "suspend", "user-1", *REASON, answer=answer)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert suspended(cli) == []


def test_a_player_can_be_suspended_before_the_first_score(cli: CliHarness) -> None:
    ended = cli.run("player", "suspend", "user-9", *REASON, answer="y\n")
    assert ended.exit_code == 0
    assert "The ledger has no player user-9 (yet). Suspend this player?" in ended.stderr
    assert suspended(cli) == ["user-9"]
    assert cli.run("player", "show", "user-9").exit_code == 0


@pytest.mark.parametrize(("first", "again"), [("suspend", "is suspended already"), ("reinstate", "is not suspended")])
def test_an_order_that_changes_nothing_exits_with_1_without_a_prompt(cli: CliHarness, first: str, again: str) -> None:
    cli.award("user-1", number=1)
    if first == "suspend":
        cli.run("player", first, "user-1", *REASON, "--yes")
    for answer in ((), ("--yes",)):
        ended = cli.run("player", first, "user-1", *REASON, *answer)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", f"Error: user-1 {again}\n")


@pytest.mark.parametrize("what", ["suspend", "reinstate"])
def test_yes_does_not_hide_a_user_id_that_was_typed_wrongly(cli: CliHarness, what: str) -> None:
    cli.award("user-1", number=1)
    ended = cli.run("player", what, "usr-1", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "Error: nothing is known of a player usr-1\n")
    assert suspended(cli) == []


def test_a_player_of_whom_nothing_is_known_can_be_suspended_on_purpose(cli: CliHarness) -> None:
    assert cli.run("player", "suspend", "user-9", *REASON, "--yes", "--unknown").exit_code == 0
    assert suspended(cli) == ["user-9"]


def test_json_output_is_the_order_as_stored(cli: CliHarness) -> None:
    printed = json.loads(cli.run("player", "suspend", "user-1", *REASON, "--yes", "--unknown", "--json").stdout)
    assert printed == shown(cli)["suspensions"][0]
    assert printed.keys() == {"suspension_id", "user_id", "suspended", "operator", "reason", "at_ms"}


@pytest.mark.parametrize("what", ["suspend", "reinstate"])
@pytest.mark.parametrize(
    "arguments", [["user-1"], ["user-1", "--reason", " "], ["user-1", "--reason", "x" * 501], ["a/b", *REASON], ["", *REASON]]
)
def test_an_order_needs_a_reason_and_a_valid_user_id(cli: CliHarness, what: str, arguments: list[str]) -> None:
    assert cli.run("player", what, *arguments, "--yes").exit_code == 2
    assert result_of(cli.admin.player_store.revision()) == 0


def test_show_prints_all_details_in_80_columns(cli: CliHarness) -> None:
    cli.award("user-1", 100, number=1, username="Ada\x1b[2J", milestones=(100, 500))
    cli.award("user-1", 12_345, number=2, username="Ada\x1b[2J", milestones=(100, 500))
    cli.award("user-2", 99_999, number=3)
    result_of(cli.admin.player_store.change_settings("user-1", PlayerSettings(spectators=False), NOW_MS))
    cli.run("player", "suspend", "user-1", "--reason", "cheated in every quest there is " * 5 + "\x1b[31m", "--yes")
    ended = cli.run("player", "show", "user-1")
    assert ended.exit_code == 0
    text_lines = ended.stdout.splitlines()
    assert max(map(len, text_lines)) <= 80
    assert [" ".join(text_line.split()) for text_line in text_lines[:7]] == [
        "player user-1",
        "name Ada\\x1b[2J",
        "points 12,445",
        "rank 2 of 2",
        "changed 2026-11-22 10:30:02 UTC",
        "spectators may not follow",
        "suspended YES",
    ]
    printed = " ".join(ended.stdout.split())
    assert f"100 2026-11-22 10:30:01 {action_id(1)} 500 2026-11-22 10:30:02 {action_id(2)}" in printed
    assert "2026-11-23 10:30:00 suspended ada cheated in every quest" in printed
    assert "\x1b" not in ended.stdout


def test_show_prints_all_details_as_json(cli: CliHarness) -> None:
    award = cli.award("user-1", number=1, milestones=(100,))
    known = shown(cli)
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


@pytest.mark.parametrize("state", ["not running", "not answering"])
def test_show_without_redis_prints_all_details_but_the_rank(cli: CliHarness, state: str) -> None:
    cli.award("user-1", number=1)
    if state == "not running":
        cli.admin.board = None
    else:
        cli.admin.board.broken = StoreUnavailable("Redis does not answer")
    ended = cli.run("player", "show", "user-1")
    assert ended.exit_code == 0
    assert "unknown: Redis does not answer" in ended.stdout
    assert (shown(cli)["rank"], shown(cli)["players"]) == (None, None)


def test_show_exits_with_1_for_an_unknown_player(cli: CliHarness) -> None:
    ended = cli.run("player", "show", "user-9")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "Error: nothing is known of a player user-9\n")
    ended = cli.run("player", "show", "user-9", "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["account"]) == (1, None)


def test_an_unreachable_player_store_exits_with_3(cli: CliHarness) -> None:
    cli.admin.player_store.broken = StoreUnavailable("the register does not answer")
    for arguments in (("show", "user-1"), ("suspend", "user-1", *REASON, "--yes")):
        ended = cli.run("player", *arguments)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "", "Error: the register does not answer\n")
