"""Many of a million players get points in a short time: measures what it costs PostgreSQL and the awards to follow the commits."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.figures import Figures, percentile
from tests.journeys.steady_load import TimedPace, submissions
from tests.scale.spent import Spent
from tests.scale.test_rebuild import crowd_of
from tests.storage.sql_stores import tell

KNOWN, CHANGED, SECONDS = 1_000_000, 45_000, 30
READ = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'score_transactions'"


def test_each_of_forty_five_thousand_entries_is_read_once(tmp_path: Path) -> None:
    figures = Figures(f"{CHANGED:,} of {KNOWN:,} players are awarded points within {SECONDS} s, postgresql")
    with crowd_of("postgresql", KNOWN, tmp_path) as crowd:
        ready = submissions(crowd.server, [f"player-{number * (KNOWN // CHANGED)}" for number in range(CHANGED)])
        spent, read_before = Spent(crowd.server, crowd.store, crowd.database), tell(crowd.url, READ)[0][0]
        pace = TimedPace(crowd.server.port, ready, CHANGED / SECONDS)
        pace.start()
        pace.join()
        figures.say("CPU s", str(spent.so_far()))
        figures.say("took s", pace.took_s)
        figures.say("award p50, p99, ms", [round(percentile(pace.took_us, share) / 1000, 1) for share in (0.5, 0.99)])
        crowd.server.wait_until_in_sync()
        figures.expect("submissions not accepted", CHANGED - pace.statuses[200], 0)
        assert crowd.server.stop() == 0  # a session adds its statistics when it ends
        figures.promise("entries read, times those written", (tell(crowd.url, READ)[0][0] - read_before) / CHANGED, 1.5)
    assert figures.verdict() == 0
