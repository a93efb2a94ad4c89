"""`scoreboard reset`: back to nothing, by entries of their own, seen by everyone who watches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from scoreboard.boundaries import StoreUnavailable
from scoreboard.domain.entries import RESET, ResetOrder, TakenBack
from scoreboard.domain.values import Standing
from tests.awaiting import result_of
from tests.cli.harness import House

REASON = ("--reason", "cheated, ticket 4711")


def points_on_the_board(house: House) -> dict[str, int]:
    return {row.user_id: row.points for row in result_of(house.root.board.page(0, 100)).rows}


def resets(house: House) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = json.loads(house.scoreboard("audit", "list", "--type", RESET, "--json").stdout)
    return entries


def test_a_player_is_taken_off_the_board_and_the_history_stays(house: House) -> None:
    house.award("user-1", number=1)
    house.award("user-2", number=2)
    ended = house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    assert ended.exit_code == 0
    assert ended.stdout.startswith("Taken back to nothing: 1 player (reset ")
    assert points_on_the_board(house) == {"user-2": 100}
    assert len(json.loads(house.scoreboard("audit", "list", "--user", "user-1", "--json").stdout)) == 2


def test_the_entry_tells_who_and_why(house: House) -> None:
    house.award("user-1", number=1)
    house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    (entry,) = resets(house)
    assert entry["score_awarded"] == -100
    metadata = entry["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["operator"] == "ada"
    assert metadata["reason"] == "cheated, ticket 4711"


def test_whoever_became_root_is_still_who_they_are(house: House) -> None:
    house.environ |= {"USER": "root", "SUDO_USER": "grace"}
    house.award("user-1", number=1)
    assert json.loads(house.scoreboard("reset", "user", "user-1", *REASON, "--yes", "--json").stdout)["operator"] == "grace"


def test_where_no_variable_tells_the_account_does(house: House) -> None:
    house.environ.clear()
    house.account = "backup"
    house.award("user-1", number=1)
    assert json.loads(house.scoreboard("reset", "user", "user-1", *REASON, "--yes", "--json").stdout)["operator"] == "backup"


def test_a_reset_happens_when_it_is_committed_not_when_it_was_asked_for(house: House) -> None:
    house.award("user-1", number=1)
    open_stores = house.root.open_stores

    async def slowly(*arguments: Any, **named: Any) -> Any:
        house.clock.advance(1_800)
        return await open_stores(*arguments, **named)

    house.root.open_stores = slowly  # type: ignore[method-assign]  # somebody thinks about the answer for half an hour
    committed_ms = int(house.clock.seconds() + 1_800) * 1000
    assert house.scoreboard("reset", "user", "user-1", *REASON, "--yes").exit_code == 0
    house.root.open_stores = open_stores  # type: ignore[method-assign]
    assert [entry["at_ms"] for entry in resets(house)] == [committed_ms]


def test_the_whole_board_is_emptied(house: House) -> None:
    for number in range(5):
        house.award(f"user-{number}", number=number)
    ended = house.scoreboard("reset", "board", *REASON, "--yes", "--json")
    answer = json.loads(ended.stdout)
    assert (answer["players"], answer["operator"], answer["reason"]) == (5, "ada", "cheated, ticket 4711")
    assert points_on_the_board(house) == {}
    assert len(resets(house)) == 5
    assert house.scoreboard("replay", "verify").exit_code == 0


def test_it_asks_and_says_what_is_at_stake(house: House) -> None:
    house.award("user-1", 1_250, number=1, username="Ada\x1b[2J")
    asked = house.scoreboard("reset", "user", "user-1", *REASON, answer="y\n")
    assert "user-1 (Ada\\x1b[2J) has 1,250 points. Take this player back to nothing?" in asked.stderr
    assert points_on_the_board(house) == {}
    house.award("user-1", number=2)
    assert "1 player on the board. Take ALL" in house.scoreboard("reset", "board", *REASON, answer="y\n").stderr
    assert points_on_the_board(house) == {}


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
@pytest.mark.parametrize("what", ["board", "user user-1"])
def test_no_answer_and_a_no_change_nothing(house: House, what: str, answer: str) -> None:
    house.award("user-1", number=1)
    ended = house.scoreboard("reset", *what.split(), *REASON, answer=answer)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert resets(house) == []


def test_a_player_whom_the_ledger_does_not_know_is_a_finding(house: House) -> None:
    assert house.scoreboard("reset", "user", "user-9", *REASON, "--yes").exit_code == 1


def test_twice_is_once(house: House) -> None:
    house.award("user-1", number=1)
    house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    again = house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    assert (again.exit_code, again.stdout) == (0, "Nothing to do: already off the board.\n")
    assert len(resets(house)) == 1


def test_while_the_server_is_down_the_ledger_alone_is_reset(house: House) -> None:
    house.award("user-1", number=1)
    house.root.board = None
    ended = house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    assert ended.exit_code == 0
    assert "The server is not running" in ended.stderr
    assert len(resets(house)) == 1


def test_a_board_that_cannot_be_told_is_3_and_the_reset_stands(house: House) -> None:
    house.award("user-1", number=1)

    async def project(stores: object, standings: Sequence[Standing]) -> None:
        raise StoreUnavailable("Redis does not answer")

    house.root.project = project  # type: ignore[method-assign]  # a root whose Redis is away
    ended = house.scoreboard("reset", "user", "user-1", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "the reset is in the ledger" in ended.stderr
    assert len(resets(house)) == 1


def test_players_who_were_not_reset_are_named_although_the_board_cannot_be_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.award("user-1", number=1)
    house.award("user-2", number=2)
    monkeypatch.setattr("cli.resets.HELD_S_MAX", 0.0)
    reset = house.root.ledger.reset

    async def one_is_held(order: ResetOrder) -> TakenBack:
        done = await reset(msgspec.structs.replace(order, user_ids=("user-1",)))
        return TakenBack(standings=done.standings, held=("user-2",))

    async def redraw(stores: object) -> None:
        raise StoreUnavailable("Redis does not answer")

    house.root.ledger.reset = one_is_held  # another session of the database holds user-2
    house.root.redraw = redraw  # type: ignore[method-assign, assignment]  # and Redis is away
    ended = house.scoreboard("reset", "board", *REASON, "--yes")
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "1 player taken back to nothing; 1 player not reset" in ended.stderr
    assert "holds: user-2; the reset is in the ledger, but the board could not be told (Redis does not answer)" in ended.stderr


@pytest.mark.parametrize("arguments", [[], ["--reason", " "], ["--reason", "x" * 501], ["--reason", "r", "--operator", "x" * 65]])
def test_every_reset_has_a_reason_and_an_operator(house: House, arguments: list[str]) -> None:
    house.award("user-1", number=1)
    assert house.scoreboard("reset", "user", "user-1", *arguments, "--yes").exit_code == 2
    house.environ.clear()
    assert house.scoreboard("reset", "user", "user-1", *REASON, "--yes").exit_code == 2
    assert resets(house) == []
