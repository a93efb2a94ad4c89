"""Load test: the staleness of the board in a large room, and the cost of the room for submissions.

    .venv/bin/python -m tests.journeys.staleness [--viewers 5000] [--rate 100] [--seconds 10] [--rounds 5]

Each round has a server of its own and two phases with the same submissions: the first without sockets, the second while all
viewers read. The figures are the medians of the rounds. The leaders have many more points than the others, so that every viewer
gets each submission as a ``score:update`` with its own time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

from tests.journeys.figures import Costs, Figures, percentile, server_for
from tests.journeys.server import ServerProcess
from tests.journeys.steady_load import TimedSubmitter, send_all, submissions
from tests.journeys.viewer_load import Plan, viewer_process

P50_MS_MAX, P99_MS_MAX = 100, 250
AWARD_P99_RATIO_MAX = 1.3
LEADERS, LEAD, PLAYERS = 10, 30, 1_000
SETTLE_S = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if all limits were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, default=5_000)
    options.add_argument("--rate", type=int, default=100, help="submissions a second")
    options.add_argument("--seconds", type=float, default=10.0, help="how long each phase is")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--factor", type=float, default=1.0, help="a factor for the limits of the times")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.viewers:,} sockets read {wanted.rate} updates a second, medians of {wanted.rounds} rounds")
    rounds = [_round(figures, wanted.viewers, wanted.rate, wanted.seconds) for _ in range(wanted.rounds)]
    p50, p99, award_p99, award_ratio, cpu_s = map(median, zip(*rounds, strict=True))
    figures.promise("staleness p50 (ms)", p50, P50_MS_MAX * wanted.factor)
    figures.promise("staleness p99 (ms)", p99, P99_MS_MAX * wanted.factor)
    figures.say("p99 of an award beside it (ms)", award_p99)
    figures.promise("p99 of an award beside it, times the same without sockets", award_ratio, AWARD_P99_RATIO_MAX * wanted.factor)
    figures.say("CPU of the server for the fan-out (s a second)", f"{cpu_s:.3f}")
    return figures.verdict()


def _round(figures: Figures, viewers: int, rate: int, seconds: float) -> tuple[float, float, float, float, float]:
    with server_for(viewers) as server:
        send_all(server.port, submissions(server, [f"leader-{number}" for number in range(LEADERS)] * LEAD))
        ready = submissions(server, [f"player-{number % PLAYERS}" for number in range(round(2 * rate * seconds))])
        alone, alone_cpu_s = _submit(figures, server, ready[: len(ready) // 2], rate)
        plan = Plan(port=server.port, token=server.issue_token("watcher"), viewers=viewers)
        with viewer_process(plan) as load:
            figures.expect("viewers that joined", load.wait_joined(viewers, 60).joined, viewers)
            time.sleep(SETTLE_S)
            load.command("mark")
            beside, beside_cpu_s = _submit(figures, server, ready[len(ready) // 2 :], rate)
            time.sleep(SETTLE_S)
            report = load.report()
    figures.expect("viewers cut off", report.lost, 0)
    stale = [percentile(report.stale_ms, share) for share in (0.5, 0.99)]
    award = [percentile(took_us, 0.99) / 1000 for took_us in (alone, beside)]
    half = [percentile(took_us, 0.5) / 1000 for took_us in (alone, beside)]
    cpu_s = beside_cpu_s - alone_cpu_s
    figures.say("staleness p50, p99 (ms)", f"{stale[0]}, {stale[1]}")
    figures.say("p50 of an award, alone and beside (ms)", f"{half[0]:.1f}, {half[1]:.1f}")
    figures.say("p99 of an award, alone and beside (ms)", f"{award[0]:.1f}, {award[1]:.1f}")
    figures.say("CPU, alone and beside (s a second)", f"{alone_cpu_s:.3f}, {beside_cpu_s:.3f}")
    return stale[0], stale[1], award[1], award[1] / award[0], cpu_s


def _submit(figures: Figures, server: ServerProcess, requests: Sequence[bytes], rate: int) -> tuple[Counter[int], float]:
    """(the times of the submissions in microseconds, the server's CPU seconds a second meanwhile)."""
    costs, submitter = Costs(server), TimedSubmitter(server.port, requests, rate)
    submitter.start()
    submitter.join()
    cpu_s = costs.cpu_s / submitter.took_s
    figures.expect("submissions not accepted", len(requests) - submitter.statuses[200], 0)
    return submitter.took_us, cpu_s


if __name__ == "__main__":
    sys.exit(main())
