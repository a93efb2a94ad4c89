"""Tests of the tables themselves: what they refuse, and what they show to a person in a SQL shell."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from scoreboard.domain.entries import ResetOrder
from scoreboard.storage.sql.stores import migration_engine
from scoreboard.storage.sql.tables import metadata
from tests.storage.claims import NOW, award_in, claim, placed
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store, run_sql

SUSPENSION = "ledger_shard, suspension_id, user_id, suspended, operator, reason, at, turn"
#: An entry without its position, which the store fills in.
ENTRY = (
    "ledger_shard, user_id, action_id, transaction_id, action_type, score_before, score_after, score_awarded,"
    " timestamp, ip_address, user_agent, validated, metadata"
)


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    dialect: Dialect = request.param
    return fresh_url(dialect, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE score_transactions SET score_awarded = 1",
        "UPDATE score_transactions SET user_agent = '' WHERE user_id = 'amy'",
        "DELETE FROM score_transactions",
        "TRUNCATE score_transactions",
        "TRUNCATE user_scores CASCADE",
        "INSERT OR REPLACE INTO score_transactions SELECT * FROM score_transactions",
        f"INSERT OR REPLACE INTO score_transactions ({ENTRY}) SELECT {ENTRY} FROM score_transactions",
    ],
)
def test_entries_can_be_neither_changed_nor_removed(url: str, change: str) -> None:
    only = {"TRUNCATE": "postgresql", "INSERT": "sqlite"}.get(change.split()[0])
    if only is not None and not url.startswith(only):
        return  # this dialect does not have the statement
    open_store(url).writes.award([claim("amy", 100)], [])
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RestrictViolation), match="score_transactions is insert-only"):
        run_sql(url, change)
    assert run_sql(url, "SELECT score_awarded, user_agent FROM score_transactions") == [(100, "test/1.0 (ünïcode)")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE suspensions SET reason = ''",
        "DELETE FROM suspensions WHERE user_id = 'amy'",
        "TRUNCATE suspensions",
        "INSERT OR REPLACE INTO suspensions SELECT * FROM suspensions",
        f"INSERT OR REPLACE INTO suspensions ({SUSPENSION})"
        " SELECT ledger_shard, 's-2', user_id, false, operator, reason, at, turn FROM suspensions",
        f"INSERT OR REPLACE INTO suspensions ({SUSPENSION})"
        " SELECT ledger_shard, suspension_id, user_id, false, operator, reason, at, 7 FROM suspensions",
    ],
)
def test_suspensions_can_be_neither_changed_nor_removed(url: str, change: str) -> None:
    only = {"TRUNCATE": "postgresql", "INSERT": "sqlite"}.get(change.split()[0])
    if only is not None and not url.startswith(only):
        return  # this dialect does not have the statement
    at = "now()" if url.startswith("postgresql") else "0"
    run_sql(url, f"INSERT INTO suspensions ({SUSPENSION}) VALUES (0, 's-1', 'amy', true, 'root', 'cheated', {at}, 1)")
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RestrictViolation), match="suspensions is insert-only"):
        run_sql(url, change)
    assert run_sql(url, "SELECT suspension_id, reason FROM suspensions") == [("s-1", "cheated")]


@pytest.mark.parametrize(
    "change",
    ["UPDATE user_scores SET score = 9007199254740992", "DELETE FROM user_scores", "UPDATE user_scores SET user_id = 'bob'"],
)
def test_the_tables_refuse_points_out_of_range_and_entries_without_an_account(url: str, change: str) -> None:
    open_store(url).writes.award([claim("amy", 100)], [])
    if url.startswith("sqlite"):
        handle = sqlite3.connect(url.removeprefix("sqlite:///"))
        handle.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            handle.execute(change)
        handle.close()
    else:
        with pytest.raises(psycopg.IntegrityError):
            run_sql(url, change)


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
def test_the_migrations_make_the_tables_that_the_queries_expect(url: str) -> None:
    engine = migration_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _ours})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_indexes_of_the_specification_exist(url: str) -> None:
    catalogue = "pg_indexes" if url.startswith("postgresql") else "sqlite_master WHERE type = 'index'"
    name = "indexname" if url.startswith("postgresql") else "name"
    names = {row[0] for row in run_sql(url, f"SELECT {name} FROM {catalogue}")}
    assert {"idx_user_score", "idx_transactions_user", "idx_transactions_timestamp"} <= names


def test_an_account_row_has_the_average_and_the_last_known_rank(url: str) -> None:
    writes = open_store(url).writes
    verdicts = writes.award([claim("amy", 100), claim("amy", 51), claim("bob", 7)], [])
    _, amys, bobs = [award_in(verdict) for verdict in verdicts]
    writes.award([], [placed(amys, 1), placed(bobs, 2, 9)])
    seen = "SELECT user_id, rank, total_actions, average_score_per_action FROM user_scores ORDER BY user_id"
    assert run_sql(url, seen) == [("amy", 1, 2, 75.5), ("bob", 2, 1, 7.0)]
    writes.reset(ResetOrder(reset_id="r", user_ids=("amy",), operator="root", reason="", at_ms=NOW))
    assert run_sql(url, seen)[0] == ("amy", None, 0, 0.0)
    writes.close()


def test_postgresql_stores_times_as_timestamps(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    open_store(url).writes.award([claim("amy", at_ms=1_800_000_000_123)], [])
    ((at,),) = run_sql(url, "SELECT timestamp AT TIME ZONE 'UTC' FROM score_transactions")
    assert str(at) == "2027-01-15 08:00:00.123000"


def test_an_achievement_row_has_its_award_and_its_time(url: str) -> None:
    writes = open_store(url).writes
    given = claim("amy", 100, milestones=(100,))
    writes.award([given], [])
    at = "to_char(unlocked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')" if url.startswith("postgresql") else "unlocked_at"
    day = "2027-01-15" if url.startswith("postgresql") else NOW
    row = ("amy", "SCORE_MILESTONE", 100, given.grant.action_id, day)
    assert run_sql(url, f"SELECT user_id, kind, milestone, CAST(action_id AS text), {at} FROM achievements") == [row]
    writes.close()


def test_the_members_of_a_resets_metadata_can_be_queried(url: str) -> None:
    writes = open_store(url).writes
    writes.award([claim("amy")], [])
    writes.reset(ResetOrder(reset_id="r-7", user_ids=None, operator='o"hara', reason="why\0", at_ms=NOW))
    member = "metadata ->> 'resetId'" if url.startswith("postgresql") else "json_extract(metadata, '$.resetId')"
    assert run_sql(url, f"SELECT {member} FROM score_transactions WHERE action_type = 'RESET'") == [("r-7",)]
    writes.close()


def _ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    # The position has another type in each dialect (tests/storage/test_commit_order.py tests it).
    return (kind, name) not in {("table", "alembic_version"), ("column", "position"), ("index", "idx_transactions_position")}
