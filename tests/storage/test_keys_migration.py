"""Tests of the migration to schema 0003, which moves all tables: no row is lost, and a migration that fails changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import ledger_shard
from scoreboard.domain.refusals import SUSPENDED
from scoreboard.storage.schema import migrate, schema_status
from tests.storage.claims import award_in, claim, receipt_in
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import DIALECTS, Dialect, migrate_to, open_player_sessions, open_store, run_sql

#: The players with an account. Settings, suspensions and achievements name three other players.
PLAYERS = ("amy", "böb", "Zed")
ACTIONS = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in ("a1", "a2", "a3", "b1", "b2", "z1")}
TABLES = {
    "user_scores": "user_id, username, avatar, score, rank, version, last_updated, created_at, reached_at, total_actions,"
    " average_score_per_action, last_action_at",
    "score_transactions": "user_id, CAST(action_id AS text), CAST(transaction_id AS text), action_type, score_before,"
    " score_after, score_awarded, timestamp, ip_address, user_agent, validated, CAST(metadata AS text)",
    "action_receipts": "CAST(action_id AS text), rank, previous_rank",
    "achievements": "user_id, kind, milestone, CAST(action_id AS text), unlocked_at",
    "player_settings": "user_id, spectators, changed_at, turn",
    "suspensions": "suspension_id, user_id, suspended, operator, reason, at, turn",
    "turns": "counter, number",
    "boards": "board_id, epoch, checks",
}


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger of schema 0002 with rows in every table."""
    dialect: Dialect = request.param
    return ledger_of_schema_0002(postgres().fresh() if dialect == "postgresql" else f"sqlite:///{tmp_path}/old.db")


def ledger_of_schema_0002(url: str) -> str:
    migrate_to(url, "0002")

    def at(ms: int) -> str:
        return f"to_timestamp({ms / 1000})" if url.startswith("postgresql") else str(ms)

    def add(table: str, *rows: str) -> None:
        run_sql(url, f"INSERT INTO {table} VALUES {', '.join(rows)}")

    add(
        "user_scores (user_id, username, avatar, score, rank, version, last_updated, created_at, reached_at, total_actions,"
        " last_action_at)",
        f"('amy', 'Amy', 'https://cdn.example/a.png', 150, 1, 2, {at(2_007)}, {at(1_003)}, {at(2_007)}, 2, {at(2_007)})",
        f"('böb', 'B''ob “ü”', NULL, 0, NULL, 2, {at(3_000)}, {at(1_003)}, NULL, 0, {at(1_003)})",
        f"('Zed', 'Zed', NULL, -7, 2, 1, {at(500)}, {at(500)}, {at(500)}, 1, {at(500)})",
        f"('just-suspended', 'just-suspended', NULL, 0, NULL, 0, {at(900)}, {at(900)}, NULL, 0, NULL)",
    )
    entries = [
        ("amy", "a1", "COMPLETE_QUEST", 0, 100, 1_003, '{"a":"\\u00e9","b":[1e400]}'),
        ("böb", "b1", "COMPLETE_QUEST", 0, 30, 1_003, "{}"),
        ("Zed", "z1", "COMPLETE_QUEST", 0, -7, 500, "{}"),
        ("böb", "b2", "RESET", 30, -30, 3_000, '{"operator":"root"}'),
        ("amy", "a2", "KEY", 100, 50, 2_007, "{}"),
    ]
    add(
        "score_transactions",
        *(
            f"('{uuid.uuid4()}', '{user}', '{ACTIONS[action]}', '{kind}', {before}, {before + points}, {points}, {at(ms)},"
            f" '192.0.2.7', 'test/1.0 ü', true, '{metadata}')"
            for user, action, kind, before, points, ms, metadata in entries
        ),
    )
    add("action_receipts", f"('{ACTIONS['a1']}', 3, NULL)", f"('{ACTIONS['z1']}', 2, 9)")
    add(
        "achievements",
        f"('amy', 'SCORE_MILESTONE', 100, '{ACTIONS['a1']}', {at(1_003)})",
        f"('only-unlocked', 'SCORE_MILESTONE', 50, '{ACTIONS['a3']}', {at(1_004)})",
    )
    add("player_settings", f"('amy', false, {at(4_000)}, 1)", f"('only-settings', true, {at(4_001)}, 4)")
    add(
        "suspensions",
        f"('s-1', 'Zed', true, 'root', 'cheated', {at(5_000)}, 2)",
        f"('s-2', 'Zed', false, 'root', 'appealed', {at(5_001)}, 3)",
        f"('s-3', 'just-suspended', true, 'o\"hara', 'n', {at(5_002)}, 5)",
        f"('s-4', 'only-suspended', true, 'root', '', {at(5_003)}, 6)",
    )
    run_sql(url, "UPDATE turns SET number = 6")
    add("boards", "('global', 57, 4711)")
    return url


def contents(url: str) -> dict[str, list[Any]]:
    return {table: sorted(run_sql(url, f"SELECT {columns} FROM {table}"), key=repr) for table, columns in TABLES.items()}


def test_all_rows_are_kept_and_have_the_new_keys(url: str) -> None:
    before = contents(url)
    assert all(before.values())
    assert migrate(url) == "0005"
    assert contents(url) == before
    for table in ("user_scores", "score_transactions", "action_receipts", "achievements", "player_settings", "suspensions"):
        found = run_sql(url, f"SELECT user_id, ledger_shard FROM {table}")
        assert found == [(user_id, ledger_shard(user_id)) for user_id, _ in found]
    ((ledger_id,),) = run_sql(url, "SELECT CAST(ledger_id AS text) FROM ledger")
    assert uuid.UUID(ledger_id).version == 4
    in_order = [action for (action,) in run_sql(url, "SELECT CAST(action_id AS text) FROM score_transactions ORDER BY position")]
    if url.startswith("sqlite"):
        assert in_order[0] == ACTIONS["z1"]
        assert in_order[3:] == [ACTIONS["a2"], ACTIONS["b2"]]
    else:
        ((positions,),) = run_sql(url, "SELECT count(DISTINCT position) FROM score_transactions")
        assert positions == 1, "one transaction must move all entries"


def test_the_stores_work_with_the_rows_of_a_migrated_ledger(url: str) -> None:
    migrate(url)
    store, player_store = open_store(url), open_player_sessions(url)
    state = store.order.state(GLOBAL_BOARD)
    assert (state.epoch, state.epoch_run) == (57, "")
    position = store.order.position()
    used = claim("amy", 100, action=ACTIONS["a1"])
    retried, fresh, is_suspended = store.writes.award([used, claim("amy", 7, milestones=(100, 155)), claim("only-suspended")], [])
    receipt = receipt_in(retried)
    assert (receipt.points, receipt.total, receipt.rank, receipt.previous_rank) == (100, 100, 3, None)
    assert (award_in(fresh).score_after, award_in(fresh).version, award_in(fresh).unlocked) == (157, 3, (155,))
    assert is_suspended == SUSPENDED
    page = store.order.changed_since(GLOBAL_BOARD, position, "", 10)
    assert ([one.user_id for one in page.standings], page.after) == (["amy"], "")
    assert sorted(one.user_id for one in store.order.accounts(GLOBAL_BOARD, "", 10)) == sorted(PLAYERS)
    assert store.audits.verify("", 10) == (None, [])
    assert sorted(player_store.reads.suspended("", 10)) == ["just-suspended", "only-suspended"]
    assert [step.revision for step in player_store.reads.changes_since(0, 10)] == [1, 2, 3, 4, 5, 6]
    assert not player_store.reads.settings("amy").spectators
    assert store.writes.next_epoch(GLOBAL_BOARD, "run-1") > 57
    for each in (store.writes, store.order, store.audits, player_store.reads, player_store.changes):
        each.close()


def test_after_the_migration_tables_are_insert_only_and_every_entry_has_an_account(url: str) -> None:
    migrate(url)
    for table, change in (("score_transactions", "action_type = 'x'"), ("suspensions", "reason = 'x'")):
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):
            with pytest.raises(Exception, match=f"{table} is insert-only"):
                run_sql(url, statement)
    if url.startswith("postgresql"):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            run_sql(url, "DELETE FROM user_scores WHERE user_id = 'amy'")
    else:
        with pytest.raises(Exception, match="FOREIGN KEY"):
            run_sql_with_foreign_keys(url, "DELETE FROM user_scores WHERE user_id = 'amy'")
        assert run_sql(url, "PRAGMA integrity_check") == [("ok",)]
        assert run_sql(url, "PRAGMA foreign_key_check") == []


def run_sql_with_foreign_keys(url: str, statement: str) -> None:
    import sqlite3

    handle = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        handle.execute("PRAGMA foreign_keys = ON")
        handle.execute(statement)
    finally:
        handle.close()


#: A program that migrates, and kills itself before the statement that begins with its second argument.
_KILLED = """
import os, signal, sys
from alembic import op
from scoreboard.storage.schema import migrate
execute = op.execute
def execute_or_die(statement, *more, **named):
    if str(statement).startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(statement, *more, **named)
op.execute = execute_or_die
migrate(sys.argv[1])
"""


@pytest.mark.parametrize("where", ["INSERT INTO new_score_transactions", "DROP TABLE user_scores", "INSERT INTO ledger"])
def test_a_killed_upgrade_changes_nothing_and_can_be_run_again(url: str, where: str) -> None:
    before = contents(url)
    killed = subprocess.run([sys.executable, "-c", _KILLED, url, where], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert schema_status(url) == ("0002", "0005")
    assert contents(url) == before
    assert migrate(url) == "0005"
    assert contents(url) == before


def test_an_upgrade_that_loses_its_connection_changes_nothing_and_can_be_run_again() -> None:
    url = ledger_of_schema_0002(postgres().fresh())
    before = contents(url)
    results: list[BaseException | str] = []

    def upgrade() -> None:
        try:
            results.append(migrate(url))
        except BaseException as error:  # it is compared below
            results.append(error)

    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url) as reader:
        reader.execute("SELECT * FROM suspensions")  # the upgrade drops this table last, and has to wait for the lock
        upgrading = threading.Thread(target=upgrade, daemon=True)
        upgrading.start()
        until_s = time.monotonic() + 20
        while not run_sql(url, f"SELECT pid {waiting} AND query LIKE 'DROP TABLE suspensions%'"):
            assert time.monotonic() < until_s, results
            time.sleep(0.02)
        run_sql(url, f"SELECT pg_terminate_backend(pid, 5000) {waiting}")
        upgrading.join(20)
    assert [type(one) for one in results] == [StoreUnavailable]
    assert schema_status(url) == ("0002", "0005")
    assert contents(url) == before
    assert migrate(url) == "0005"
    assert contents(url) == before
