"""Tests of the migration to schema 0004: every account keeps its name, and the next token of the player may change it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoreboard.domain.players import ledger_shard
from scoreboard.storage.schema import migrate, schema_status
from tests.storage.claims import award_in, claim
from tests.storage.postgres_server import postgres
from tests.storage.sql_stores import DIALECTS, Dialect, migrate_to, open_store, run_sql


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_account_of_an_older_release_keeps_its_name_until_the_next_award(dialect: Dialect, tmp_path: Path) -> None:
    url = postgres().fresh() if dialect == "postgresql" else f"sqlite:///{tmp_path}/old.db"
    migrate_to(url, "0003")
    at = "now()" if dialect == "postgresql" else "1"
    run_sql(
        url,
        "INSERT INTO user_scores (ledger_shard, user_id, username, score, version, last_updated, created_at, reached_at,"
        f" total_actions) VALUES ({ledger_shard('amy')}, 'amy', 'Amy', 500, 3, {at}, {at}, {at}, 3)",
    )
    assert schema_status(url) == ("0003", "0005")
    assert migrate(url) == "0005"
    assert run_sql(url, "SELECT username, score, named_at FROM user_scores") == [("Amy", 500, 0)]
    (verdict,) = open_store(url).writes.award([claim("amy", 100, username="Amélie", issued_at_s=1_795_000_000)], [])
    assert award_in(verdict).score_after == 600
    assert run_sql(url, "SELECT username, score, named_at FROM user_scores") == [("Amélie", 600, 1_795_000_000)]
