"""Load test, reconnect storm: the server restarts, and all clients reconnect at once. Measures the time until all have joined.

    .venv/bin/python -m tests.journeys.storm [--viewers 5000] [--kill] [--one-address]

Real clients wait a random time before their first attempt. The clients here do not, so the load is higher. A refused client waits
as our other clients do. Every client must have the right board. In the end one score changes, and every client must
get the change: this shows that it is in the room and not only connected.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.journeys.figures import Costs, Figures, metrics, server_for
from tests.journeys.server import ServerProcess
from tests.journeys.steady_load import send_all, submissions
from tests.journeys.viewer_load import Plan, Report, viewer_process

BACK_S_MAX = 20.0
HEARD_S_MAX = 5.0
PLAYERS = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if all limits were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, default=5_000)
    options.add_argument("--kill", action="store_true", help="SIGKILL in place of SIGTERM: no close frames")
    options.add_argument("--one-address", action="store_true", help="all clients have one address, without a trusted proxy")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.viewers:,} clients come back at once after a {'SIGKILL' if wanted.kill else 'restart'}")
    with server_for(wanted.viewers, TRUSTED_PROXIES="" if wanted.one_address else "127.0.0.1") as server:
        players = [f"player-{number}" for number in range(PLAYERS)]
        send_all(
            server.port, submissions(server, [player for number, player in enumerate(players) for _ in range(1 + number % 12)])
        )
        plan = Plan(port=server.port, token=server.issue_token("watcher"), viewers=wanted.viewers)
        with viewer_process(plan) as viewers:
            figures.expect("viewers that joined", viewers.wait_joined(wanted.viewers, 60).joined, wanted.viewers)
            board = server.board(10)
            down_s = _restart(server, wanted.kill)
            figures.say("from the signal until the server was ready again (s)", down_s)
            figures.expect("the board is the same", server.board(10) == board, True)
            figures.expect("viewers that noticed", viewers.report().lost, wanted.viewers)
            viewers.command("mark")
            costs = Costs(server)
            costs.start()
            viewers.command("return")
            report = viewers.wait_joined(wanted.viewers, BACK_S_MAX)
            cpu_s = costs.cpu_s
            costs.stop()
            _check(figures, report, wanted.viewers, board)
            figures.say("CPU of server, of driver (s)", f"{cpu_s:.1f}, {report.cpu_s:.1f}")
            figures.say("reactor late at most, of the last 10 s (ms)", costs.lag_s * 1000)
            figures.expect("the server counts them", round(metrics(server)["room_members"]), wanted.viewers)
            viewers.command("listen", b'"userId":"late-comer"')
            server.play("late-comer")
            until_s = time.monotonic() + HEARD_S_MAX
            while (received := viewers.report().received) < wanted.viewers and time.monotonic() < until_s:
                time.sleep(0.05)
            figures.expect("viewers that got the next change", received, wanted.viewers)
    return figures.verdict()


def _restart(server: ServerProcess, kill: bool) -> float:
    """Restart the server; returns the seconds until it was ready."""
    began_s = time.monotonic()
    if kill:
        server.kill()
    else:
        server.stop()
    server.start()
    return time.monotonic() - began_s


def _check(figures: Figures, report: Report, viewers: int, board: list[tuple[str, int]]) -> None:
    right = report.boards[json.dumps(board)]
    back_s = sorted(report.back_s)
    figures.say("attempts that were refused or failed", ", ".join(f"{why}: {n}" for why, n in report.refusals.items()) or "none")
    figures.expect("viewers that joined again", report.joined, viewers)
    figures.expect("with the right board", right, viewers)
    figures.expect("whose cursor went back", report.went_back, 0)
    if back_s:
        figures.say("half of them back after (s)", back_s[len(back_s) // 2])
        figures.promise("all of them back after (s)", back_s[-1], BACK_S_MAX)


if __name__ == "__main__":
    sys.exit(main())
