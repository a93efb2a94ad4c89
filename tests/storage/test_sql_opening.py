"""Tests of opening a ledger: its URL, its schema, and the messages for a database that is not a ledger."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.schema import migrate, require_schema, schema_status
from scoreboard.storage.sql.errors import LedgerUnusable
from scoreboard.storage.sql.sqlite import writer as sqlite
from tests.storage.claims import award_in, claim, receipt_in
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, migrate_to, open_store, run_sql

NEWEST = "0005"


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


def empty_url(dialect: Dialect, directory: Path) -> str:
    return postgres().fresh() if dialect == "postgresql" else f"sqlite:///{directory}/deep/er/ledger 100%.db"


def test_migrate_makes_a_ledger_and_a_second_migrate_changes_nothing(dialect: Dialect, tmp_path: Path) -> None:
    url = empty_url(dialect, tmp_path)
    assert schema_status(url) == (None, NEWEST)
    with pytest.raises(LedgerUnusable, match=r"missing|unable to open"):
        require_schema(url)
    assert migrate(url) == NEWEST
    open_store(url).writes.award([claim("amy")], [])
    assert migrate(url) == NEWEST
    assert schema_status(url) == (NEWEST, NEWEST)
    require_schema(url)
    assert [one.user_id for one in open_store(url).order.accounts(GLOBAL_BOARD, "", 9)] == ["amy"]


def test_a_ledger_of_the_first_release_is_upgraded_with_its_data(dialect: Dialect, tmp_path: Path) -> None:
    url = postgres().fresh() if dialect == "postgresql" else f"sqlite:///{tmp_path}/old.db"
    migrate_to(url, "0001")
    first = claim("amy", 70)
    at = "now()" if dialect == "postgresql" else "0"
    run_sql(
        url,
        f"""
        INSERT INTO user_scores (user_id, username, score, version, last_updated, created_at, reached_at, total_actions)
        VALUES ('amy', 'Amy', 70, 1, {at}, {at}, {at}, 1)
        """,
    )
    run_sql(
        url,
        f"""
        INSERT INTO score_transactions VALUES ('{first.transaction_id}', 'amy', '{first.grant.action_id}', 'COMPLETE_QUEST',
            0, 70, 70, {at}, '', '', true, '{{}}')
        """,
    )
    with pytest.raises(LedgerUnusable, match="schema is 0001, this program needs 0005: run `scoreboard db upgrade`"):
        require_schema(url)
    assert migrate(url) == NEWEST
    require_schema(url)
    new = open_store(url).writes
    assert receipt_in(new.award([first], [])[0]).total == 70
    (verdict,) = new.award([claim("amy", 50, milestones=(50, 100))], [])
    assert award_in(verdict).unlocked == (100,)  # the award that passed 50 is not known
    assert run_sql(url, "SELECT counter, number FROM turns") == [(1, 0)]
    new.close()


def test_only_the_owner_may_read_a_ledger_file(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/ledger.db")
    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600


def test_concurrent_upgrades_of_one_ledger_all_succeed(dialect: Dialect, tmp_path: Path) -> None:
    url = empty_url(dialect, tmp_path)
    results: list[object] = []

    def start() -> None:
        try:
            results.append(migrate(url))
        except Exception as error:  # the test compares it below
            results.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [NEWEST] * 4


def test_an_upgrade_waits_for_a_lock_longer_than_an_award_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("PRAGMA journal_mode = WAL")
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite, "BUSY_MS_MAX", 20)
    release = threading.Timer(0.3, holder.rollback)
    release.start()
    assert migrate(f"sqlite:///{path}") == NEWEST
    release.join()
    holder.close()


def test_a_schema_of_a_newer_release_is_refused(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    run_sql(url, "UPDATE alembic_version SET version_num = '9999'")
    for use in (migrate, require_schema):
        with pytest.raises(LedgerUnusable, match="9999 was made by a newer release"):
            use(url)
    assert schema_status(url)[0] == "9999"


def test_a_database_with_tables_of_another_program_is_refused_and_not_changed(dialect: Dialect, tmp_path: Path) -> None:
    url = postgres().fresh() if dialect == "postgresql" else f"sqlite:///{tmp_path}/other.db"
    if dialect == "sqlite":
        (tmp_path / "other.db").touch()
    run_sql(url, "CREATE TABLE boards (theirs integer)")
    with pytest.raises(LedgerUnusable, match=r"already exists|of another program"):
        migrate(url)
    assert schema_status(url)[0] is None
    assert run_sql(url, "SELECT * FROM boards") == []


def test_a_file_that_is_not_a_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database file\n" * 100)
    (tmp_path / "directory.db").mkdir()
    for name, said in [
        ("ledger.db", "not a database"),
        ("directory.db", "unable to open"),
        ("ledger.db/x.db", "xists|ot a directory"),
    ]:
        with pytest.raises(LedgerUnusable, match=said):
            migrate(f"sqlite:///{tmp_path}/{name}")


def test_a_database_that_is_not_encoded_in_utf8_is_refused() -> None:
    run_sql(postgres().url(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(LedgerUnusable, match="LATIN1"):
        migrate(postgres().url("latin"))


def test_an_unreachable_database_is_unavailable_and_not_unusable() -> None:
    for use in (migrate, require_schema, schema_status):
        with pytest.raises(StoreUnavailable):
            use("postgresql://127.0.0.1:1/nowhere")


@pytest.mark.parametrize(
    "url", ["sqlite:///:memory:", "sqlite:///", "mysql://me:hunter2@host/db", "postgresql://me:hunter2@[x", "x"]
)
def test_an_invalid_url_is_refused_and_the_message_does_not_repeat_it(url: str) -> None:
    with pytest.raises(LedgerUnusable) as refusal:
        open_store(url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_url_scheme_of_postgresql_is_accepted(scheme: str) -> None:
    url = postgres().fresh().replace("postgresql", scheme, 1)
    assert migrate(url) == NEWEST
    assert open_store(url).order.state(GLOBAL_BOARD).epoch == 0
