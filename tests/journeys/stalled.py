"""Load test: many sockets stop reading. Measures the delay of the others, the memory, and the time until they are closed.

    .venv/bin/python -m tests.journeys.stalled [--viewers 5000] [--stalled 1000] [--rate 200] [--seconds 20]

One server has two phases of equal length with the same submissions: first all sockets read, then some stop. The leaders have many
more points than the others, so that every socket gets each submission as a ``score:update`` with its own time. A stalled socket
has a receive buffer for little more than a tick: the server cannot see what the client's kernel takes (64 KiB, several seconds).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.journeys.figures import Costs, Figures, metrics, percentile, server_for
from tests.journeys.server import ServerProcess
from tests.journeys.steady_load import Submitter, send_all, submissions
from tests.journeys.viewer_load import Plan, Report, ViewerProcess, viewer_process

TICK_MS = 50
LATER_MS_MAX = 2 * TICK_MS
KIB_EACH_MAX = 64
CLOSED_S_MAX = 15.0
SETTLE_S = 1.0
LEADERS, LEAD = 10, 30


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if all limits were kept."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--viewers", type=int, default=5_000)
    options.add_argument("--stalled", type=int, default=1_000)
    options.add_argument("--rate", type=int, default=200, help="submissions a second")
    options.add_argument("--seconds", type=float, default=20.0, help="how long each phase is")
    options.add_argument("--players", type=int, default=1_000)
    options.add_argument(
        "--receive-bytes", type=int, default=16_384, help="receive buffer of stalled sockets; 0: the kernel's default"
    )
    options.add_argument("--later-ms", type=int, default=LATER_MS_MAX, help="how much later the others may get an update")
    options.add_argument("--any-end", action="store_true", help="do not wait until the stalled sockets are closed")
    wanted = options.parse_args(argv)
    figures = Figures(f"{wanted.stalled:,} of {wanted.viewers:,} sockets stop reading, {wanted.rate} updates a second")
    with server_for(wanted.viewers) as server:
        send_all(server.port, submissions(server, [f"leader-{number}" for number in range(LEADERS)] * LEAD))
        names = [f"player-{number % wanted.players}" for number in range(round(2 * wanted.rate * wanted.seconds))]
        ready = submissions(server, names)
        plan = Plan(
            port=server.port,
            token=server.issue_token("watcher"),
            viewers=wanted.viewers,
            stalling=wanted.stalled,
            stalling_receive_bytes=wanted.receive_bytes,
        )
        with viewer_process(plan) as viewers:
            figures.expect("viewers that joined", viewers.wait_joined(wanted.viewers, 60).joined, wanted.viewers)
            time.sleep(SETTLE_S)
            phases = Phases(figures=figures, server=server, viewers=viewers, rate=wanted.rate)
            calm, _ = phases.play("all read", ready[: len(ready) // 2])
            before = metrics(server)
            rough, grown_kib = phases.play("some stalled", ready[len(ready) // 2 :], stall=wanted.stalled)
            _check_others(figures, calm, rough, wanted.later_ms)
            figures.promise("KiB of server memory a stalled socket, at the peak", grown_kib / wanted.stalled, KIB_EACH_MAX)
            if not wanted.any_end:
                _check_closed(figures, server, viewers, wanted.stalled, before)
    return figures.verdict()


@dataclass(frozen=True, kw_only=True)
class Phases:
    """A server, its viewers, and the rate of submissions."""

    figures: Figures
    server: ServerProcess
    viewers: ViewerProcess
    rate: int

    def play(self, name: str, requests: Sequence[bytes], stall: int = 0) -> tuple[Report, int]:
        """Send the submissions while ``stall`` viewers stall; returns (the viewers' report, the growth of the server in KiB)."""
        figures, viewers = self.figures, self.viewers
        costs, submitter = Costs(self.server), Submitter(self.server.port, requests, self.rate)
        load_cpu_s = viewers.report().cpu_s
        viewers.command("mark")
        viewers.command("stall", stall)
        costs.start()
        submitter.start()
        submitter.join()
        cpu_s = costs.cpu_s
        time.sleep(SETTLE_S)
        report = viewers.report()
        costs.stop()
        each_s = f"{cpu_s / submitter.took_s:.2f}, {(report.cpu_s - load_cpu_s) / submitter.took_s:.2f}"
        figures.expect(f"{name}: submissions not accepted", len(requests) - submitter.statuses[200], 0)
        figures.say(f"{name}: submissions a second", len(requests) / submitter.took_s)
        figures.say(f"{name}: CPU of server, of driver (s a second)", each_s)
        figures.say(f"{name}: reactor late at most, of the last 10 s (ms)", costs.lag_s * 1000)
        for share in (0.5, 0.99, 1.0):
            figures.say(f"{name}: staleness p{share * 100:g} (ms)", percentile(report.stale_ms, share))
        return report, costs.rss_kib - costs.rss_kib_first


def _check_others(figures: Figures, calm: Report, rough: Report, later_ms: int) -> None:
    p99 = percentile(calm.stale_ms, 0.99)
    figures.promise("the others' p99 staleness (ms)", percentile(rough.stale_ms, 0.99), p99 + later_ms)
    figures.expect("others cut off", calm.lost + rough.lost, 0)
    figures.expect("both phases measured", bool(calm.stale_ms and rough.stale_ms), True)


def _check_closed(
    figures: Figures, server: ServerProcess, viewers: ViewerProcess, stalled: int, before: dict[str, float]
) -> None:
    until_s = time.monotonic() + CLOSED_S_MAX
    while len((report := viewers.report()).ended_s) < stalled and time.monotonic() < until_s:
        time.sleep(0.2)
    figures.expect("stalled sockets closed", len(report.ended_s), stalled)
    figures.promise("the last of them closed after (s)", max(report.ended_s, default=0.0), CLOSED_S_MAX)
    after = metrics(server)
    name = "websocket_connections_active"
    figures.expect("the server counts fewer sockets by", round(before[name] - after[name]), stalled)


if __name__ == "__main__":
    sys.exit(main())
