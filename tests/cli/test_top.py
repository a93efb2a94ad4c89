"""Tests of `scoreboard top`."""

from __future__ import annotations

import json

import pytest

from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.judgement import DAY_MS
from scoreboard.domain.periods import Slots
from tests.awaiting import result_of
from tests.cli.harness import NOW_MS, CliHarness

WINS = BoardDefinition(board_id="wins", title="Wins")


def test_once_prints_the_board(cli: CliHarness) -> None:
    cli.award("user-1", 1_250, number=1, username="Ada")
    cli.award("user-2", 900, number=2, username="Grace\x1b[31m\u202e")
    shown = cli.run("top", "--once")
    assert shown.exit_code == 0
    text_lines = [text_line for text_line in shown.stdout.splitlines() if "user-" in text_line]
    assert text_lines[0].split() == ["1", "Ada", "user-1", "1,250", "2026-11-22", "10:30:01"]
    assert "Grace\\x1b[31m\\u202e" in text_lines[1]
    assert "2 players" in shown.stdout
    assert max(len(text_line) for text_line in shown.stdout.splitlines()) <= 80


def test_long_names_do_not_push_the_points_off_80_columns(cli: CliHarness) -> None:
    cli.award("u" * 64, 2**53 - 1, number=1, username="n" * 100)
    shown = cli.run("top")
    assert max(len(text_line) for text_line in shown.stdout.splitlines()) <= 80
    assert "9,007,199,254,740,991" in shown.stdout


def test_json_output_is_one_page(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    page = json.loads(cli.run("top", "--json").stdout)
    assert [(row["rank"], row["user_id"], row["points"]) for row in page["rows"]] == [(1, "user-1", 100)]
    assert (page["total"], page["board"], page["bucket"]) == (1, "global", None)


def test_top_shows_the_ledger_without_redis_and_says_so(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.admin.board = None
    shown = cli.run("top")
    assert shown.exit_code == 0
    assert "user-1" in shown.stdout
    assert "from the ledger, without Redis" in shown.stdout


def test_top_follows_the_board_in_a_terminal_until_ctrl_c(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.award("user-2", 50, number=2)
    cli.clock.callLater(5, lambda: cli.award("user-2", 950, number=3))
    shown = cli.run("top", terminal=True)
    assert shown.exit_code == 0
    first, *_, last = shown.stdout.split("Rank")[1:]
    assert ("1,000" in first, "▲" in first, "▼" in first) == (False, False, False)
    assert ("1,000" in last, "▲" in last, "▼" in last) == (True, True, True)


def test_top_refreshes_after_a_change_and_once_an_interval(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    reads: list[float] = []
    page = cli.admin.board.page

    async def counted(offset: int, limit: int) -> object:
        reads.append(cli.clock.seconds())
        return await page(offset, limit)

    cli.admin.board.page = counted
    cli.clock.callLater(4.95, lambda: cli.award("user-1", number=2))
    cli.timeout_s = 20
    cli.run("top", "--interval", "10", terminal=True)
    assert [at - reads[0] for at in reads] == pytest.approx([0, 5, 15], abs=0.15)


def test_top_keeps_the_last_page_while_no_store_answers(cli: CliHarness) -> None:
    cli.award("user-1", number=1)

    def stop_answering() -> None:
        cli.admin.board.broken, cli.admin.ledger.broken = True, StoreUnavailable("no answer")

    cli.clock.callLater(5, stop_answering)
    shown = cli.run("top", terminal=True)
    last = shown.stdout[shown.stdout.rindex("Rank") :]
    assert "user-1" in last
    assert "no answer" in last


def test_top_shows_another_board(cli: CliHarness) -> None:
    result_of(cli.admin.ledger.declare_boards([WINS]))
    result_of(cli.admin.ledger.fill_boards(100))
    cli.award("user-1", 1_250, number=1)
    shown = cli.run("top", "--board", "wins", "--once")
    assert ("user-1" in shown.stdout, "1,250" in shown.stdout, "1 player " in shown.stdout) == (True, True, True)
    cli.admin.board = None
    assert "from the ledger, without Redis" in cli.run("top", "--board", "wins").stdout


@pytest.mark.parametrize("has_redis", [True, False], ids=["with Redis", "without Redis"])
def test_top_says_which_bucket_it_shows_and_goes_on_with_the_next_one(cli: CliHarness, has_redis: bool) -> None:
    minutes = BoardDefinition(board_id="minutes", title="Minutes", period=Slots(length_ms=60_000))
    result_of(cli.admin.ledger.declare_boards([minutes]))
    result_of(cli.admin.ledger.fill_boards(100))
    cli.award("user-1", number=1)
    if not has_redis:
        cli.admin.board = None
    began_s = cli.clock.seconds()
    cli.admin.ledger.now_ms = lambda: NOW_MS - DAY_MS + 1_000 + int(1_000 * (cli.clock.seconds() - began_s))
    cli.timeout_s = 75
    shown = cli.run("top", "--board", "minutes", terminal=True).stdout
    first, *_, last = shown.split("minutes ")[1:]
    assert (first[:17], last[:17]) == ("2026-11-22T10:30Z", "2026-11-22T10:31Z")
    assert "0 players" in last
    if not has_redis:  # the board of the fakes is not set
        assert ("user-1" in first, "user-1" in last) == (True, False)


def test_a_board_that_does_not_exist_is_a_usage_error(cli: CliHarness) -> None:
    shown = cli.run("top", "--board", "weekly")
    assert (shown.exit_code, shown.stderr) == (2, "Error: there is no board weekly; there are global\n")
