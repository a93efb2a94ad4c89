"""Two servers with different wall clocks on one PostgreSQL and one Redis: actions are issued and judged by the ledger's time."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_clock import FakeClock
from tests.journeys.server import Answer, ServerProcess
from tests.storage_redis.redis_server import RedisServer

#: The shortest durations of COLLECT_ITEM and WIN_MATCH in config/actions.toml.
ITEM_MS, MATCH_MS = 500, 3_000
#: How far a server's idea of the ledger's clock may be from that clock.
CLOCKS_S_MAX = 0.1


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


TwoServers = Callable[..., tuple[SkewedServer, SkewedServer]]


@pytest.fixture
def two_servers(tmp_path: Path, postgres_url: str) -> Iterator[TwoServers]:
    """Starts two servers, each so many seconds ahead of the clock of PostgreSQL and Redis."""
    redis, made = RedisServer(), list[SkewedServer]()

    def make(*ahead_s: int, **settings: str) -> tuple[SkewedServer, SkewedServer]:
        for number, by_s in enumerate(ahead_s):
            clock = FakeClock(tmp_path, f"clock-{number}")
            clock.step(by_s)
            more = {**clock.environment, "REDIS_URL": redis.url, "DATABASE_URL": postgres_url, **settings}
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
    two_servers: TwoServers, ahead_s: tuple[int, int]
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


def test_a_step_of_one_servers_clock_ends_no_action(two_servers: TwoServers) -> None:
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


def slot(at_s: float) -> str:
    """The bucket of a moment on the board `minute`."""
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(at_s))


def test_a_bucket_ends_at_the_same_instant_on_both_servers(two_servers: TwoServers, tmp_path: Path) -> None:
    """Whatever their clocks say: each answer has the bucket of a moment between its request and itself, on the ledger's clock."""
    boards_file = tmp_path / "boards.toml"
    boards_file.write_text('[minute]\nevery = "1m"\n')
    servers = two_servers(0, 40, SCOREBOARD_BOARDS_FILE=str(boards_file))
    counted: Counter[tuple[str, str]] = Counter()
    while time.time() % 60 < 57:
        time.sleep(0.1)
    ends_s = time.time() // 60 * 60 + 60
    for number in itertools.count():
        if time.time() > ends_s + 3:
            break
        player = f"player-{number}"
        for begins, server in (servers, servers[::-1]):
            action = begins.initialize(player)
            asked_s = time.time()
            (given,) = server.submit(player, action).body["data"]["boards"]
            present = server.get("/api/v1/boards", server.issue_token("reader")).body["data"]["boards"][1]["bucket"]
            between = {slot(asked_s - CLOCKS_S_MAX), slot(time.time() + CLOCKS_S_MAX)}
            assert {given["bucket"], present} <= between
            counted[given["bucket"], player] += 100
    buckets = [slot(ends_s - 1), slot(ends_s)]
    assert {bucket for bucket, _ in counted} == set(buckets), "awards on both sides of the end"
    for server in servers:
        for bucket in buckets:
            scores = dict(server.board(query=f"&board=minute&bucket={bucket}"))
            assert scores == {player: score for (in_bucket, player), score in counted.items() if in_bucket == bucket}
        assert server.stop() == 0
        assert "Traceback" not in server.log
