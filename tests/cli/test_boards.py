"""Tests of `scoreboard board`."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.judgement import DAY_MS
from scoreboard.domain.periods import CalendarPeriod, Slots
from scoreboard.zones import zone_named
from tests.awaiting import result_of
from tests.cli.harness import NOW_MS, CliHarness

GLOBAL = BoardDefinition(board_id="global", title="All time")
DAILY = BoardDefinition(
    board_id="daily", title="Today", period=CalendarPeriod(unit="daily", zone=zone_named("UTC")), keep_closed=7
)
QUESTS = BoardDefinition(board_id="quests", title="Quests", counts=frozenset({"COMPLETE_QUEST"}))


def declare(cli: CliHarness, *boards: BoardDefinition, filled: bool = True) -> None:
    result_of(cli.admin.ledger.declare_boards(boards))
    while filled and result_of(cli.admin.ledger.fill_boards(100)):
        pass


def test_the_list_shows_the_present_buckets_and_the_players(cli: CliHarness) -> None:
    cli.admin.ledger.now_ms = lambda: NOW_MS - DAY_MS  # the day of the awards
    declare(cli, DAILY, QUESTS)
    cli.award("user-1", number=1)
    cli.award("user-2", number=2)
    shown = cli.run("board", "list")
    assert shown.exit_code == 0
    text_lines = [text_line.split() for text_line in shown.stdout.splitlines()]
    assert text_lines[2:] == [
        ["global", "All", "time", "2"],
        ["daily", "Today", "2026-11-22", "2026-11-23", "00:00:00", "2"],
        ["quests", "Quests", "2"],
    ]
    assert json.loads(cli.run("board", "list", "--json").stdout)[1] == {
        "board": "daily",
        "title": "Today",
        "bucket": "2026-11-22",
        "ends_at_ms": 1_795_392_000_000,
        "players": 2,
    }


def test_a_board_that_lacks_standings_is_being_filled(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    declare(cli, DAILY, filled=False)
    assert "being filled" in cli.run("board", "list").stdout
    assert json.loads(cli.run("board", "list", "--json").stdout)[1]["players"] is None


def test_the_plan_says_what_a_start_would_change(cli: CliHarness) -> None:
    declare(cli, DAILY, QUESTS)
    hourly = BoardDefinition(board_id="hourly", title="This hour", period=Slots(length_ms=3_600_000))
    cli.admin.boards = (GLOBAL, replace(DAILY, title="One day"), hourly)
    shown = cli.run("board", "plan")
    assert shown.stdout.splitlines() == [
        "With /etc/boards.toml:",
        "daily gets another title, keep_closed or seasons.",
        "hourly is added; its standings are filled in from all entries while the server runs.",
        "quests is removed with its standings; the entries stay, so it can be declared again.",
    ]
    assert json.loads(cli.run("board", "plan", "--json").stdout) == [
        {"board": "daily", "change": "changed"},
        {"board": "hourly", "change": "added"},
        {"board": "quests", "change": "removed"},
    ]
    assert [one.definition.title for one in result_of(cli.admin.ledger.fed_boards())] == ["Today", "Quests"], "it only looks"


def test_a_plan_without_changes_says_so(cli: CliHarness) -> None:
    declare(cli, DAILY)
    cli.admin.boards = (GLOBAL, DAILY)
    assert cli.run("board", "plan").stdout == "With /etc/boards.toml nothing would change.\n"
    assert json.loads(cli.run("board", "plan", "--json").stdout) == []


@pytest.mark.parametrize(
    ("boards", "bad", "message"),
    [
        ((GLOBAL, replace(DAILY, score="best")), "", "[daily] score cannot be changed: declare a board of another name"),
        ((GLOBAL,), "[daily] period should be daily, weekly or monthly", "[daily] period should be daily, weekly or monthly"),
    ],
)
def test_a_wrong_file_ends_with_78(cli: CliHarness, boards: tuple[BoardDefinition, ...], bad: str, message: str) -> None:
    declare(cli, DAILY)
    cli.admin.boards, cli.admin.bad_boards = boards, bad
    shown = cli.run("board", "plan")
    assert (shown.exit_code, shown.stdout) == (78, "")
    assert message in shown.stderr
