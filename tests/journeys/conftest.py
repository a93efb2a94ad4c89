"""Journeys: everything real. One server for those that only watch, one of their own for those that break things."""

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
    """Servers of one's own, each on a data directory of its own unless told otherwise; stopped in the end, dead or alive."""
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
    """A database of one's own on the real PostgreSQL."""
    return postgres().fresh()
