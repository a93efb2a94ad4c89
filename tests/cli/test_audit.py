"""`scoreboard audit`: the ledger, read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.audit import PAGE_ENTRIES_MAX
from scoreboard.domain.entries import Entry, EntryFilter
from scoreboard.storage.memory_ledger import MemoryLedger
from tests.awaiting import result_of
from tests.cli.harness import House, a_claim, action_id


def numbers(output: str) -> list[int]:
    """The numbers of the actions that a JSON answer lists."""
    return [int(entry["action_id"][-12:], 16) for entry in json.loads(output)]


def test_the_newest_come_first(house: House) -> None:
    for number in range(30):
        house.award("user-1", number=number)
    assert numbers(house.scoreboard("audit", "list", "--json").stdout) == list(range(29, 9, -1))
    assert numbers(house.scoreboard("audit", "list", "--json", "--limit", "3").stdout) == [29, 28, 27]


def test_filters_narrow(house: House) -> None:
    for number in range(4):
        house.award(f"user-{number % 2}", number=number)
    assert numbers(house.scoreboard("audit", "list", "--json", "--user", "user-1").stdout) == [3, 1]
    assert numbers(house.scoreboard("audit", "list", "--json", "--action", action_id(2)).stdout) == [2]
    assert numbers(house.scoreboard("audit", "list", "--json", "--type", "OTHER").stdout) == []
    assert numbers(house.scoreboard("audit", "list", "--json", "--since", "2026-11-22T10:30:02").stdout) == [3, 2]
    assert numbers(house.scoreboard("audit", "list", "--json", "--until", "24h").stdout) == []


def test_the_table_fits_80_columns_and_shows_everything_in_full(house: House) -> None:
    house.award("user-123", 1_250, number=1)
    shown = house.scoreboard("audit", "list")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    for part in ("2026-11-22", "10:30:01", "user-123", "203.0.113.7", "COMPLETE_QUEST", action_id(1), "+1,250", "1 of 1 entries"):
        assert part in shown.stdout


def test_an_empty_ledger_says_so(house: House) -> None:
    assert house.scoreboard("audit", "list").stdout == "No entries.\n"


def test_an_entry_is_shown_with_what_was_said_of_it(house: House) -> None:
    house.award("user-1", number=7, agent="browser/1", metadata=(("difficulty", b'"hard"'), ("questId", b'"quest-1"')))
    shown = house.scoreboard("audit", "show", action_id(7))
    assert shown.exit_code == 0
    assert '{"difficulty": "hard", "questId": "quest-1"}' in shown.stdout
    entry = json.loads(house.scoreboard("audit", "show", action_id(7), "--json").stdout)
    assert entry["metadata"] == {"difficulty": "hard", "questId": "quest-1"}
    assert entry["user_agent"] == "browser/1"


def test_an_unknown_action_is_a_finding(house: House) -> None:
    shown = house.scoreboard("audit", "show", action_id(8))
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "no action 00000000" in shown.stderr
    assert json.loads(house.scoreboard("audit", "show", action_id(8), "--json").stdout) is None


@pytest.mark.parametrize("command", ["list", "show", "list --json", "show --json", "export", "export --json"])
def test_what_players_wrote_is_shown_and_never_obeyed(house: House, command: str) -> None:
    evil = "x\x1b]0;owned\x07\r\n\u202egpj.exe\x9b31m"
    house.award("user-1", number=1, agent=evil, address=evil, metadata=(("questId", json.dumps(evil).encode()),))
    name, *options = command.split()
    arguments = [action_id(1)] if name == "show" else []
    shown = house.scoreboard("audit", name, *arguments, *options)
    assert shown.exit_code == 0
    assert all(char.isprintable() or char == "\n" for char in shown.stdout)


def test_jsonl_keeps_every_text_as_it_was(house: House) -> None:
    house.award("user-1", number=1, agent="=1+1\x1b")
    (line,) = house.scoreboard("audit", "export", "--format", "jsonl").stdout.splitlines()
    assert json.loads(line)["user_agent"] == "=1+1\x1b"
    assert house.scoreboard("audit", "export", "--json").stdout == line + "\n"


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1", "＝1", "\t=1", "\r=1"])
def test_csv_computes_nothing(house: House, cell: str) -> None:
    house.award("user-1", number=1, agent=cell)
    (row,) = csv.DictReader(io.StringIO(house.scoreboard("audit", "export").stdout))
    assert row["user_agent"][0] in "'\\"


def test_csv_keeps_numbers_as_numbers_and_the_time_readable(house: House) -> None:
    house.award("user-1", number=1)
    house.scoreboard("reset", "user", "user-1", "--reason", "r", "--yes")
    awarded, reset = csv.DictReader(io.StringIO(house.scoreboard("audit", "export", "--until", "2027-01-01").stdout))
    assert (awarded["score_awarded"], reset["score_awarded"]) == ("100", "-100")
    assert awarded["at"] == "2026-11-22T10:30:01.000Z"


class PagingLedger(MemoryLedger):
    """A twin that remembers how it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        page = await super().entries(where, after, limit, newest_first)
        self.pages.append(len(page))
        return page


def with_entries(house: House, count: int) -> PagingLedger:
    ledger = PagingLedger()
    claims = [a_claim(f"user-{number % 7}", number=number, username="x") for number in range(count)]
    result_of(ledger.award(claims, []))
    house.root.ledger = ledger
    return ledger


def test_an_export_of_10000_entries_streams_bounded_pages_each_entry_once(house: House) -> None:
    ledger = with_entries(house, 10_000)
    lines = house.scoreboard("audit", "export", "--format", "jsonl").stdout.splitlines()
    assert [int(json.loads(line)["action_id"][-12:], 16) for line in lines] == list(range(10_000))
    assert max(ledger.pages) <= PAGE_ENTRIES_MAX


def test_an_export_ends_with_what_there_was_when_it_began(house: House) -> None:
    house.award("user-1", number=86_399)
    house.award("user-1", number=86_400)
    assert len(house.scoreboard("audit", "export", "--json").stdout.splitlines()) == 1


def test_an_export_to_a_file_is_complete_and_private(house: House, tmp_path: Path) -> None:
    with_entries(house, 2_500)
    out = tmp_path / "november.csv"
    ended = house.scoreboard("audit", "export", "--out", str(out))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"2,500 entries written to {out}\n")
    assert len(out.read_text().splitlines()) == 2_501
    assert out.stat().st_mode & 0o777 == 0o600


def test_an_export_that_fails_leaves_nothing_behind(house: House, tmp_path: Path) -> None:
    class Failing(MemoryLedger):
        async def entries(self, *_: Any, **__: Any) -> list[Entry]:
            raise RuntimeError("a fault")

    house.root.ledger = Failing()
    (tmp_path / "old.csv").write_text("kept")
    ended = house.scoreboard("audit", "export", "--out", str(tmp_path / "old.csv"))
    assert isinstance(ended.exception, RuntimeError)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("old.csv", "kept")]


def test_an_export_to_nowhere_is_one_line_and_3(house: House, tmp_path: Path) -> None:
    ended = house.scoreboard("audit", "export", "--out", str(tmp_path / "no" / "such.csv"))
    assert ended.exit_code == 3
    assert len(ended.stderr.splitlines()) == 1


def test_a_bar_shows_how_far_it_is_on_a_terminal_and_only_there(house: House, tmp_path: Path) -> None:
    with_entries(house, 2_500)
    shown = house.scoreboard("audit", "export", "--out", str(tmp_path / "x.csv"), terminal=True)
    assert "2500/2500" in shown.stderr
    assert shown.stdout == ""


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(house: House, tmp_path: Path) -> None:
    ended = house.scoreboard("audit", "export", "--out", str(tmp_path / "nowhere" / "november.csv"))
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == f"Error: {tmp_path}/nowhere/november.csv cannot be written: no such directory\n"
