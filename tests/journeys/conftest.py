"""Journeys: end-to-end tests with real processes. Tests that only read share a server; tests that break something do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.server import ServerProcess
from tests.storage.postgres_server import postgres


@pytest.fixture(scope="package")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on SQLite and the embedded Redis, shared by the package."""
    server = ServerProcess(tmp_path_factory.mktemp("live")).start()
    yield server
    assert server.stop() == 0, server.log[-4000:]
    assert "Traceback" not in server.log


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers for one test, each with an own data directory by default. The fixture ends them after the test."""
    made: list[ServerProcess] = []

    def make(**more: str) -> ServerProcess:
        server = ServerProcess(tmp_path / f"server-{len(made)}", dict(more))
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def postgres_url() -> str:
    """The URL of a new database on the real PostgreSQL."""
    return postgres().fresh()
