"""Clients resume at their cursor after broken connections and restarts: SSE, long polls and the WebSocket, on a real server."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.journeys.server import ServerProcess
from tests.journeys.test_live import Viewer, watch
from tests.storage_redis.redis_server import RedisServer

CHANGES = "/api/v1/scores/changes"
Cursor = tuple[int, int]


class EventSource:
    """A client of server-sent events, as the HTML standard defines them, on Python's HTTP client."""

    def __init__(
        self, server: ServerProcess, query: str = "", *, last_event_id: str | None = None, token: str | None = ""
    ) -> None:
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or server.issue_token('viewer')}"
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
        self._connection.request("GET", f"/api/v1/scores/stream{query}", headers=headers)
        self.response = self._connection.getresponse()
        self.last_event_id = last_event_id or ""
        self.received: list[tuple[str, Any]] = []

    def next(self) -> tuple[str, Any]:
        """The next event's name and data."""
        fields: dict[str, str] = {}
        while True:
            text_line = self.response.readline()
            if not text_line:
                raise EOFError
            name, _, value = text_line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
                continue
            self.last_event_id = fields.get("id", self.last_event_id)
            if "data" in fields:
                self.received.append((fields["event"], json.loads(fields["data"])))
                return self.received[-1]
            fields = {}

    def until(self, true: Callable[[str, Any], bool]) -> tuple[str, Any]:
        while True:
            event = self.next()
            if true(*event):
                return event

    def cursors(self) -> list[Cursor]:
        return [(data["data"]["epoch"], data["data"]["seq"]) for name, data in self.received if name != "goodbye"]

    def close(self) -> None:
        self._connection.close()
        self.response.close()


def scores(event: tuple[str, Any]) -> dict[str, int]:
    """The players' scores in an event."""
    name, data = event[0], event[1].get("data", {})
    if name == "leaderboard:update":
        return {row["userId"]: row["score"] for row in data["leaderboard"]}
    return {data["userId"]: data["newScore"]} if name == "score:update" else {}


def test_a_broken_stream_resumes_without_a_gap(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    first = EventSource(server)
    assert first.response.status == 200
    expected = {"Transfer-Encoding": "chunked", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "close"}
    assert {name: first.response.getheader(name) for name in expected} == expected
    assert first.next()[1]["data"]["reset"] is True
    for player in [f"p{n}" for n in range(13)]:
        server.play(player)
    first.until(lambda name, data: len(scores((name, data))) == 10)
    first.close()
    for player in ("p12", "p11", "amy", "amy"):
        server.play(player)
    again = EventSource(server, last_event_id=first.last_event_id)
    known: dict[str, int] = {}
    while not {"p11": 200, "p12": 200, "amy": 200}.items() <= known.items():
        known |= scores(again.next())
    assert not any(data["data"].get("reset") for _, data in again.received)
    assert [*first.cursors(), *again.cursors()] == sorted([*first.cursors(), *again.cursors()])
    again.close()


def test_a_stream_gets_a_reset_after_a_restart_and_no_older_state(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    server.play("amy")
    source = EventSource(server)
    source.next()
    server.play("amy")
    source.until(lambda name, data: scores((name, data)).get("amy") == 200)
    assert server.stop() == 0
    with suppress(EOFError):
        source.until(lambda name, _: name == "goodbye")
    assert source.received[-1] == ("goodbye", {"code": 1012, "reason": "the server is restarting; come back in a moment"})
    server.start()
    again = EventSource(server, last_event_id=source.last_event_id)
    event = again.next()
    assert (event[1]["data"]["reset"], scores(event)) == (True, {"amy": 200})
    assert again.cursors()[0] > source.cursors()[-1]


def test_a_stream_resumes_after_a_restart_if_redis_kept_running(new_server: Callable[..., ServerProcess]) -> None:
    redis = RedisServer()
    try:
        server = new_server(REDIS_URL=redis.url).start()
        server.play("amy")
        source = EventSource(server)
        source.next()
        server.play("bob")
        source.until(lambda name, data: "bob" in scores((name, data)))
        server.play("bob")
        assert server.kill() != 0
        server.start()
        server.play("cid")
        again = EventSource(server, last_event_id=source.last_event_id)
        event = again.until(lambda name, data: "cid" in scores((name, data)))
        assert scores(event) == {"amy": 100, "bob": 200, "cid": 100}
        assert not any(data["data"].get("reset") for _, data in again.received)
        assert again.cursors() == sorted(again.cursors())
        assert again.cursors()[0] > source.cursors()[-1] or again.cursors()[0] == source.cursors()[-1]
    finally:
        redis.close()


def test_a_stream_resumes_at_another_process_of_the_same_stores(
    new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    redis = RedisServer()
    try:
        shared = {"DATABASE_URL": postgres_url, "REDIS_URL": redis.url}
        one = new_server(**shared)
        assert one.command_line("db", "upgrade").returncode == 0
        one.start()
        two = new_server(**shared).start()
        source = EventSource(one)
        source.next()
        one.play("amy")
        source.until(lambda name, data: "amy" in scores((name, data)))
        one.kill()
        two.play("bob")
        again = EventSource(two, last_event_id=source.last_event_id)
        assert scores(again.until(lambda name, data: "bob" in scores((name, data)))) == {"amy": 100, "bob": 100}
        assert not any(data["data"].get("reset") for _, data in again.received)
        ticket = two.post("/api/v1/auth/ticket", two.issue_token("viewer"), None).body["data"]["ticket"]
        assert two.get(f"{CHANGES}?ticket={ticket}").status == 200
        assert ticket not in two.log
    finally:
        redis.close()


def test_a_long_poll_follows_the_board_step_by_step(new_server: Callable[..., ServerProcess]) -> None:
    server = new_server().start()
    token = server.issue_token("viewer")
    first = server.get(CHANGES, token).body["data"]
    assert (first["reset"], first["leaderboard"]) == (True, [])
    began = time.monotonic()
    nothing = server.get(f"{CHANGES}?since={first['cursor']}&wait=1", token).body["data"]
    assert 0.9 < time.monotonic() - began < 15
    assert (nothing["changes"], nothing["cursor"]) == ([], first["cursor"])
    known: dict[str, int] = {}
    cursor = nothing["cursor"]
    for player in ("amy", "bob", "amy"):
        server.play(player)
        answered = server.get(f"{CHANGES}?since={cursor}&wait=20", token).body["data"]
        known |= {change["userId"]: change["newScore"] for change in answered["changes"]}
        cursor = answered["cursor"]
    assert known == {"amy": 200, "bob": 100}


def test_a_ticket_opens_one_stream_and_is_never_logged(live_server: ServerProcess) -> None:
    ticket = live_server.post("/api/v1/auth/ticket", live_server.issue_token("viewer"), None).body["data"]["ticket"]
    source = EventSource(live_server, f"?ticket={ticket}", token=None)
    assert source.next()[0] == "leaderboard:update"
    assert EventSource(live_server, f"?ticket={ticket}", token=None).response.status == 401
    source.close()
    assert ticket not in live_server.log


@pytest.mark.parametrize("mode", ["top", "rows"])
def test_a_websocket_resumes_at_its_cursor(new_server: Callable[..., ServerProcess], mode: str) -> None:
    server = new_server().start()
    viewer = watch(server, "viewer")
    server.play("amy")
    viewer.receive("leaderboard:update")
    epoch, seq = viewer.cursors()[-1]
    viewer.socket.close()
    server.play("bob")
    again = Viewer(f"ws://127.0.0.1:{server.port}/ws")
    again.send("auth", {"token": server.issue_token("viewer")})
    again.send("join:leaderboard", {"since": f"{epoch}.{seq}", "mode": mode}, 1)
    assert again.receive("ack") == {"epoch": epoch, "seq": seq + 1, "recovered": True}
    assert len(again.receive("leaderboard:update")["data"]["leaderboard"]) == 2
    server.play("bob")
    if mode == "rows":
        operations = again.receive("leaderboard:rows")["data"]["ops"]
        assert [one["op"] for one in operations] == ["move", "score"]
    else:
        again.receive("leaderboard:update")
