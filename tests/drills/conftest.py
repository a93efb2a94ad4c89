"""Drills: tests of faults and overload. `make drills` runs them, `make test` does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.conftest import live_server, new_server, postgres_url
from tests.storage_redis.conftest import redis_server

__all__ = ["live_server", "new_server", "postgres_url", "redis_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("drill")
