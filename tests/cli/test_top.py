"""`scoreboard top`: the live board in the terminal."""

from __future__ import annotations

import json

import pytest

from scoreboard.boundaries import StoreUnavailable
from tests.cli.harness import House


def test_once_prints_the_board(house: House) -> None:
    house.award("user-1", 1_250, number=1, username="Ada")
    house.award("user-2", 900, number=2, username="Grace\x1b[31m\u202e")
    shown = house.scoreboard("top", "--once")
    assert shown.exit_code == 0
    lines = [line for line in shown.stdout.splitlines() if "user-" in line]
    assert lines[0].split() == ["1", "Ada", "user-1", "1,250", "2026-11-22", "10:30:01"]
    assert "Grace\\x1b[31m\\u202e" in lines[1]
    assert "2 players" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_long_names_do_not_push_the_points_off_80_columns(house: House) -> None:
    house.award("u" * 64, 2**53 - 1, number=1, username="n" * 100)
    shown = house.scoreboard("top")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    assert "9,007,199,254,740,991" in shown.stdout


def test_for_programs_it_is_one_page(house: House) -> None:
    house.award("user-1", number=1)
    page = json.loads(house.scoreboard("top", "--json").stdout)
    assert [(row["rank"], row["user_id"], row["points"]) for row in page["rows"]] == [(1, "user-1", 100)]
    assert page["total"] == 1


def test_without_redis_the_ledger_is_shown_and_it_says_so(house: House) -> None:
    house.award("user-1", number=1)
    house.root.board = None
    shown = house.scoreboard("top")
    assert shown.exit_code == 0
    assert "user-1" in shown.stdout
    assert "from the ledger, without Redis" in shown.stdout


def test_in_a_terminal_it_follows_until_ctrl_c(house: House) -> None:
    house.award("user-1", number=1)
    house.award("user-2", 50, number=2)
    house.clock.callLater(5, lambda: house.award("user-2", 950, number=3))
    shown = house.scoreboard("top", terminal=True)
    assert shown.exit_code == 0
    first, *_, last = shown.stdout.split("Rank")[1:]
    assert ("1,000" in first, "▲" in first, "▼" in first) == (False, False, False)
    assert ("1,000" in last, "▲" in last, "▼" in last) == (True, True, True)


def test_a_change_is_shown_at_once_and_silence_costs_a_look_an_interval(house: House) -> None:
    house.award("user-1", number=1)
    looks: list[float] = []
    page = house.root.board.page

    async def counted(offset: int, limit: int) -> object:
        looks.append(house.clock.seconds())
        return await page(offset, limit)

    house.root.board.page = counted
    house.clock.callLater(4.95, lambda: house.award("user-1", number=2))
    house.patience_s = 20
    house.scoreboard("top", "--interval", "10", terminal=True)
    assert [at - looks[0] for at in looks] == pytest.approx([0, 5, 15], abs=0.15)


def test_while_no_store_answers_the_last_state_stands(house: House) -> None:
    house.award("user-1", number=1)

    async def away(offset: int, limit: int) -> object:
        raise StoreUnavailable("it is away")

    def leave() -> None:
        house.root.board.page = house.root.ledger.top = away

    house.clock.callLater(5, leave)
    shown = house.scoreboard("top", terminal=True)
    last = shown.stdout[shown.stdout.rindex("Rank") :]
    assert "user-1" in last
    assert "it is away" in last
