"""The rebuild of a board of one and of ten million players after Redis lost everything; and the cost of the sweep.

During the rebuild the ports are open and awards succeed; at a million players 300 readers ask. Ten million players need 3 GB of
memory for Redis and 4 GB of disk.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
import redis

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.storage.redis.board_records import read_version, sort_score_of
from scoreboard.storage.schema import migrate
from tests.drills.filled_ledger import fill
from tests.drills.readers import Readers
from tests.journeys.figures import Figures, metrics
from tests.journeys.server import ServerProcess
from tests.scale.cpu_usage import CpuUsage
from tests.storage.postgres_server import PostgresServer
from tests.storage.sql_stores import open_store

READERS = 300
READERS_FACTOR_MAX = 1.5
PLAYERS_PER_S_MIN = 50_000
SWEEP_CORE_SHARE_MAX = 0.03
SWEEP_ROUND_S_MAX = 60.0
LOOKS_S = 75.0
AWARDS_PAUSE_S = 0.05
SAMPLE = 1_000
RANKING, KNOWN, STATE = "leaderboard:global", "{leaderboard:global}:players", "{leaderboard:global}:state"


class LargeServer:
    """A server on its own ledger with many players."""

    def __init__(self, kind: str, players: int, directory: Path, *, entries: bool) -> None:
        self.players, self.directory = players, directory
        data_dir = directory / "server"
        data_dir.mkdir(mode=0o700)
        self.database = PostgresServer() if kind == "postgresql" else None
        if self.database is not None:
            self.database.start()
        self.url = f"sqlite:///{data_dir}/ledger.db" if self.database is None else self.database.fresh()
        migrate(self.url)
        fill(self.url, players, entries=entries)
        self.server = ServerProcess(data_dir, {"DATABASE_URL": self.url, "RATE_LIMIT_GLOBAL_MAX": "1000000"})
        self.store = redis.Redis(unix_socket_path=str(data_dir / "redis" / "redis.sock"))

    def lose_and_rebuild(self, figures: Figures, called: str) -> float:
        """Empty Redis and wait for the rebuild, while awards go on; reports the seconds."""
        cpu = CpuUsage(self.server, self.store, self.database)
        self.store.flushall(asynchronous=True)
        began, took = time.monotonic(), []
        while not self.store.hexists(STATE, "epoch"):
            asked = time.monotonic()
            assert asked - began < 1_200, self.server.log[-3000:]
            assert self.server.get("/healthz").status == 200
            assert self.server.play(f"player-{random.randrange(self.players)}").status == 200
            took.append(time.monotonic() - asked)
            time.sleep(AWARDS_PAUSE_S)
        seconds = time.monotonic() - began
        figures.say(f"{called}: s", seconds)
        figures.say(f"{called}: players/s", round(self.players / seconds))
        figures.say(f"{called}: CPU s", str(cpu.so_far()))
        figures.say(f"{called}: health, initialize, submit, together: p50, most, ms", _middle_and_most(took))
        figures.say(f"{called}: reactor late at most in the last 10 s, ms", 1_000 * metrics(self.server)["reactor_lag_seconds"])
        self.server.wait_until_in_sync(60)
        return seconds

    def expect_board_is_ledger(self, figures: Figures) -> None:
        """Assert that the board has all players, and that a sample of them has the ledger's versions and totals."""
        figures.expect("players on the board", self.store.zcard(RANKING), self.players)
        reads = open_store(self.url).reads
        sample = [f"player-{n}" for n in random.sample(range(self.players), SAMPLE)]
        standings = [one for at in range(0, SAMPLE, 500) for one in reads.accounts_of(GLOBAL_BOARD, sample[at : at + 500])]
        reads.close()
        versions = [read_version(cast(bytes | None, value)) for value in self.store.hmget(KNOWN, sample)]
        on_board = list(zip(versions, self.store.zmscore(RANKING, sample), strict=True))
        figures.expect(
            "1,000 players have the ledger's totals on the board",
            on_board == [(one.version, sort_score_of(one)) for one in standings],
            True,
        )


def _middle_and_most(took: list[float]) -> str:
    return f"{1_000 * statistics.median(took):.0f}, {1_000 * max(took):.0f}"


@contextmanager
def large_server(kind: str, players: int, directory: Path, *, entries: bool = True) -> Iterator[LargeServer]:
    large = LargeServer(kind, players, directory, entries=entries)
    try:
        began = time.monotonic()
        large.server.launch()
        large.server.wait_until_ready()
        assert time.monotonic() - began < 10, "a start does not wait for the rebuild"
        large.server.wait_until_in_sync(1_200)
        yield large
        assert large.server.stop() == 0
        assert "Traceback" not in large.server.log
    finally:
        large.server.kill()
        large.store.close()
        if large.database is not None:
            large.database.remove()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_board_of_a_million_players_is_rebuilt_under_reads(kind: str, tmp_path: Path) -> None:
    figures = Figures(f"rebuild of 1,000,000 players, {kind}")
    with large_server(kind, 1_000_000, tmp_path) as large:
        alone = min(large.lose_and_rebuild(figures, "alone") for _ in range(2))
        with Readers(large.server, READERS, 600, tmp_path) as readers:
            time.sleep(3)
            among = min(large.lose_and_rebuild(figures, f"{READERS} readers") for _ in range(2))
        figures.say("what the readers got", str(readers.statuses))
        figures.promise("times as long as alone", among / alone, READERS_FACTOR_MAX)
        large.expect_board_is_ledger(figures)
        checked = large.server.command_line("replay", "verify", timeout_s=1_200)
        figures.expect("replay verify: exit status", checked.returncode, 0)
    assert figures.verdict() == 0


def test_a_board_of_ten_million_players_is_rebuilt(tmp_path: Path) -> None:
    figures = Figures("rebuild of 10,000,000 players, postgresql")
    with large_server("postgresql", 10_000_000, tmp_path, entries=False) as large:
        seconds = large.lose_and_rebuild(figures, "alone")
        figures.promise("s", seconds, large.players / PLAYERS_PER_S_MIN)
        large.expect_board_is_ledger(figures)
    assert figures.verdict() == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_sweep_of_a_hundred_thousand_players_costs_little_cpu(kind: str, tmp_path: Path) -> None:
    """Compares an idle server of many players with one of a single player: the difference is the cost of the sweep."""
    figures = Figures(f"the sweep of 100,000 players, {kind}")
    shares = {}
    for players in (1, 100_000):
        directory = tmp_path / str(players)
        directory.mkdir()
        with large_server(kind, players, directory) as large:
            cpu = CpuUsage(large.server, large.store, large.database)
            time.sleep(LOOKS_S)
            cost = cpu.so_far()
            shares[players] = sum(cost.values()) / (LOOKS_S)
            figures.say(f"{players:,} players: CPU s in {LOOKS_S:.0f} s", str(cost))
            round_s = metrics(large.server)["board_sweep_round_seconds"]
    figures.promise("a round, s", round_s, SWEEP_ROUND_S_MAX)
    figures.promise("% of a core", 100 * (shares[100_000] - shares[1]), 100 * SWEEP_CORE_SHARE_MAX)
    assert figures.verdict() == 0
