from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage_redis.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the session. A test that harms it repairs it."""
    server = RedisServer()
    yield server
    server.close()
