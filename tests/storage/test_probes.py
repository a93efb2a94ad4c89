"""The readiness probe of a real SQL store: it waits for no row, it holds up no award, and it leaves nothing that grows."""

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
from tests.storage.sql_stores import DIALECTS, Dialect, fresh_url, open_store, tell

#: What tells how much a ledger holds.
SIZE = {"sqlite": "PRAGMA page_count", "postgresql": "SELECT pg_database_size(current_database())"}


def test_a_probe_waits_for_no_row_that_somebody_holds(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    ledger = opened(url)
    run(lambda: ledger.award([claim("amy")], []))
    run(lambda: ledger.next_epoch(GLOBAL_BOARD, "run"))
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM user_scores, boards FOR UPDATE")
        began_s = time.monotonic()
        run(ledger.ping)
        assert time.monotonic() - began_s < 0.5
    run(ledger.stop)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_probes_leave_nothing_that_grows(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    probe = open_store(url).commit_probe
    probe.commit()
    before = tell(url, SIZE[dialect])
    for _ in range(200):
        probe.commit()
    assert tell(url, SIZE[dialect]) == before
    probe.close()


def test_a_probe_of_postgresql_needs_room_on_the_tables_disk(tmp_path: Path) -> None:
    """It writes a file there, of more than an award needs, and takes it away again."""
    url = fresh_url("postgresql", tmp_path)
    probe = open_store(url).commit_probe
    written = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    probe.commit()
    probe.close()  # the figures are told at the latest when a session ends
    until_s = time.monotonic() + 5
    while tell(url, written)[0][0] < 16 * 8_192 and time.monotonic() < until_s:
        time.sleep(0.05)
    assert tell(url, written)[0][0] >= 16 * 8_192


def test_a_database_that_may_not_be_written_to_is_not_ready(tmp_path: Path) -> None:
    url = fresh_url("postgresql", tmp_path)
    name = url.partition("@/")[2].partition("?")[0]
    tell(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    probe = open_store(url).commit_probe
    with pytest.raises(StoreUnavailable):
        probe.commit()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_probe_that_fails_is_none_the_worse_for_it(dialect: Dialect, tmp_path: Path) -> None:
    url = fresh_url(dialect, tmp_path)
    table = "boards" if dialect == "sqlite" else "user_scores"
    probe = open_store(url).commit_probe
    tell(url, f"ALTER TABLE {table} RENAME TO away")
    with pytest.raises(StoreUnavailable):
        probe.commit()
    tell(url, f"ALTER TABLE away RENAME TO {table}")
    probe.commit()
    probe.close()
