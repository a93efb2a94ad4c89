"""Tests of `scoreboard audit`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.audit import PAGE_ENTRIES_MAX
from scoreboard.domain.entries import Entry, EntryFilter
from scoreboard.storage.memory.ledger import MemoryLedger
from tests.awaiting import result_of
from tests.cli.harness import CliHarness, action_id, make_claim


def numbers(output: str) -> list[int]:
    """The numbers of the actions that a JSON answer lists."""
    return [int(entry["action_id"][-12:], 16) for entry in json.loads(output)]


def test_list_shows_the_newest_entries_first(cli: CliHarness) -> None:
    for number in range(30):
        cli.award("user-1", number=number)
    assert numbers(cli.run("audit", "list", "--json").stdout) == list(range(29, 9, -1))
    assert numbers(cli.run("audit", "list", "--json", "--limit", "3").stdout) == [29, 28, 27]


def test_list_filters_by_user_action_type_and_time(cli: CliHarness) -> None:
    for number in range(4):
        cli.award(f"user-{number % 2}", number=number)
    assert numbers(cli.run("audit", "list", "--json", "--user", "user-1").stdout) == [3, 1]
    assert numbers(cli.run("audit", "list", "--json", "--action", action_id(2)).stdout) == [2]
    assert numbers(cli.run("audit", "list", "--json", "--type", "WIN_MATCH").stdout) == []
    assert numbers(cli.run("audit", "list", "--json", "--since", "2026-11-22T10:30:02").stdout) == [3, 2]
    assert numbers(cli.run("audit", "list", "--json", "--until", "24h").stdout) == []


def test_the_table_fits_80_columns_and_cuts_nothing(cli: CliHarness) -> None:
    cli.award("user-123", 1_250, number=1)
    shown = cli.run("audit", "list")
    assert max(len(text_line) for text_line in shown.stdout.splitlines()) <= 80
    for piece in (
        "2026-11-22",
        "10:30:01",
        "user-123",
        "203.0.113.7",
        "COMPLETE_QUEST",
        action_id(1),
        "+1,250",
        "1 of 1 entries",
    ):
        assert piece in shown.stdout


def test_list_reports_an_empty_ledger(cli: CliHarness) -> None:
    assert cli.run("audit", "list").stdout == "No entries.\n"


@pytest.mark.parametrize("command", ["list", "list --json", "export", "export --json"])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--user=usr-1", "the ledger has no player usr-1"),
        ("--type=NOPE", "the ledger has no action type NOPE; the catalogue has COMPLETE_QUEST, WIN_MATCH, RESET"),
        ("--action=6f1c2b34", "the ledger has no action 6f1c2b34"),
    ],
)
def test_a_name_that_the_ledger_does_not_have_is_named(cli: CliHarness, command: str, option: str, said: str) -> None:
    cli.award("user-1", number=1)
    ended = cli.run("audit", *command.split(), option)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", f"Error: {said}\n")


@pytest.mark.parametrize("command", ["list", "export"])
def test_a_type_of_the_catalogue_without_entries_is_no_error(cli: CliHarness, command: str) -> None:
    cli.award("user-1", number=1)
    ended = cli.run("audit", command, "--type", "WIN_MATCH")
    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--since 2030-01-01", "Invalid value for --since: '2030-01-01' is in the future; see `scoreboard audit list --help`"),
        ("--since 2d --until 3d", "--until must be later than --since; see `scoreboard audit list --help`"),
        ("--since 2026-13-01", "'2026-13-01' is no time; write 2h or 7d (ago), 2026-11-23, or 2026-11-23T10:30 (UTC)"),
        ("--limit 0", "Invalid value for '--limit' / '-n': "),
        ("--typ X", "No such option"),
        ("extra", "extra argument"),
    ],
)
def test_wrong_usage_is_one_line(cli: CliHarness, options: str, said: str) -> None:
    ended = cli.run("audit", "list", *options.split())
    assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert said in ended.stderr


def test_show_prints_an_entry_with_its_metadata_and_user_agent(cli: CliHarness) -> None:
    cli.award("user-1", number=7, agent="browser/1", metadata=(("difficulty", b'"hard"'), ("questId", b'"quest-1"')))
    shown = cli.run("audit", "show", action_id(7))
    assert shown.exit_code == 0
    assert '{"difficulty": "hard", "questId": "quest-1"}' in shown.stdout
    entry = json.loads(cli.run("audit", "show", action_id(7), "--json").stdout)
    assert entry["metadata"] == {"difficulty": "hard", "questId": "quest-1"}
    assert entry["user_agent"] == "browser/1"


def test_show_exits_with_1_for_an_unknown_action(cli: CliHarness) -> None:
    shown = cli.run("audit", "show", action_id(8))
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "no action 00000000" in shown.stderr
    assert json.loads(cli.run("audit", "show", action_id(8), "--json").stdout) is None


@pytest.mark.parametrize("command", ["list", "show", "list --json", "show --json", "export", "export --json"])
def test_control_characters_in_client_text_are_escaped(cli: CliHarness, command: str) -> None:
    hostile = "x\x1b]0;owned\x07\r\n\u202egpj.exe\x9b31m"
    cli.award("user-1", number=1, agent=hostile, address=hostile, metadata=(("questId", json.dumps(hostile).encode()),))
    name, *options = command.split()
    arguments = [action_id(1)] if name == "show" else []
    shown = cli.run("audit", name, *arguments, *options)
    assert shown.exit_code == 0
    assert all(char.isprintable() or char == "\n" for char in shown.stdout)


def test_a_jsonl_export_keeps_texts_unchanged(cli: CliHarness) -> None:
    cli.award("user-1", number=1, agent="=1+1\x1b")
    (text_line,) = cli.run("audit", "export", "--format", "jsonl").stdout.splitlines()
    assert json.loads(text_line)["user_agent"] == "=1+1\x1b"
    assert cli.run("audit", "export", "--json").stdout == text_line + "\n"


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1", "＝1", "\t=1", "\r=1"])
def test_a_csv_export_escapes_formulas(cli: CliHarness, cell: str) -> None:
    cli.award("user-1", number=1, agent=cell)
    (row,) = csv.DictReader(io.StringIO(cli.run("audit", "export").stdout))
    assert row["user_agent"][0] in "'\\"


def test_a_csv_export_writes_plain_numbers_and_an_iso_time(cli: CliHarness) -> None:
    cli.award("user-1", number=1)
    cli.run("reset", "user", "user-1", "--reason", "r", "--yes")
    awarded, reset = csv.DictReader(io.StringIO(cli.run("audit", "export", "--until", "2027-01-01").stdout))
    assert (awarded["score_awarded"], reset["score_awarded"]) == ("100", "-100")
    assert awarded["at"] == "2026-11-22T10:30:01.000Z"


class PagingLedger(MemoryLedger):
    """A ledger in memory that records the size of each page read."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []

    async def entries(
        self, where: EntryFilter, after: tuple[int, str] | None, limit: int, newest_first: bool = False
    ) -> list[Entry]:
        page = await super().entries(where, after, limit, newest_first)
        self.pages.append(len(page))
        return page


def with_entries(cli: CliHarness, count: int) -> PagingLedger:
    ledger = PagingLedger()
    claims = [make_claim(f"user-{number % 7}", number=number, username="x") for number in range(count)]
    result_of(ledger.award(claims, []))
    cli.admin.ledger = ledger
    return ledger


def test_an_export_of_10000_entries_reads_bounded_pages_and_writes_each_entry_once(cli: CliHarness) -> None:
    ledger = with_entries(cli, 10_000)
    text_lines = cli.run("audit", "export", "--format", "jsonl").stdout.splitlines()
    assert [int(json.loads(text_line)["action_id"][-12:], 16) for text_line in text_lines] == list(range(10_000))
    assert max(ledger.pages) <= PAGE_ENTRIES_MAX


def test_an_export_leaves_out_entries_newer_than_its_start(cli: CliHarness) -> None:
    cli.award("user-1", number=86_399)
    cli.award("user-1", number=86_400)
    assert len(cli.run("audit", "export", "--json").stdout.splitlines()) == 1


def test_an_exported_file_is_complete_and_has_mode_0600(cli: CliHarness, tmp_path: Path) -> None:
    with_entries(cli, 2_500)
    out = tmp_path / "november.csv"
    ended = cli.run("audit", "export", "--out", str(out))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", f"2,500 entries written to {out}\n")
    assert len(out.read_text().splitlines()) == 2_501
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_failed_export_leaves_no_partial_file(cli: CliHarness, tmp_path: Path) -> None:
    class Failing(MemoryLedger):
        async def entries(self, *_: Any, **__: Any) -> list[Entry]:
            raise RuntimeError("a fault")

    cli.admin.ledger = Failing()
    (tmp_path / "old.csv").write_text("kept")
    ended = cli.run("audit", "export", "--out", str(tmp_path / "old.csv"))
    assert isinstance(ended.exception, RuntimeError)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("old.csv", "kept")]


def test_an_export_into_a_missing_directory_prints_one_line_and_exits_with_3(cli: CliHarness, tmp_path: Path) -> None:
    ended = cli.run("audit", "export", "--out", str(tmp_path / "no" / "such.csv"))
    assert ended.exit_code == 3
    assert len(ended.stderr.splitlines()) == 1


def test_an_export_on_a_terminal_shows_a_progress_bar_on_stderr(cli: CliHarness, tmp_path: Path) -> None:
    with_entries(cli, 2_500)
    shown = cli.run("audit", "export", "--out", str(tmp_path / "x.csv"), terminal=True)
    assert "2500/2500" in shown.stderr
    assert shown.stdout == ""


def test_the_error_names_an_unwritable_file_by_the_path_given(cli: CliHarness, tmp_path: Path) -> None:
    ended = cli.run("audit", "export", "--out", str(tmp_path / "missing" / "november.csv"))
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert ended.stderr == f"Error: {tmp_path}/missing/november.csv cannot be written: no such directory\n"
