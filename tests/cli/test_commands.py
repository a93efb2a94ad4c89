"""The command as a whole: help, settings, exit codes, and the small commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.harness import NOW_MS, House, TwinSettings

EVERY_COMMAND = [
    "audit list",
    "audit show",
    "audit export",
    "replay check",
    "replay verify",
    "reset user",
    "reset board",
    "player show",
    "player suspend",
    "player reinstate",
    "token mint",
    "db upgrade",
    "db status",
    "db backup",
    "db restore",
    "flags list",
    "top",
]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_helps_with_an_example_in_80_columns(house: House, command: str) -> None:
    shown = house.scoreboard(*command.split(), "--help")
    assert shown.exit_code == 0
    assert f"scoreboard {command}" in shown.stdout.split("Examples:")[1]
    assert "--json" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_the_help_imports_neither_the_server_nor_twisted() -> None:
    heavy = "[name for name in sys.modules if name.startswith(('twisted', 'sqlalchemy', 'pydantic', 'scoreboard.service'))]"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, cli.main; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


def test_it_tells_its_version(house: House) -> None:
    assert house.scoreboard("--version").stdout.startswith("scoreboard 0.")


def test_no_color_means_no_escape_sequence() -> None:
    environ = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "COLUMNS": "80"}
    command = [sys.executable, "-c", "from cli.main import main; main()", "--help"]
    ran = subprocess.run(command, capture_output=True, env=environ, check=True)
    assert b"\x1b[3" not in ran.stdout


@pytest.mark.parametrize("command", ["audit list", "audit export", "replay verify", "top", "db status", "token mint --user u"])
def test_a_bad_setting_is_one_line_and_78(house: House, command: str) -> None:
    house.environ["PORT"] = "many"
    ended = house.scoreboard(*command.split())
    assert (ended.exit_code, ended.stdout, ended.stderr) == (78, "", "Error: PORT should be a number\n")


@pytest.mark.parametrize(
    "command", ["audit list --json", "audit export", "replay verify", "top --once", "replay check x", "player show u"]
)
def test_a_store_that_does_not_answer_is_one_line_and_3(house: House, command: str) -> None:
    house.root.unreachable = True
    ended = house.scoreboard(*command.split())
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "", "Error: the ledger does not answer\n")


@pytest.mark.parametrize(
    "command",
    ["audit lst", "audit list --limit 0", "audit list --since yesterday", "top --interval 0", "reset user u", "player suspend u"],
)
def test_wrong_usage_is_2(house: House, command: str) -> None:
    ended = house.scoreboard(*command.split())
    assert (ended.exit_code, ended.stdout) == (2, "")


def test_the_stores_are_closed_whatever_happens(house: House) -> None:
    house.scoreboard("audit", "list")
    house.scoreboard("audit", "show", "unknown")
    house.scoreboard("reset", "user", "unknown", "--reason", "r", "--yes")
    assert [stores.closed for stores in house.root.opened] == [True, True, True]


def test_a_token_is_printed_alone(house: House) -> None:
    minted = house.scoreboard("token", "mint", "--user", "user-1", "--name", "Ada", "--role", "spectator", "--life", "15m")
    assert (minted.exit_code, minted.stdout) == (0, "token.user-1.Ada.spectator.900\n")


def test_a_token_is_named_after_its_user_and_lives_as_the_settings_say(house: House) -> None:
    minted = house.scoreboard("token", "mint", "--user", "user-1", "--json")
    assert json.loads(minted.stdout) == {
        "token": "token.user-1.user-1.user.86400",
        "user_id": "user-1",
        "username": "user-1",
        "role": "user",
        "life_s": 86_400,
    }


@pytest.mark.parametrize(
    "arguments", ["--user a/b", "--user u --role king", "--user u --life 0s", "--user u --life 25h", "--user u --name A\x1b", ""]
)
def test_a_token_that_the_server_would_refuse_is_not_minted(house: House, arguments: str) -> None:
    assert house.scoreboard("token", "mint", *arguments.split(" ")).exit_code == 2


def test_in_production_a_token_needs_a_yes(house: House) -> None:
    house.root.settings = TwinSettings(environment="production")
    assert house.scoreboard("token", "mint", "--user", "u").exit_code == 2
    assert house.scoreboard("token", "mint", "--user", "u", "--yes").exit_code == 0


def test_a_schema_that_is_behind_is_a_finding_until_it_is_upgraded(house: House) -> None:
    behind = house.scoreboard("db", "status")
    assert behind.exit_code == 1
    assert "scoreboard db upgrade" in behind.stdout
    assert house.scoreboard("db", "upgrade").stdout == "The schema is at revision 0002.\n"
    assert house.scoreboard("db", "status").exit_code == 0


def test_a_backup_is_restored_after_a_yes(house: House) -> None:
    assert house.scoreboard("db", "backup", "b.db").stdout == "The ledger is copied to b.db.\n"
    assert house.scoreboard("db", "restore", "b.db").exit_code == 2
    restored = house.scoreboard("db", "restore", "b.db", "--yes", "--json")
    assert json.loads(restored.stdout) == {"restored": "b.db", "kept": f"ledger.db.before-restore-{NOW_MS}"}
    ended = house.scoreboard("db", "restore", "c.db", "--yes")
    assert (ended.exit_code, ended.stderr) == (3, "Error: c.db is not a file\n")


def test_the_schema_for_programs(house: House) -> None:
    house.root.schema = None
    assert json.loads(house.scoreboard("db", "status", "--json").stdout) == {
        "current": None,
        "newest": "0002",
        "up_to_date": False,
    }
    assert json.loads(house.scoreboard("db", "upgrade", "--json").stdout) == {"revision": "0002"}


def test_there_are_no_flags_and_it_says_so_honestly(house: House) -> None:
    assert "no fraud detectors yet" in house.scoreboard("flags", "list").stdout
    assert json.loads(house.scoreboard("flags", "list", "--json").stdout) == []
