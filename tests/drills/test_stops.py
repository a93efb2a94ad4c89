"""During each fault of a store SIGTERM ends the server in its promised time; after the fault awards succeed again."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.drills.stores import FAULTS, store_with
from tests.drills.submissions import Answered, acknowledged, keep_submitting, never_awarded
from tests.journeys.server import ServerProcess
from tests.pauses import pauses, within
from tests.storage.postgres_server import PostgresServer

PLAYERS = 20
#: docs/operations.md: 10 s for open requests and 1 s for the close of connections.
STOP_S_MAX = 11.0
BACK_S_MAX = 3.0
FAULT_S = 10.0


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the tests may stop."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


async def _play(server: ServerProcess, seconds: float, then: Callable[[], object]) -> tuple[float, list[tuple[str, Answered]]]:
    """Players submit, and ``then`` is called meanwhile; returns (the time of that call, the answers)."""
    until_s = time.monotonic() + seconds
    playing = [asyncio.ensure_future(keep_submitting(server, f"player-{number}", until_s)) for number in range(PLAYERS)]
    await asyncio.sleep(1)
    await asyncio.to_thread(then)
    done_s = time.monotonic()
    return done_s, [one for answered in await asyncio.gather(*playing) for one in answered]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_stops_in_time_during_each_fault_of_a_store(
    fault: str, new_server: Callable[..., ServerProcess], postgres_server: PostgresServer
) -> None:
    with store_with(fault, postgres_server, new_server) as store:
        statuses: list[int] = []

        def stop() -> None:
            store.begin()
            time.sleep(1)
            with within(STOP_S_MAX):
                statuses.append(store.server.stop())

        _, answered = asyncio.run(_play(store.server, 2, stop))
        store.end()
        assert statuses == [0], store.server.log[-4000:]
        assert "Traceback" not in store.server.log
        assert acknowledged(answered)
        assert acknowledged(answered) <= store.awarded()


def test_half_a_request_delays_a_stop_and_the_log_says_so(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(b"POST /api/v1/actions/initialize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{")
        with within(15):
            assert server.stop() == 0
    abandoned = re.findall('"message": "(.*?)( was not closed in time and was abandoned)"', server.log)
    assert [name for name, _ in abandoned] == ["ConnectionRegistry"]
    assert "Traceback" not in server.log


@pytest.mark.parametrize("fault", FAULTS)
def test_awards_succeed_soon_after_each_fault_has_ended(
    fault: str, new_server: Callable[..., ServerProcess], postgres_server: PostgresServer
) -> None:
    with store_with(fault, postgres_server, new_server) as store:

        def cause_fault() -> None:
            store.begin()
            time.sleep(FAULT_S)
            store.end()

        with pauses() as paused:
            ended_s, answered = asyncio.run(_play(store.server, 1 + FAULT_S + BACK_S_MAX + 3, cause_fault))
            paused_s = paused.seconds
        assert max(one.took_s for _, one in answered) - paused_s <= 5.5
        late = [one for _, one in answered if one.asked_s > ended_s + BACK_S_MAX + paused_s]
        assert late
        assert {one.status for one in late} == {200}
        kept = store.awarded()
        assert acknowledged(answered) <= kept
        assert not never_awarded(answered) & kept
        assert store.server.stop() == 0
        assert "Traceback" not in store.server.log
