"""Load generator: players who submit at a steady rate, and keep-alive connections that request one path all the time.

The players run in this process; the unknown clients run in a separate one, so that they do not disturb the measurement.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event as ProcessEvent

from tests.journeys.random_clients import RawConnection, Refused
from tests.journeys.server import ServerProcess

PLAYERS = 16
AWARDS_PER_PLAYER_AND_S = 4
#: The seconds in which the sockets are opened.
CONNECTED_S = 4.0


@dataclass
class AwardAnswers:
    """The answers to the players and the duration of each submission."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        return 1000 * sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


def awards_for(server: ServerProcess, seconds: float) -> AwardAnswers:
    """Let the players submit for so many seconds."""
    submissions = asyncio.run(_initialized(server, int(seconds * AWARDS_PER_PLAYER_AND_S)))
    return asyncio.run(_submit(server, submissions))


class UnknownClients:
    """A context in which ``count`` connections request ``path`` without a token, each again as soon as it is answered.

    ``addresses`` are the loopback addresses of the connections, in turn. After the block ``statuses`` counts the answers.
    """

    def __init__(self, server: ServerProcess, path: str, count: int, addresses: tuple[str, ...] = ("127.0.0.1",)) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop: ProcessEvent = context.Event()
        self._answers: multiprocessing.Queue[Counter[int]] = context.Queue()
        self._process = context.Process(
            target=_ask_until, args=(server.port, path, count, addresses, self._stop, self._answers), daemon=True
        )
        self.statuses: Counter[int] = Counter()

    def __enter__(self) -> UnknownClients:
        self._process.start()
        time.sleep(1.5)  # wait until all of them are connected
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.statuses = self._answers.get(timeout=20)
        self._process.join(20)


async def _initialized(server: ServerProcess, count: int) -> list[list[tuple[bytes, dict[str, str]]]]:
    return [[_submission(server, f"player-{n}") for _ in range(count)] for n in range(PLAYERS)]


def _submission(server: ServerProcess, user_id: str) -> tuple[bytes, dict[str, str]]:
    import json

    body = json.dumps(server.initialize(user_id)).encode()
    return body, {"Authorization": f"Bearer {server.issue_token(user_id)}", "Content-Type": "application/json"}


async def _submit(server: ServerProcess, submissions: list[list[tuple[bytes, dict[str, str]]]]) -> AwardAnswers:
    awards = AwardAnswers()

    async def play(mine: list[tuple[bytes, dict[str, str]]], late_s: float) -> None:
        connection = await RawConnection.open(server.port)
        due_s = time.monotonic() + late_s
        for body, headers in mine:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            due_s += 1 / AWARDS_PER_PLAYER_AND_S
            began_s = time.monotonic()
            status, _ = await connection.ask("POST", "/api/v1/scores/submit", body, headers)
            awards.statuses[status] += 1
            awards.seconds.append(time.monotonic() - began_s)
        connection.writer.close()

    await asyncio.gather(*[play(mine, n / PLAYERS / AWARDS_PER_PLAYER_AND_S) for n, mine in enumerate(submissions)])
    return awards


def _ask_until(
    port: int, path: str, count: int, addresses: tuple[str, ...], stop: ProcessEvent, answers: multiprocessing.Queue[Counter[int]]
) -> None:
    """The main function of the process of unknown clients."""
    statuses: Counter[int] = Counter()

    async def ask(address: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        connection = RawConnection(reader, writer)
        while not stop.is_set():
            statuses[(await connection.ask("GET", path))[0]] += 1
        writer.close()

    async def run_all() -> None:
        await asyncio.gather(*[ask(addresses[n % len(addresses)]) for n in range(count)])

    asyncio.run(run_all())
    answers.put(statuses)


class SpectateLoad:
    """A context in which each socket sends ``events_per_s`` ``spectate:user`` events a second, for changing players."""

    def __init__(self, server: ServerProcess, sockets: int, events_per_s: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connected: ProcessEvent = context.Event()
        self._stop: ProcessEvent = context.Event()
        self._process = context.Process(
            target=_spectate_until,
            args=(server.port, server.issue_token("watcher"), sockets, events_per_s, self._connected, self._stop),
            daemon=True,
        )

    def __enter__(self) -> SpectateLoad:
        self._process.start()
        assert self._connected.wait(60), "the sockets did not all open"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.exitcode is None, "the sockets did not stay open"
        self._stop.set()
        self._process.join(20)


def _spectate_until(port: int, token: str, sockets: int, events_per_s: int, connected: ProcessEvent, stop: ProcessEvent) -> None:
    """The main function of the process of those sockets. A socket may spectate 32 players, so it repeats 32 names."""
    opened = 0

    async def open_one() -> RawConnection:
        while True:
            connection = await RawConnection.open(port)
            try:
                await connection.upgrade("/ws", {"Authorization": f"Bearer {token}"})
            except Refused as refusal:
                if str(refusal) != "503":  # the reactor is late; a client tries again, as `Retry-After` says
                    raise
                connection.writer.close()
                await asyncio.sleep(1)
            else:
                return connection

    async def read(connection: RawConnection) -> None:
        while await connection.reader.read(65_536):
            pass

    async def spectate(late_s: float) -> None:
        nonlocal opened
        await asyncio.sleep(late_s)  # otherwise the server's reactor is late and accepts no socket
        connection = await open_one()
        opened += 1
        if opened == sockets:
            connected.set()
        reading = asyncio.ensure_future(read(connection))
        number = 0
        while not stop.is_set() and not reading.done():
            connection.send(f'{{"event":"spectate:user","data":"player-{number % 32}","id":{number}}}')
            number += 1
            await asyncio.sleep(1 / events_per_s)
        assert not reading.done(), "a socket was closed"
        reading.cancel()
        connection.writer.close()

    async def run_all() -> None:
        await asyncio.gather(*[spectate(CONNECTED_S * n / sockets) for n in range(sockets)])

    asyncio.run(run_all())
