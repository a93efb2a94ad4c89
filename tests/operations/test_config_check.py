"""`scoreboard config check` on the real settings: what a start would refuse is one line and 78, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from config import BadSettings
from config.settings import SECRETS, load_settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:Xq7vJw9k@h/db?x=1",
        "postgresql://u:Xq7vJw9k@h/db?sslmode=Xq7vJw9k",
        "postgresql://u:Xq7vJw9k@h/db?connect_timeout=Xq7vJw9k",
        "postgresql://u:Xq7vJw9k@h/db?target_session_attrs=Xq7vJw9k",
        "postgresql://u:Xq7vJw9k@[::1/x",
        "postgresql://u:%00Xq7vJw9k@h/x",
        "postgresql://u:Xq7vJw9k@h:Xq7vJw9k/x",
        "postgresql://u:Xq7vJw9k@h:99999/x",
        "postgresql://u:Xq7vJw9k@a..b/x",
        "postgresql://u:Xq7vJw9k@h/x?sslrootcert=/dev",
        "sqlite:///x?key=Xq7vJw9k",
    ],
)
def test_a_wrong_url_of_the_ledger_is_one_line(url: str, tmp_path: Path) -> None:
    environ = {**os.environ, "DATABASE_URL": url, "SCOREBOARD_DATA_DIR": str(tmp_path)}
    command = [str(Path(sys.executable).with_name("scoreboard")), "config", "check"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 78, said
    assert "DATABASE_URL" in said
    assert re.search("for example|should be like postgresql://|, as db.example.com", said), "an example of what is right"
    assert "Traceback" not in said
    assert "Xq7v" not in said


def test_a_pipe_in_place_of_a_secrets_file_is_one_line(tmp_path: Path) -> None:
    """To open a pipe would wait for its writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadSettings, match="it is no regular file"):
        load_settings({"SCOREBOARD_DATA_DIR": str(tmp_path), "METRICS_TOKEN_FILE": str(tmp_path / "pipe")})


@pytest.mark.parametrize(
    ("written", "read"), [("::ffff:127.0.0.1", "127.0.0.1/32"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::1", "::1/128")]
)
def test_an_ipv4_address_in_the_form_of_ipv6_is_that_ipv4_address(written: str, read: str, tmp_path: Path) -> None:
    """The server writes the address of such a peer as IPv4, so the other form would match no peer."""
    settings = load_settings({"SCOREBOARD_DATA_DIR": str(tmp_path), "TRUSTED_PROXIES": written, "METRICS_ADDRESS": written})
    assert [str(network) for network in (*settings.trusted_proxies, *settings.metrics_address)] == [read, read]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_is_in_force_is_shown_without_any_secret(more: tuple[str, ...], tmp_path: Path) -> None:
    given = {name: secrets.token_hex(32) for name in SECRETS if not name.endswith("_URL")}
    hidden = [*given.values(), *(secrets.token_hex(8) for _ in range(2))]
    given["DATABASE_URL"] = f"postgresql://keeper:{hidden[-2]}@127.0.0.1:1/scores"
    given["REDIS_URL"] = f"redis://keeper:{hidden[-1]}@127.0.0.1:1/0"
    assert given.keys() == set(SECRETS)
    environ = {**os.environ, **given, "SCOREBOARD_DATA_DIR": str(tmp_path), "PORT": "4711"}
    command = [str(Path(sys.executable).with_name("scoreboard")), "config", "check", *more]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    pieces = [secret[at : at + 8] for secret in hidden for at in range(len(secret) - 7)]
    assert not [piece for piece in pieces if piece in ran.stdout + ran.stderr]
    if more:
        shown = {one["name"]: (one["value"], one["source"]) for one in json.loads(ran.stdout)["settings"]}
        assert shown["PORT"][0] == "4711"
        assert {shown[name][0] for name in SECRETS if not name.endswith("_URL")} == {"(hidden)"}
        assert (shown["DATABASE_URL"][0].count("scores"), shown["REDIS_URL"][0].count("127.0.0.1")) == (1, 1)
    else:
        assert ran.stdout.count("(hidden)") == len(SECRETS) - 2
