"""Tests of the readiness probe on real SQL stores: it waits for no locked row, and it leaves no data that grow."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from tests.awaiting import run
from tests.storage.claims import claim
from tests.storage.harnesses import opened
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store, run_sql

#: The statements that return the size of a ledger.
SIZE = {"sqlite": "PRAGMA page_count", "postgresql": "SELECT pg_database_size(current_database())"}


def test_a_probe_does_not_wait_for_a_locked_row(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    ledger = opened(url)
    run(lambda: ledger.award([claim("amy")], []))
    run(lambda: ledger.board(GLOBAL_BOARD).next_epoch("run"))
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM user_scores, boards FOR UPDATE")
        run(ledger.ping)  # it returns while the rows are still locked
    run(ledger.stop)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_probes_do_not_make_the_database_grow(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    probe = open_store(url).commit_probe
    probe.commit()
    before = run_sql(url, SIZE[dialect])
    for _ in range(200):
        probe.commit()
    assert run_sql(url, SIZE[dialect]) == before
    probe.close()


def test_a_probe_of_postgresql_writes_to_the_disk_of_the_tables(tmp_path: Path) -> None:
    """It writes a temporary file that is larger than an award needs, and removes it."""
    url = fresh_url("postgresql", tmp_path)
    probe = open_store(url).commit_probe
    written = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    probe.commit()
    probe.close()  # PostgreSQL updates these figures at the latest when a session ends
    until_s = time.monotonic() + 20
    while run_sql(url, written)[0][0] < 16 * 8_192 and time.monotonic() < until_s:
        time.sleep(0.05)
    assert run_sql(url, written)[0][0] >= 16 * 8_192


def test_a_probe_of_a_read_only_database_fails(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    name = url.partition("@/")[2].partition("?")[0]
    run_sql(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    probe = open_store(url).commit_probe
    with pytest.raises(StoreUnavailable):
        probe.commit()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_probe_works_again_after_a_failure(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    table = "boards" if dialect == "sqlite" else "user_scores"
    probe = open_store(url).commit_probe
    run_sql(url, f"ALTER TABLE {table} RENAME TO away")
    with pytest.raises(StoreUnavailable):
        probe.commit()
    run_sql(url, f"ALTER TABLE away RENAME TO {table}")
    probe.commit()
    probe.close()
