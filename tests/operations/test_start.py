"""Starts as operators do them: twistd with the tac, make, and the lock file."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.storage_redis.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).with_name("twistd")


@pytest.mark.parametrize(
    ("environ", "text_line"),
    [
        ({"PUBLIC_BOARD": "maybe"}, "scoreboard: PUBLIC_BOARD should be true or false, for example PUBLIC_BOARD=true\n"),
        ({"PORT": "http"}, "scoreboard: PORT should be a whole number from 0 to 65535, for example PORT=3000\n"),
        (
            {
                "SCOREBOARD_ENV": "production",
                "JWT_SECRET": "your-secret-key-here",
                "ACTION_SIGNATURE_SECRET": secrets.token_hex(32),
            },
            "scoreboard: JWT_SECRET should not be the specification's sample in production: "
            "make one with `openssl rand -hex 32`\n",
        ),
        (
            {"SCOREBOARD_ENV": "production", "JWT_SECRET": "a" * 64, "ACTION_SIGNATURE_SECRET": secrets.token_hex(32)},
            "scoreboard: JWT_SECRET should be random, not a placeholder or a repeated piece, in production: "
            "make one with `openssl rand -hex 32`\n",
        ),
        (
            {"SCOREBOARD_ACTIONS_FILE": "/nowhere/actions.toml"},
            "scoreboard: SCOREBOARD_ACTIONS_FILE should name a readable file, for example "
            "SCOREBOARD_ACTIONS_FILE=/etc/scoreboard/actions.toml: "
            "/nowhere/actions.toml cannot be read (no such file or directory)\n",
        ),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line_and_78(environ: dict[str, str], text_line: str, tmp_path: Path) -> None:
    ended = started(environ, tmp_path)
    assert ended.stderr == text_line
    assert (ended.returncode, ended.stdout) == (78, "")


def test_without_its_ledger_a_start_ends_with_one_line_and_systemd_tries_again(tmp_path: Path) -> None:
    ended = started({"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/scores"}, tmp_path)
    assert re.fullmatch(
        r"scoreboard: DATABASE_URL, database 'scores' at 127\.0\.0\.1 port 1: "
        r"the ledger cannot be reached: .*Connection refused.*\n",
        ended.stderr,
    )
    assert "hunter2" not in ended.stderr + ended.stdout
    unit = (ROOT / "systemd" / "scoreboard.service").read_text()
    assert ended.returncode == 69
    assert "\nRestart=on-failure\n" in unit
    assert "\nRestartPreventExitStatus=78\n" in unit
    assert "\nStartLimitIntervalSec=0\n" in unit


GIVEN = {
    "JWT_SECRET": "given-jwt-secret-of-forty-bytes-length-x",
    "ACTION_SIGNATURE_SECRET": "given-action-secret-of-forty-bytes-len-x",
}


def test_an_unusable_directory_of_the_embedded_redis_ends_the_start_with_one_line_and_78(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "redis").symlink_to("/")  # like a directory of another user
    ended = started(GIVEN, tmp_path)
    assert ended.stderr == (
        f"scoreboard: the embedded Redis cannot use {tmp_path}/var/redis (it is not a directory of the user that runs the "
        "server): mend that, or set SCOREBOARD_DATA_DIR to another directory, or REDIS_URL\n"
    )
    assert (ended.returncode, "Traceback" in ended.stdout) == (78, False)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_in_production_a_redis_that_may_evict_keys_ends_the_start_with_78(policy: str, tmp_path: Path) -> None:
    redis = RedisServer("--maxmemory", "1gb", "--maxmemory-policy", policy)
    try:
        random = {"JWT_SECRET": secrets.token_hex(32), "ACTION_SIGNATURE_SECRET": secrets.token_hex(32)}
        ended = started({"SCOREBOARD_ENV": "production", "REDIS_URL": redis.url, **random}, tmp_path)
    finally:
        redis.close()
    assert ended.stderr == (
        f"scoreboard: REDIS_URL: Redis may evict keys (maxmemory 1073741824 bytes, maxmemory-policy {policy}): "
        "set maxmemory-policy noeviction\n"
    )
    assert ended.returncode == 78


@pytest.mark.parametrize("given", [{}, {"JWT_SECRET": "a" * 64, "ACTION_SIGNATURE_SECRET": "b" * 64}])
def test_only_the_owner_can_read_the_data_directory(given: dict[str, str], tmp_path: Path) -> None:
    """This does not depend on which part makes it: the secrets, the embedded Redis or the ledger."""
    with subprocess.Popen(
        [TWISTD, "--nodaemon", "--pidfile=", f"--python={ROOT / 'scoreboard.tac'}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SCOREBOARD_DATA_DIR": "var", "PORT": "0", "WEBSOCKET_PORT": "0", **given},
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        assert any("listening at" in text_line for text_line in serving.stdout)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "var", *(tmp_path / "var").rglob("*"))}
        serving.terminate()
        serving.stdout.read()
    assert serving.returncode == 0
    assert {"var", "redis", "ledger.db", "appendonly.aof"} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


def test_a_healthy_start_and_stop_log_no_warning(tmp_path: Path) -> None:
    with subprocess.Popen(
        [TWISTD, "--nodaemon", "--pidfile=", f"--python={ROOT / 'scoreboard.tac'}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": "0", "WEBSOCKET_PORT": ""},
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        text_lines = []
        waited_for = {" was built: ", "listening at "}
        for text_line in serving.stdout:
            text_lines.append(json.loads(text_line))
            waited_for = {said for said in waited_for if said not in text_line}
            if not waited_for:
                serving.terminate()
    assert serving.returncode == 0
    assert [text_line["message"] for text_line in text_lines if text_line["level"] != "info"] == []
    messages = [str(text_line["message"]) for text_line in text_lines]
    assert [message for message in messages if re.search(r" object at 0x|Address\(|Starting factory", message)] == []
    assert [message for message in messages if re.fullmatch(r"listening at 127\.0\.0\.1 port [0-9]+", message)] != []


def started(environ: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    """The result of a start that ends by itself, from a directory outside the repository, as with systemd."""
    return subprocess.run(
        [TWISTD, "--nodaemon", "--pidfile=", f"--python={ROOT / 'scoreboard.tac'}"],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),  # before the installed package
            "SCOREBOARD_DATA_DIR": str(directory / "var"),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def pinned() -> list[str]:
    """The names in the lock file. Each of its lines must be a name and one version."""
    text_lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [re.fullmatch(r"([a-z0-9._-]+)==[a-z0-9.]+", text_line) for text_line in text_lines]
    assert None not in pins
    return [pin[1] for pin in pins if pin]


def test_the_lock_pins_every_direct_dependency_and_names_no_host() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = project["dependencies"] + project["optional-dependencies"]["dev"]
    wanted = {re.match(r"[A-Za-z0-9._-]+", one)[0].lower().replace("_", "-") for one in direct}  # type: ignore[index]  # or fail
    assert wanted <= {name.replace("_", "-") for name in pinned()}


def test_every_direct_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(">=" in one for one in project["dependencies"] + project["optional-dependencies"]["dev"])


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    answered = subprocess.run(
        ["make", "--directory", ROOT, "--no-print-directory", "help"], capture_output=True, text=True, check=True
    )
    assert {text_line.split()[0] for text_line in answered.stdout.splitlines()} == set(phony.split())
