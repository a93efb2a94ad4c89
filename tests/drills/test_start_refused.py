"""A start that PostgreSQL refuses: exit code 78 and one line if the operator must correct it, 69 if it can end by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.journeys.server import ServerProcess
from tests.operations.test_start import ROOT, started
from tests.pauses import until_true
from tests.storage.postgres_proxy import postgres_proxy
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import run_sql

SCOREBOARD = Path(sys.executable).with_name("scoreboard")

_MEND = [
    ("amy:hunter2", "postgres", "the password of user 'amy' is wrong"),
    ("amy", "postgres", "user 'amy' needs a password"),
    ("amy:right", "nowhere", "database 'nowhere' does not exist"),
    ("amy:right", "closed", "user 'amy' may not connect to database 'closed'"),
    (
        "ghost:hunter2",
        "postgres",
        "user 'ghost' does not exist, or may not log in to database 'postgres' from here (pg_hba.conf)",
    ),
    ("shut:hunter2", "postgres", "user 'shut' does not exist, or may not log in to database 'postgres' from here (pg_hba.conf)"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that asks for passwords."""
    server = PostgresServer()
    server.start()
    for statement in (
        "CREATE ROLE amy LOGIN PASSWORD 'right'",
        "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0",
        "CREATE DATABASE closed",
        "CREATE DATABASE scores OWNER amy",
        "REVOKE CONNECT ON DATABASE closed FROM public",
    ):
        run_sql(server.url(), statement)
    rules = ["local all amy scram-sha-256", "local all shut reject", "local all all trust"]
    (server.directory / "data" / "pg_hba.conf").write_text("\n".join([*rules, ""]))
    server.stop()
    server.start()
    yield server
    server.remove()


def commanded(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the CLI."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SCOREBOARD_DATA_DIR": str(directory / "var")}
    environ["DATABASE_URL"] = url
    return subprocess.run([SCOREBOARD, "audit", "list"], cwd=directory, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("user", "database", "wrong"), _MEND)
def test_an_error_that_the_operator_must_correct_exits_with_78(
    user: str, database: str, wrong: str, server: PostgresServer, tmp_path: Path
) -> None:
    url = f"postgresql://{user}@/{database}?host={server.directory}"
    ended = started({"DATABASE_URL": url}, tmp_path)
    assert ended.stderr == f"scoreboard: DATABASE_URL: {wrong}\n"
    assert ended.returncode == 78
    command = commanded(url, tmp_path)
    assert f"DATABASE_URL: {wrong}" in " ".join(command.stderr.split())
    assert command.returncode == 78
    for said in (ended.stdout, command.stdout, command.stderr):
        assert "hunter2" not in said
        assert "Traceback" not in said


@pytest.mark.parametrize("named", ["DATABASE_URL", "DB_PASSWORD (setting)"])
def test_a_password_that_is_changed_under_a_running_server_is_an_error_that_names_the_setting(
    named: str, server: PostgresServer, tmp_path: Path
) -> None:
    """The log hides what follows the name of a password and a colon, so it writes the setting's name in another form."""
    given = {"DATABASE_URL": f"postgresql://amy:right@/scores?host={server.directory}"}
    if named != "DATABASE_URL":
        given = {"DB_HOST": str(server.directory), "DB_USER": "amy", "DB_PASSWORD": "right", "DB_NAME": "scores"}
    refusal = f"the ledger cannot commit: {named}: the password of user 'amy' is wrong"
    running = ServerProcess(tmp_path / "var", given)
    assert running.command_line("db", "upgrade").returncode == 0
    try:
        running.start()
        run_sql(server.url(), "ALTER ROLE amy PASSWORD 'other'")
        sessions = "FROM pg_stat_activity WHERE usename = 'amy'"

        def all_ended() -> bool:  # a probe under way would report this end as well
            run_sql(server.url(), f"SELECT pg_terminate_backend(pid, 5000) {sessions} AND state = 'idle'")
            return run_sql(server.url(), f"SELECT count(*) {sessions}") == [(0,)]

        until_true(all_ended, within_s=20)
        until_true(lambda: refusal in running.log, within_s=20)
        time.sleep(2)
        assert re.findall('"message": "(the ledger cannot commit: .*?)"', running.log) == [refusal], "once, and not at each probe"
        run_sql(server.url(), "ALTER ROLE amy PASSWORD 'right'")
        running.wait_until_in_sync()
        assert running.play("bob").status == 200
        assert running.stop() == 0
        assert "Traceback" not in running.log
    finally:
        running.kill()
        run_sql(server.url(), "ALTER ROLE amy PASSWORD 'right'")


def test_too_many_connections_exit_with_69(server: PostgresServer, tmp_path: Path) -> None:
    ended = started({"DATABASE_URL": f"postgresql://crowded@/postgres?host={server.directory}"}, tmp_path)
    named = f"DATABASE_URL, database 'postgres' at {server.directory}"
    assert ended.stderr.startswith(f"scoreboard: {named}: the ledger cannot be reached: ")
    assert ended.returncode == 69


def test_a_database_silent_after_the_login_ends_the_start_soon(server: PostgresServer, tmp_path: Path) -> None:
    with postgres_proxy(server.directory) as proxy:
        proxy.quiet = "after login"
        begun_s = time.monotonic()
        url = proxy.url(server.url())
        ended = started({"DATABASE_URL": url}, tmp_path)
    named = conninfo_to_dict(url)
    where = f"database {named['dbname']!r} at {named['host']}" + (f" port {named['port']}" if "port" in named else "")
    assert (ended.stderr, ended.returncode) == (
        f"scoreboard: DATABASE_URL, {where}: the ledger cannot be reached: PostgreSQL gave no answer in 2000 ms\n",
        69,
    )
    assert time.monotonic() - begun_s < 15


@pytest.mark.parametrize("password", ["p@ss#w", "p#ss", "p/ss@w"])
def test_a_password_that_is_not_url_encoded_is_not_shown(password: str, tmp_path: Path) -> None:
    ended = started({"DATABASE_URL": f"postgresql://amy:{password}@127.0.0.1:1/scores"}, tmp_path)
    assert ended.returncode in (69, 78)
    assert "Traceback" not in ended.stderr + ended.stdout
    for piece in ("p@ss", "ss#w", "#w", "p#ss", "p/ss", "ss@w"):
        assert piece not in ended.stderr + ended.stdout
