"""Many of a million players get points in a short time: measures what it costs to follow the commits."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.figures import Figures, percentile
from tests.journeys.steady_load import TimedSubmitter, submissions
from tests.scale.cpu_usage import CpuUsage
from tests.scale.test_rebuild import large_server
from tests.storage.sql_stores import run_sql

KNOWN, CHANGED, SECONDS = 1_000_000, 45_000, 30
READ = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'score_transactions'"


def test_each_of_forty_five_thousand_entries_is_read_once(tmp_path: Path) -> None:
    figures = Figures(f"{CHANGED:,} of {KNOWN:,} players are awarded points within {SECONDS} s, postgresql")
    with large_server("postgresql", KNOWN, tmp_path) as large:
        ready = submissions(large.server, [f"player-{number * (KNOWN // CHANGED)}" for number in range(CHANGED)])
        cpu, read_before = CpuUsage(large.server, large.store, large.database), run_sql(large.url, READ)[0][0]
        submitter = TimedSubmitter(large.server.port, ready, CHANGED / SECONDS)
        submitter.start()
        submitter.join()
        figures.say("CPU s", str(cpu.so_far()))
        figures.say("took s", submitter.took_s)
        figures.say("award p50, p99, ms", [round(percentile(submitter.took_us, share) / 1000, 1) for share in (0.5, 0.99)])
        large.server.wait_until_in_sync()
        figures.expect("submissions not accepted", CHANGED - submitter.statuses[200], 0)
        assert large.server.stop() == 0  # a session adds its statistics when it ends
        figures.promise("entries read, times those written", (run_sql(large.url, READ)[0][0] - read_before) / CHANGED, 1.5)
    assert figures.verdict() == 0
