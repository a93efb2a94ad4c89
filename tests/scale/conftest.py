"""Scale tests: many players. `make scale` runs them, `make test` does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.conftest import new_server, postgres_url

__all__ = ["new_server", "postgres_url"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("scale")
