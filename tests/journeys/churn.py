"""Churn: clients connect and disconnect for a minute. Afterwards the server's metrics must show that nothing of them is left.

    .venv/bin/python -m tests.journeys.churn [--seconds 60] [--rate 100] [--no-silent]

The clients are native sockets, Socket.IO (polling, WebSocket, and an upgrade) and event streams, on both ports. Each ends at a
random point in a random way, while scores change. A fifth of them go silent and keep their connections open, and a polling
client may never send another request: the server must detect these itself, after its ping timeout of 45 s. (A client never
sends anything on a stream: as long as its kernel takes data, the stream stays open.)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.journeys.figures import Figures, metrics, server_for
from tests.journeys.random_clients import ENDS, RandomClients
from tests.journeys.server import ServerProcess
from tests.journeys.steady_load import Submitter, send_all, submissions

#: The metrics that count what the server keeps for a client.
COUNTED = (
    "websocket_connections_active",
    "websocket_connections_handshaking",
    "engine_sessions_active",
    "listeners_active",
    "room_members",
    "room_members_stalled",
    "http_connections_active",
    "reactor_delayed_calls",
    "process_open_fds",
)
UPDATES_PER_S = 20
CLIENTS_MAX = 8_000
#: The longest deadline for a silent client, the one of an HTTP connection, and some more time.
SETTLE_S_MAX = 75.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if all limits were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--rate", type=float, default=100.0, help="new clients a second")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--no-silent", action="store_true", help="no client goes silent, so that the end needs no timeouts")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.rate * wanted.seconds:,.0f} clients come and go in {wanted.seconds:g} s")
    with server_for(CLIENTS_MAX, TRUSTED_PROXIES="127.0.0.1") as server:
        send_all(server.port, submissions(server, [f"leader-{number}" for number in range(20)]))
        moves = submissions(server, [f"player-{number % 200}" for number in range(round(UPDATES_PER_S * (wanted.seconds + 2)))])
        # The ledger opens its connections at their first use: this must happen before the first count.
        assert server.play("first").status == 200
        assert server.get("/api/v1/me/achievements", server.issue_token("first")).status == 200
        before = _least(server, 5)
        clients = RandomClients(server, wanted.seed, ENDS[:-1] if wanted.no_silent else ENDS)
        submitter = Submitter(server.port, moves, UPDATES_PER_S)
        submitter.start()
        most, after, gone_s = asyncio.run(_churn(server, clients, wanted.rate, wanted.seconds, before))
        submitter.join()
        figures.expect("submissions not accepted", len(moves) - submitter.statuses[200], 0)
        _check(figures, clients, before, most, after)
        figures.say("all of it was gone after (s)", gone_s)
        log = server.log
    figures.expect("faults in the log", log.count("Traceback") + log.count('"level": "critical"'), 0)
    return figures.verdict()


async def _churn(
    server: ServerProcess, clients: RandomClients, rate: float, seconds: float, before: dict[str, int]
) -> tuple[Counter[str], dict[str, int], float]:
    """(the highest counts meanwhile, the counts in the end, the seconds until these were reached)."""
    most: Counter[str] = Counter()
    churn = asyncio.create_task(clients.run(rate, seconds))
    while not churn.done():
        await asyncio.sleep(0.5)
        for name, value in (await asyncio.to_thread(_counted, server)).items():
            most[name] = max(most[name], value)
    await churn
    began_s = time.monotonic()
    after = await asyncio.to_thread(_settled, server, before)
    gone_s = time.monotonic() - began_s
    clients.close_silent()
    return most, after, gone_s


def _check(figures: Figures, clients: RandomClients, before: dict[str, int], most: Counter[str], after: dict[str, int]) -> None:
    ends: Counter[str] = Counter()
    for what, times in clients.started.items():
        ends[what.split(", ")[1]] += times
    figures.say("clients by their end", ", ".join(f"{end}: {times}" for end, times in sorted(ends.items())))
    for why, times in clients.refused.most_common(8):
        figures.say(f"not as expected: {why}", times)
    figures.promise("not as expected, of all (%)", 100 * clients.refused.total() / clients.started.total(), 1.0)
    for name in COUNTED:
        figures.promise(f"{name} (before: {before[name]}, at most: {most[name]})", after[name], before[name])


def _counted(server: ServerProcess) -> dict[str, int]:
    found = metrics(server)
    return {name: round(found[name]) for name in COUNTED}


def _least(server: ServerProcess, readings: int) -> dict[str, int]:
    """The lowest counts of several readings, so that a short use by the server itself does not count."""
    seen = []
    for _ in range(readings):
        seen.append(_counted(server))
        time.sleep(0.3)
    return {name: min(one[name] for one in seen) for name in COUNTED}


def _settled(server: ServerProcess, before: dict[str, int]) -> dict[str, int]:
    """The counts once none is higher than before, or when the time is up."""
    until_s = time.monotonic() + SETTLE_S_MAX
    while True:
        found = _least(server, 3)
        if all(found[name] <= before[name] for name in COUNTED) or time.monotonic() > until_s:
            return found


if __name__ == "__main__":
    sys.exit(main())
