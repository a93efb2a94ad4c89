"""A restart, and everybody comes back in the same moment: how soon all are inside again, and whether their board is right.

    .venv/bin/python -m tests.journeys.storm [--viewers 5000] [--kill] [--one-address]

Harsher than clients are: nobody waits a random time before the first attempt. Who is refused then obeys Retry-After and the
documented way of coming back. At last one score changes, which all must hear: they are not only connected, but in the room.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.journeys.crowd import Plan, Report, crowd
from tests.journeys.figures import Costs, Figures, metrics, server_for
from tests.journeys.pace import asked, submissions
from tests.journeys.server import ServerProcess

BACK_S_MAX = 20.0
HEARD_S_MAX = 5.0
PLAYERS = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 when the promises were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, default=5_000)
    options.add_argument("--kill", action="store_true", help="SIGKILL in place of SIGTERM: no goodbye")
    options.add_argument("--one-address", action="store_true", help="all come from one address, not through our proxy")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.viewers:,} clients come back at once after a {'SIGKILL' if wanted.kill else 'restart'}")
    with server_for(wanted.viewers, TRUSTED_PROXIES="" if wanted.one_address else "127.0.0.1") as server:
        players = [f"player-{number}" for number in range(PLAYERS)]
        asked(server.port, submissions(server, [player for number, player in enumerate(players) for _ in range(1 + number % 12)]))
        plan = Plan(port=server.port, token=server.issue_token("watcher"), viewers=wanted.viewers)
        with crowd(plan) as gathered:
            figures.expect("viewers inside", gathered.wait_inside(wanted.viewers, 60).inside, wanted.viewers)
            board = server.board(10)
            down_s = _restart(server, wanted.kill)
            figures.say("from the signal until the server was ready again (s)", down_s)
            figures.expect("the board is the same", server.board(10) == board, True)
            figures.expect("viewers that noticed", gathered.report().lost, wanted.viewers)
            gathered.order("mark")
            costs = Costs(server)
            costs.start()
            gathered.order("return")
            report = gathered.wait_inside(wanted.viewers, BACK_S_MAX)
            cpu_s = costs.cpu_s
            costs.stop()
            _judge(figures, report, wanted.viewers, board)
            figures.say("CPU of server, of driver (s)", f"{cpu_s:.1f}, {report.cpu_s:.1f}")
            figures.say("reactor late at most, of the last 10 s (ms)", costs.lag_s * 1000)
            figures.expect("the server counts them", round(metrics(server)["room_members"]), wanted.viewers)
            gathered.order("listen", b'"userId":"late-comer"')
            server.play("late-comer")
            until_s = time.monotonic() + HEARD_S_MAX
            while (received := gathered.report().received) < wanted.viewers and time.monotonic() < until_s:
                time.sleep(0.05)
            figures.expect("who heard the next change", received, wanted.viewers)
    return figures.verdict()


def _restart(server: ServerProcess, kill: bool) -> float:
    """Down and up again; how long that took."""
    began_s = time.monotonic()
    if kill:
        server.kill()
    else:
        server.stop()
    server.start()
    return time.monotonic() - began_s


def _judge(figures: Figures, report: Report, viewers: int, board: list[tuple[str, int]]) -> None:
    right = report.boards[json.dumps(board)]
    back_s = sorted(report.back_s)
    figures.say("attempts that were refused or failed", ", ".join(f"{why}: {n}" for why, n in report.refusals.items()) or "none")
    figures.expect("back inside", report.inside, viewers)
    figures.expect("with the right board", right, viewers)
    figures.expect("whose cursor went back", report.went_back, 0)
    if back_s:
        figures.say("half of them back after (s)", back_s[len(back_s) // 2])
        figures.promise("all of them back after (s)", back_s[-1], BACK_S_MAX)


if __name__ == "__main__":
    sys.exit(main())
