"""Two servers with different wall clocks on one PostgreSQL and one Redis: actions are issued and judged by the ledger's time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_clock import FakeClock
from tests.journeys.server import Answer, ServerProcess
from tests.storage_redis.redis_server import RedisServer

#: The shortest durations of COLLECT_ITEM and WIN_MATCH in config/actions.toml.
ITEM_MS, MATCH_MS = 500, 3_000


class SkewedServer(ServerProcess):
    """A server with its own wall clock. Its players' tokens come from a login service with the same clock."""

    clock: FakeClock

    def issue_token(self, user_id: str, *, role: str = "user", life_s: int = 3600) -> str:
        with pytest.MonkeyPatch.context() as patch:
            now_s = time.time() + self.clock.ahead_s
            patch.setattr("tests.journeys.server.time.time", lambda: now_s)
            return super().issue_token(user_id, role=role, life_s=life_s)

    def metric(self, name: str) -> float:
        page = self.get("/metrics").body
        return sum(
            float(text_line.rpartition(" ")[2])
            for text_line in page.splitlines()
            if text_line.startswith(name) and " " in text_line
        )


@pytest.fixture
def two_servers(tmp_path: Path, postgres_url: str) -> Iterator[Callable[[int, int], tuple[SkewedServer, SkewedServer]]]:
    """Starts two servers, each so many seconds ahead of the clock of PostgreSQL and Redis."""
    redis, made = RedisServer(), list[SkewedServer]()

    def make(*ahead_s: int) -> tuple[SkewedServer, SkewedServer]:
        for number, by_s in enumerate(ahead_s):
            clock = FakeClock(tmp_path, f"clock-{number}")
            clock.step(by_s)
            more = {**clock.environment, "REDIS_URL": redis.url, "DATABASE_URL": postgres_url}
            server = SkewedServer(tmp_path / f"server-{number}", more)
            server.clock = clock
            made.append(server)
        assert made[0].command_line("db", "upgrade").returncode == 0
        first, second = [server.start() for server in made]
        assert isinstance(first, SkewedServer)
        assert isinstance(second, SkewedServer)
        return first, second

    yield make
    for server in made:
        server.kill()
    redis.close()


def code(answer: Answer) -> str | None:
    return None if answer.status == 200 else str(answer.body["error"])


@pytest.mark.parametrize("ahead_s", [(0, 5), (300, 0), (-300, 5), (300, -300)])
def test_an_action_begun_on_one_server_is_awarded_on_the_other_after_its_duration(
    two_servers: Callable[[int, int], tuple[SkewedServer, SkewedServer]], ahead_s: tuple[int, int]
) -> None:
    servers = two_servers(*ahead_s)
    for begins, awards in (servers, servers[::-1]):
        for player in ("amy", "bob"):
            before_ms = time.time() * 1000
            begun = begins.initialize(player)
            assert before_ms - 1_000 < begun["timestamp"] < time.time() * 1000 + 1_000, "issued by the ledger's clock"
            assert awards.submit(player, begun).status == 200
            assert code(begins.submit(player, begun)) == "ACTION_ALREADY_USED"
        item_s = time.monotonic()
        item = begins.initialize("cid", "COLLECT_ITEM", itemId="i-1")
        answer = awards.submit("cid", item)
        if answer.status == 200:  # the machine paused meanwhile
            assert time.monotonic() - item_s > ITEM_MS / 1000 - 0.2
            continue
        assert (answer.status, answer.body["error"], answer.headers["retry-after"]) == (409, "ACTION_TOO_EARLY", "1")
        time.sleep(int(answer.headers["retry-after"]))  # the two servers know the ledger's clock to some milliseconds
        assert awards.submit("cid", item).status == 200
    begun_after_s = time.monotonic()
    match = servers[0].initialize("dan", "WIN_MATCH", matchId="m-1")
    begun_before_s = time.monotonic()
    while True:  # no pause of this machine moves what is asked here: an answer is compared with when its request left
        sent_s = time.monotonic()
        answer = servers[1].submit("dan", match)
        if answer.status == 200:
            break
        assert code(answer) == "ACTION_TOO_EARLY"
        assert sent_s - begun_before_s < MATCH_MS / 1000 + 0.2, "refused though its duration had passed"
        time.sleep(0.2)
    assert time.monotonic() - begun_after_s > MATCH_MS / 1000 - 0.2, "awarded before its duration had passed"
    assert dict(servers[0].board()) == dict(servers[1].board()) == {"amy": 200, "bob": 200, "cid": 10, "dan": 150}
    for server, by_s in zip(servers, ahead_s, strict=True):
        assert server.metric("ledger_clock_offset_seconds") == pytest.approx(-by_s, abs=1.1)  # libfaketime counts whole seconds
        assert server.metric("submissions_refused_total") == 0
        said = [json.loads(text_line)["message"] for text_line in server.log.splitlines() if "the ledger's clock is" in text_line]
        assert len(said) == (1 if by_s else 0), said
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_a_step_of_one_servers_clock_ends_no_action(two_servers: Callable[[int, int], tuple[SkewedServer, SkewedServer]]) -> None:
    stepping, other = two_servers(0, 0)
    begun = {player: stepping.initialize(player) for player in ("amy", "bob")}
    stepping.clock.step(-300)
    begun |= {player: stepping.initialize(player) for player in ("cid", "dan")}
    assert stepping.submit("amy", begun["amy"]).status == 200
    assert other.submit("cid", begun["cid"]).status == 200
    stepping.clock.step(900)
    begun |= {player: stepping.initialize(player) for player in ("eve", "fay")}
    for server, player in ((stepping, "bob"), (other, "dan"), (stepping, "eve"), (other, "fay")):
        assert server.submit(player, begun[player]).status == 200, player
    assert stepping.metric("submissions_refused_total") == other.metric("submissions_refused_total") == 0
