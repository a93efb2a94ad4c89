"""Tests of `scoreboard reset`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from scoreboard.domain.entries import RESET, ResetOrder, ResetResult
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.standings import Standing
from tests.awaiting import result_of
from tests.cli.harness import CliHarness

REASON = ("--reason", "cheated, ticket 4711")


def points_on_the_board(cli: CliHarness) -> dict[str, int]:
    return {row.user_id: row.points for row in result_of(cli.admin.board.page(0, 100)).rows}


def resets(cli: CliHarness) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = json.loads(cli.run("audit", "list", "--type", RESET, "--json").stdout)
    return entries


def test_reset_user_removes_a_player_from_the_board_and_keeps_the_history(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.award("user-2", number=2)
    ended = cli.run("reset", "user", "user-1", *REASON, "--yes")
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Reset to 0 points: 1 player (reset ")
    assert points_on_the_board(cli) == {"user-2": 100}
    assert len(json.loads(cli.run("audit", "list", "--user", "user-1", "--json").stdout)) == 2


def test_the_reset_entry_has_the_operator_and_the_reason(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.run("reset", "user", "user-1", *REASON, "--yes")
    (entry,) = resets(cli)
    assert entry["score_awarded"] == -100
    metadata = entry["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["operator"] == "ada"
    assert metadata["reason"] == "cheated, ticket 4711"


def test_the_operator_is_sudo_user_if_that_is_set(cli: CliHarness) -> None:
    cli.environ |= {"USER": "root", "SUDO_USER": "grace"}
    cli.award("user-1", number=1)
    assert json.loads(cli.run("reset", "user", "user-1", *REASON, "--yes", "--json").stdout)["operator"] == "grace"


def test_the_operator_is_the_account_without_environment_variables(cli: CliHarness) -> None:
    cli.environ.clear()
    cli.account = "backup"
    cli.award("user-1", number=1)
    assert json.loads(cli.run("reset", "user", "user-1", *REASON, "--yes", "--json").stdout)["operator"] == "backup"


def test_a_reset_has_the_time_of_its_commit(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    open_stores = cli.admin.open_stores

    async def slowly(*arguments: Any, **named: Any) -> Any:
        cli.clock.advance(1_800)
        return await open_stores(*arguments, **named)

    cli.admin.open_stores = slowly  # type: ignore[method-assign]  # the prompt is answered after half an hour
    committed_ms = int(cli.clock.seconds() + 1_800) * 1000
    assert cli.run("reset", "user", "user-1", *REASON, "--yes").exit_code == 0
    cli.admin.open_stores = open_stores  # type: ignore[method-assign]
    assert [entry["at_ms"] for entry in resets(cli)] == [committed_ms]


def test_reset_board_resets_every_player(cli: CliHarness) -> None:
    for number in range(5):
        cli.award(f"user-{number}", number=number)
    ended = cli.run("reset", "board", *REASON, "--yes", "--json")
    answer = json.loads(ended.stdout)
    assert (answer["players"], answer["operator"], answer["reason"]) == (5, "ada", "cheated, ticket 4711")
    assert points_on_the_board(cli) == {}
    assert len(resets(cli)) == 5
    assert cli.run("replay", "verify").exit_code == 0


def test_the_prompt_says_how_much_is_reset(cli: CliHarness) -> None:
    cli.award("user-1", 1_250, number=1, username="Ada\x1b[2J")
    asked = cli.run("reset", "user", "user-1", *REASON, answer="y\n")
    assert "user-1 (Ada\\x1b[2J) has 1,250 points. Reset this player to 0 points?" in asked.stderr
    assert points_on_the_board(cli) == {}
    cli.award("user-1", number=2)
    assert "1 player on the board. Reset ALL" in cli.run("reset", "board", *REASON, answer="y\n").stderr
    assert points_on_the_board(cli) == {}


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
@pytest.mark.parametrize("what", ["board", "user user-1"])
def test_no_and_a_missing_answer_change_nothing(cli: CliHarness, what: str, answer: str) -> None:
    cli.award("user-1", number=1)
    ended = cli.run("reset", *what.split(), *REASON, answer=answer)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert resets(cli) == []


def test_reset_user_exits_with_1_for_an_unknown_player(cli: CliHarness) -> None:
    assert cli.run("reset", "user", "user-9", *REASON, "--yes").exit_code == 1


def test_a_second_reset_adds_no_entry(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.run("reset", "user", "user-1", *REASON, "--yes")
    again = cli.run("reset", "user", "user-1", *REASON, "--yes")
    assert (again.exit_code, again.stdout) == (0, "Nothing to do: not on the board.\n")
    assert len(resets(cli)) == 1


def test_reset_changes_only_the_ledger_while_the_server_is_down(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.admin.board = None
    ended = cli.run("reset", "user", "user-1", *REASON, "--yes")
    assert ended.exit_code == 0
    assert "The server is not running" in ended.stderr
    assert len(resets(cli)) == 1


def test_a_reset_is_kept_and_exits_with_3_if_the_board_cannot_be_updated(cli: CliHarness) -> None:
    cli.award("user-1", number=1)

    async def project(stores: object, standings: Sequence[Standing]) -> None:
        raise StoreUnavailable("Redis does not answer")

    cli.admin.project = project  # type: ignore[method-assign]  # Redis does not answer
    ended = cli.run("reset", "user", "user-1", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "the reset is in the ledger" in ended.stderr
    assert len(resets(cli)) == 1


def test_locked_players_are_named_even_if_the_board_cannot_be_updated(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.award("user-1", number=1)
    cli.award("user-2", number=2)
    monkeypatch.setattr("cli.resets.HELD_S_MAX", 0.0)
    reset = cli.admin.ledger.reset

    async def one_is_held(order: ResetOrder) -> ResetResult:
        done = await reset(msgspec.structs.replace(order, user_ids=("user-1",)))
        return ResetResult(standings=done.standings, held=("user-2",))

    async def rebuild_board(*_: object) -> None:
        raise StoreUnavailable("Redis does not answer")

    cli.admin.ledger.reset = one_is_held  # another session of the database holds user-2
    cli.admin.rebuild_board = rebuild_board  # type: ignore[method-assign, assignment]  # and Redis does not answer
    ended = cli.run("reset", "board", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "1 player reset to 0 points; 1 player not reset" in ended.stderr
    assert "holds: user-2; the reset is in the ledger, but the board could not be updated (Redis does not answer)" in ended.stderr


@pytest.mark.parametrize("arguments", [[], ["--reason", " "], ["--reason", "x" * 501], ["--reason", "r", "--operator", "x" * 65]])
def test_a_reset_needs_a_reason_and_an_operator(cli: CliHarness, arguments: list[str]) -> None:
    cli.award("user-1", number=1)
    assert cli.run("reset", "user", "user-1", *arguments, "--yes").exit_code == 2
    cli.environ.clear()
    assert cli.run("reset", "user", "user-1", *REASON, "--yes").exit_code == 2
    assert resets(cli) == []
