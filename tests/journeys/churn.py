"""A minute of clients that come and go: afterwards nothing of them is left in the server, counted by its own metrics.

    .venv/bin/python -m tests.journeys.churn [--seconds 60] [--rate 100] [--no-silent]

Native and Socket.IO clients (over polling, over WebSocket, from one to the other) and event streams, on both ports, each ended
at a random point in a random way, while the board moves. A fifth of them just fall silent with their connections open, and who
polls may never come again: those the server must find out by itself, which takes its ping's 45 s. (Of a stream nothing is ever
heard: as long as its client's kernel takes what it is sent, it is there.)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.journeys.figures import Figures, metrics, server_for
from tests.journeys.pace import Pace, asked, submissions
from tests.journeys.passers import ENDS, Passers
from tests.journeys.server import ServerProcess

#: Everything that a client may have of the server.
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
CROWD = 8_000
#: The longest deadline of one that is silent, an HTTP connection's, and a moment.
SETTLE_S_MAX = 75.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 when the promises were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--rate", type=float, default=100.0, help="clients that come in a second")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--no-silent", action="store_true", help="nobody falls silent or stays away, so that it is soon over")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.rate * wanted.seconds:,.0f} clients come and go in {wanted.seconds:g} s")
    with server_for(CROWD, TRUSTED_PROXIES="127.0.0.1") as server:
        asked(server.port, submissions(server, [f"leader-{number}" for number in range(20)]))
        moves = submissions(server, [f"player-{number % 200}" for number in range(round(UPDATES_PER_S * (wanted.seconds + 2)))])
        # The ledger's connections are opened when they are first needed: before anything is counted.
        assert server.play("first").status == 200
        assert server.get("/api/v1/me/achievements", server.issue_token("first")).status == 200
        before = _least(server, 5)
        passers = Passers(server, wanted.seed, ENDS[:-1] if wanted.no_silent else ENDS)
        pace = Pace(server.port, moves, UPDATES_PER_S)
        pace.start()
        most, after, gone_s = asyncio.run(_churn(server, passers, wanted.rate, wanted.seconds, before))
        pace.join()
        figures.expect("submissions not accepted", len(moves) - pace.statuses[200], 0)
        _judge(figures, passers, before, most, after)
        figures.say("all of it was gone after (s)", gone_s)
        log = server.log
    figures.expect("faults in the log", log.count("Traceback") + log.count('"level": "critical"'), 0)
    return figures.verdict()


async def _churn(
    server: ServerProcess, passers: Passers, rate: float, seconds: float, before: dict[str, int]
) -> tuple[Counter[str], dict[str, int], float]:
    """Let them: the most that the server counted meanwhile, what it counts in the end, and how many seconds later that was."""
    most: Counter[str] = Counter()
    churn = asyncio.create_task(passers.come_and_go(rate, seconds))
    while not churn.done():
        await asyncio.sleep(0.5)
        for name, value in (await asyncio.to_thread(_counted, server)).items():
            most[name] = max(most[name], value)
    await churn
    began_s = time.monotonic()
    after = await asyncio.to_thread(_settled, server, before)
    gone_s = time.monotonic() - began_s
    passers.send_away()
    return most, after, gone_s


def _judge(figures: Figures, passers: Passers, before: dict[str, int], most: Counter[str], after: dict[str, int]) -> None:
    ends: Counter[str] = Counter()
    for what, times in passers.came.items():
        ends[what.split(", ")[1]] += times
    figures.say("clients by their end", ", ".join(f"{end}: {times}" for end, times in sorted(ends.items())))
    for why, times in passers.refused.most_common(8):
        figures.say(f"not as they wanted: {why}", times)
    figures.promise("not as they wanted, of all (%)", 100 * passers.refused.total() / passers.came.total(), 1.0)
    for name in COUNTED:
        figures.promise(f"{name} (before: {before[name]}, at most: {most[name]})", after[name], before[name])


def _counted(server: ServerProcess) -> dict[str, int]:
    found = metrics(server)
    return {name: round(found[name]) for name in COUNTED}


def _least(server: ServerProcess, looks: int) -> dict[str, int]:
    """The least of several looks: what comes and goes by itself does not count."""
    seen = []
    for _ in range(looks):
        seen.append(_counted(server))
        time.sleep(0.3)
    return {name: min(one[name] for one in seen) for name in COUNTED}


def _settled(server: ServerProcess, before: dict[str, int]) -> dict[str, int]:
    """What is counted once nothing is above what it was, or when the time is up."""
    until_s = time.monotonic() + SETTLE_S_MAX
    while True:
        found = _least(server, 3)
        if all(found[name] <= before[name] for name in COUNTED) or time.monotonic() > until_s:
            return found


if __name__ == "__main__":
    sys.exit(main())
