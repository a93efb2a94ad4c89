"""Tests of what all commands share (help, settings, exit codes), and of the small commands."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys

import pytest

from tests.cli.harness import NOW_MS, CliHarness, FakeSettings

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
    "token check",
    "config check",
    "db upgrade",
    "db status",
    "db backup",
    "db restore",
    "flags list",
    "top",
]


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_the_help_of_every_command_has_an_example_and_fits_80_columns(cli: CliHarness, command: str) -> None:
    shown = cli.run(*command.split(), "--help")
    assert shown.exit_code == 0
    assert f"scoreboard {command}" in shown.stdout.split("Examples:")[1]
    assert "--json" in shown.stdout
    assert max(len(text_line) for text_line in shown.stdout.splitlines()) <= 80


@pytest.mark.parametrize("command", ["", *sorted({one.split()[0] for one in EVERY_COMMAND}), *EVERY_COMMAND])
def test_a_line_of_a_help_text_ends_only_where_the_next_word_does_not_fit(cli: CliHarness, command: str) -> None:
    prose = re.split(r"Examples:|Exit codes:|╭─", cli.run(*command.split(), "--help").stdout)[0]
    texts = [text_line.strip() for text_line in prose.splitlines()]
    for text_line, following in itertools.pairwise(texts):
        if text_line and following and not text_line.startswith("Usage:"):
            assert len(f"{text_line} {following.split()[0]}") > 78, text_line


def test_the_help_imports_neither_the_server_nor_twisted() -> None:
    heavy = "[name for name in sys.modules if name.startswith(('twisted', 'sqlalchemy', 'pydantic', 'scoreboard.service'))]"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, cli.main; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


def test_version_prints_the_version(cli: CliHarness) -> None:
    assert cli.run("--version").stdout.startswith("scoreboard 0.")


def test_no_color_disables_escape_sequences() -> None:
    environ = {**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "", "COLUMNS": "80"}
    command = [sys.executable, "-c", "from cli.main import main; main()", "--help"]
    ran = subprocess.run(command, capture_output=True, env=environ, check=True)
    assert b"\x1b[3" not in ran.stdout


@pytest.mark.parametrize("command", ["audit list", "audit export", "replay verify", "top", "db status", "token mint --user u"])
def test_a_bad_setting_prints_one_line_and_exits_with_78(cli: CliHarness, command: str) -> None:
    cli.environ["PORT"] = "many"
    ended = cli.run(*command.split())
    assert (ended.exit_code, ended.stdout, ended.stderr) == (78, "", "Error: PORT should be a number\n")


@pytest.mark.parametrize(
    "command", ["audit list --json", "audit export", "replay verify", "top --once", "replay check x", "player show u"]
)
def test_an_unreachable_store_prints_one_line_and_exits_with_3(cli: CliHarness, command: str) -> None:
    cli.admin.unreachable = True
    ended = cli.run(*command.split())
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "", "Error: the ledger does not answer\n")


@pytest.mark.parametrize(
    "command",
    ["audit lst", "audit list --limit 0", "audit list --since yesterday", "top --interval 0", "reset user u", "player suspend u"],
)
def test_wrong_usage_exits_with_2(cli: CliHarness, command: str) -> None:
    ended = cli.run(*command.split())
    assert (ended.exit_code, ended.stdout) == (2, "")


def test_the_stores_are_closed_after_success_and_after_errors(cli: CliHarness) -> None:
    cli.run("audit", "list")
    cli.run("audit", "show", "unknown")
    cli.run("reset", "user", "unknown", "--reason", "r", "--yes")
    assert [stores.closed for stores in cli.admin.opened] == [True, True, True]


def test_mint_prints_only_the_token(cli: CliHarness) -> None:
    issued_token = cli.run("token", "mint", "--user", "user-1", "--name", "Ada", "--role", "spectator", "--life", "15m")
    assert (issued_token.exit_code, issued_token.stdout) == (0, "token.user-1.Ada.spectator.900\n")


def test_by_default_a_token_has_the_user_id_as_name_and_the_configured_lifetime(cli: CliHarness) -> None:
    issued_token = cli.run("token", "mint", "--user", "user-1", "--json")
    assert json.loads(issued_token.stdout) == {
        "token": "token.user-1.user-1.user.86400",
        "user_id": "user-1",
        "username": "user-1",
        "role": "user",
        "life_s": 86_400,
    }


@pytest.mark.parametrize(
    "arguments", ["--user a/b", "--user u --role king", "--user u --life 0s", "--user u --life 25h", "--user u --name A\x1b", ""]
)
def test_mint_refuses_a_token_that_the_server_would_refuse(cli: CliHarness, arguments: str) -> None:
    assert cli.run("token", "mint", *arguments.split(" ")).exit_code == 2


def test_mint_in_production_needs_yes(cli: CliHarness) -> None:
    cli.admin.settings = FakeSettings(environment="production")
    assert cli.run("token", "mint", "--user", "u").exit_code == 2
    assert cli.run("token", "mint", "--user", "u", "--yes").exit_code == 0


def test_status_exits_with_1_until_the_schema_is_upgraded(cli: CliHarness) -> None:
    behind = cli.run("db", "status")
    assert behind.exit_code == 1
    assert "scoreboard db upgrade" in behind.stdout
    assert cli.run("db", "upgrade").stdout == "The schema is at revision 0002.\n"
    assert cli.run("db", "status").exit_code == 0


def test_restore_needs_yes_and_an_existing_backup(cli: CliHarness) -> None:
    assert cli.run("db", "backup", "b.db").stdout == "The ledger is copied to b.db.\n"
    assert cli.run("db", "restore", "b.db").exit_code == 2
    restored = cli.run("db", "restore", "b.db", "--yes", "--json")
    assert json.loads(restored.stdout) == {"restored": "b.db", "kept": f"ledger.db.before-restore-{NOW_MS}"}
    ended = cli.run("db", "restore", "c.db", "--yes")
    assert (ended.exit_code, ended.stderr) == (3, "Error: c.db is not a file\n")


def test_status_and_upgrade_print_json(cli: CliHarness) -> None:
    cli.admin.schema = None
    assert json.loads(cli.run("db", "status", "--json").stdout) == {"current": None, "newest": "0002", "up_to_date": False}
    assert json.loads(cli.run("db", "upgrade", "--json").stdout) == {"revision": "0002"}


def test_config_check_prints_what_is_in_force_and_names_near_misses(cli: CliHarness) -> None:
    cli.environ["PROT"] = "1"
    shown = cli.run("config", "check")
    assert (shown.exit_code, shown.stderr) == (0, "Note: PROT is ignored\n")
    assert shown.stdout.splitlines()[-1].split() == ["PORT", "3000", "default"]
    assert json.loads(cli.run("config", "check", "--json").stdout)["settings"] == [
        {"name": "PORT", "value": "3000", "source": "default"}
    ]
    assert cli.run("config", "check", "--connect").stderr.endswith("The ledger answers.\nRedis answers.\n")
    cli.admin.unreachable = True
    assert cli.run("config", "check", "--connect").exit_code == 3


def test_config_check_prints_every_complaint_and_exits_with_78(cli: CliHarness) -> None:
    cli.environ["PORT"] = "many"
    ended = cli.run("config", "check")
    complaints = ["PORT should be a number", "DB_PORT should be a number"]
    assert (ended.exit_code, ended.stdout) == (78, "")
    assert ended.stderr == "".join(f"Error: {complaint}\n" for complaint in complaints)
    assert json.loads(cli.run("config", "check", "--json").stdout)["complaints"] == complaints


def test_flags_says_that_there_are_no_detectors(cli: CliHarness) -> None:
    assert "no fraud detectors yet" in cli.run("flags", "list").stdout
    assert json.loads(cli.run("flags", "list", "--json").stdout) == []
