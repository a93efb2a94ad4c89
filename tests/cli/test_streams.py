"""Standard streams that are closed, full or broken: each command ends with 0, 141 or one clear line, never with 1 or a traceback.

Each case is a forked child of one prepared process, because the imports of a fresh one take a second.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.kept_secrets import kept_secrets
from scoreboard.domain.players import SuspensionOrder
from scoreboard.storage.schema import migrate
from scoreboard.storage.sql.sqlite.backup import back_up
from scoreboard.storage.sql.stores import player_sessions_opener
from tests.storage.claims import NOW, claim
from tests.storage.sql_stores import open_store

ROOT = Path(__file__).parents[2]
#: Every command but `serve`, which becomes the server, as it succeeds where stdout can be written.
COMMANDS = (
    "--help",
    "--version",
    "audit --help",
    "audit list",
    "audit list --json",
    "audit show {action}",
    "audit export",
    "audit export --format jsonl",
    "config check",
    "config check --json",
    "db backup {fresh}",
    "db restore {backup} --yes",
    "db status",
    "db upgrade",
    "flags list",
    "player reinstate bob --reason r --yes",
    "player show amy",
    "player suspend amy --reason r --yes",
    "replay check {action}",
    "replay verify",
    "reset board --reason r --yes",
    "reset user amy --reason r --yes",
    "token mint --user amy",
    "top",
    "top --once --json",
)
#: In each way, the exit code and what stderr says last.
WAYS = {
    "closed": (3, "Error: stdout cannot be written: it is closed\n"),
    "full": (3, "Error: stdout cannot be written: no space left\n"),
    "pipe": (141, ""),
    "all closed": (3, ""),
    "stderr full": (0, ""),
}
ACTION = "00000000-0000-4000-8000-000000000001"

PREPARED = """
import os, shutil, sys, tempfile
import cli.main, scoreboard.service.admin

prepared = os.environ["SCOREBOARD_DATA_DIR"]


def run(way, words):
    if sys.modules.pop("twisted.internet.reactor", None):  # each child has a reactor of its own
        from twisted.internet import epollreactor

        epollreactor.install()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    if way == "closed":
        os.close(1)
    elif way == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    elif way == "pipe":
        reads, writes = os.pipe()
        os.dup2(writes, 1)
        os.close(writes)
        os.close(reads)
    elif way == "stderr full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    else:
        os.closerange(0, 3)
    sys.argv = ["scoreboard", *words]
    try:
        cli.main.main()
    except SystemExit as ended:
        try:
            sys.stdout.flush()  # as Python does at its end
        except BaseException:
            os._exit(120)
        os._exit(ended.code or 0)
    os._exit(119)


children = []
for number, (way, words) in enumerate(case.split(": ") for case in sys.stdin.read().splitlines()):
    os.environ["SCOREBOARD_DATA_DIR"] = own = f"{prepared}-{way}-{number}".replace(" ", "-")
    shutil.copytree(prepared, own)
    said = tempfile.TemporaryFile()
    child = os.fork()
    if not child:
        os.dup2(said.fileno(), 2)
        run(way, words.format(action=os.environ["ACTION"], fresh=f"{own}/fresh.db", backup=f"{own}/backup.db").split())
    children.append((child, said))
for child, said in children:  # most of them wait for a Redis that is not there
    _, status = os.waitpid(child, 0)
    said.seek(0)
    print(repr((os.waitstatus_to_exitcode(status), said.read().decode())), flush=True)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("streams") / "var"
    kept_secrets(directory)
    url = f"sqlite:///{directory}/ledger.db"
    migrate(url)
    store = open_store(url)
    store.writes.award([claim("amy", action=ACTION, at_ms=1)], [])
    store.writes.close()
    order = SuspensionOrder(suspension_id="s-1", user_id="bob", suspended=True, operator="ada", reason="r", at_ms=NOW)
    sessions = player_sessions_opener(url)()
    sessions.changes.suspend(order)
    sessions.changes.close()
    back_up(directory / "ledger.db", directory / "backup.db")
    return directory


@pytest.mark.parametrize("way", WAYS)
def test_without_a_usable_stream_every_command_ends_with_one_clear_line(way: str, data_dir: Path) -> None:
    commands = [words for words in COMMANDS if way in ("closed", "full", "pipe") or "list" in words or "verify" in words]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "USER": "ada", "ACTION": ACTION, "COLUMNS": "80"}
    ran = subprocess.run(
        [sys.executable, "-c", PREPARED],
        cwd=data_dir.parent,
        env={**environ, "SCOREBOARD_DATA_DIR": str(data_dir)},
        input="\n".join(f"{way}: {words}" for words in commands),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    ended = dict(zip(commands, map(ast.literal_eval, ran.stdout.splitlines()), strict=True))
    exit_code, last = WAYS[way]
    for words, (code, said) in ended.items():
        note, error = (said[: said.index(last)], last) if last and last in said else ("", said)
        assert (code, error) == (exit_code, last) or words.startswith("reset"), (words, code, said)
        assert (code, note.count("\n") <= 1, "Traceback" in said) == (exit_code, True, False), (words, said)
