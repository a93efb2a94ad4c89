"""The first submission of README.md, run literally against a real server, and without one."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from config.catalogue import load_catalogue
from scoreboard.web.action_schemas import action_types_data
from tests.docs.pages import EXAMPLES
from tests.journeys.server import ROOT, ServerProcess
from tests.programs import program


def first_submission(port: int) -> str:
    """The shell of README.md, for a server on this port."""
    program("curl", "curl")
    shell = (EXAMPLES / "first_submission.sh").read_text()
    (shown,) = re.findall(r"## A first submission\n.*?```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == shell
    assert shell.count("http://127.0.0.1:3000") == 1
    return shell.replace(":3000", f":{port}").replace(".venv/bin/scoreboard", str(Path(sys.executable).with_name("scoreboard")))


@pytest.mark.parametrize("program_name", ["sh", "bash"])
def test_the_first_submission_brings_the_expected_points(tmp_path: Path, program_name: str) -> None:
    server = ServerProcess(tmp_path / "var").start()
    try:
        ran = subprocess.run(
            [program_name, "-c", first_submission(server.port)],
            cwd=tmp_path,
            env=server.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        server.stop()
    assert (ran.returncode, ran.stderr) == (0, "")
    begun, receipt, me, board, again = (json.loads(text_line)["data"] for text_line in ran.stdout.splitlines())
    assert [one["board"] for one in receipt.pop("boards")] == ["daily", "weekly", "monthly"]
    assert again == receipt
    assert json.loads(ran.stdout.splitlines()[-1])["error"] == "ACTION_ALREADY_USED"
    assert begun["expectedScore"] == 250
    assert receipt["scoreAwarded"] == 250
    assert me["score"] == 250
    assert [(row["username"], row["score"]) for row in board["leaderboard"]] == [("Ada", 250)]


@pytest.mark.parametrize("program_name", ["sh", "bash"])
def test_the_first_submission_shows_what_the_server_says_when_it_refuses(tmp_path: Path, program_name: str) -> None:
    """A second terminal without the settings of the server makes a token that the server refuses."""
    server = ServerProcess(tmp_path / "var").start()
    try:
        ran = subprocess.run(
            [program_name, "-c", first_submission(server.port)],
            cwd=tmp_path,
            env={**server.environment(), "TOKEN": "e30.e30.e30"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.stop()
    assert (ran.returncode, ran.stdout) == (1, "")
    assert '"message":"The token is not valid or has expired"' in ran.stderr


def test_the_sample_of_the_list_of_action_types_is_what_the_server_answers() -> None:
    page = (ROOT / "docs" / "protocol-http.md").read_text()
    sample, _ = json.JSONDecoder().raw_decode(page, page.index('{"actionType": "COMPLETE_QUEST", "points"'))
    listed = json.loads(
        msgspec.json.encode(action_types_data(load_catalogue(ROOT / "config" / "actions.toml", 600_000), 600_000, 50))
    )
    (answered,) = (action for action in listed["actions"] if action["actionType"] == "COMPLETE_QUEST")
    assert sample == answered


def test_the_first_submission_without_a_server_prints_one_line_and_makes_no_token(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound, but it does not listen: no server can be there
        held.bind(("127.0.0.1", 0))
        shell = first_submission(held.getsockname()[1])
        ran = subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (69, "")
    (text_line,) = ran.stderr.splitlines()
    assert re.fullmatch(r"No server answers at http://127.0.0.1:\d+: start it with 'make run' in another terminal", text_line)
    assert list(tmp_path.iterdir()) == []


def test_what_is_late_brings_nothing_as_readme_says(tmp_path: Path) -> None:
    """Readme's reason for the order of the example: metadata that comes with the submission brings no points."""
    server = ServerProcess(tmp_path / "var").start()
    try:
        body = server.initialize("ada", questId="quest-123")
        body["metadata"] = {"questId": "quest-123", "difficulty": "hard"}
        assert server.submit("ada", body).body["data"]["scoreAwarded"] == 100
    finally:
        server.stop()


def test_the_command_for_the_journal_works_with_lines_of_systemd() -> None:
    program("jq", "jq")
    (command,) = re.findall(r"journalctl -u scoreboard -o cat \| (jq .*)\n", (ROOT / "docs" / "operations.md").read_text())
    journal = "\n".join(
        (
            "Starting scoreboard.service - Live scoreboard...",
            '{"time": "2026-11-26T10:00:00Z", "level": "info", "message": "Ready"}',
            "scoreboard: JWT_EXPIRATION should be a time",
            "78",
            '"quoted"',
            "[1]",
            '{"broken',
            "",
            '{"time": "2026-11-26T10:00:01Z", "level": "error", "message": "The disk is full"}',
            "scoreboard.service: Main process exited, code=exited, status=78/CONFIG",
        )
    )
    ran = subprocess.run(["sh", "-c", f"{command} -c"], input=journal, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [json.loads(text_line)["message"] for text_line in ran.stdout.splitlines()] == ["The disk is full"]
