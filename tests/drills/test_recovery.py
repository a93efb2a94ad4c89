"""Independent Socket.IO clients lose their connection and recover their session: socket.io-client and python-socketio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import socketio  # type: ignore[import-untyped]  # it ships no types

from tests.journeys.server import ServerProcess
from tests.journeys.test_socketio import NODE, EventRecorder, _read, node_client, url
from tests.storage_redis.redis_server import RedisServer

__all__ = ["node_client", "url"]

BreakConnection = Callable[[], None]


@contextmanager
def reconnecting_client(url: str, transports: str, **auth: object) -> Iterator[tuple[EventRecorder, BreakConnection]]:
    """(a recorder of the events of a socket.io-client in a separate process, a function that breaks its connection)."""
    command = ["node", "reconnecting_client.mjs", url, transports, json.dumps(auth)]
    process = subprocess.Popen(command, cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    recorder = EventRecorder(process.pid)
    assert process.stdin is not None
    assert process.stdout is not None
    stdin = process.stdin
    reader = threading.Thread(target=_read, args=(process.stdout, recorder), daemon=True)
    reader.start()

    def break_connection() -> None:
        stdin.write("cut\n")
        stdin.flush()

    try:
        yield recorder, break_connection
    finally:
        process.communicate(timeout=15)
        reader.join(5)


def scores(args: list[Any]) -> dict[str, int]:
    """The players' scores in a `leaderboard:update`."""
    return {row["userId"]: row["score"] for row in args[0]["data"]["leaderboard"]}


def has(player: str, points: int) -> Callable[[Any], bool]:
    return lambda args: scores(args).get(player) == points


def sees(recorder: EventRecorder, player: str, points: int) -> Any:
    """The arguments of the event that shows these points: a whole top, or a row if the client was back before the change."""

    def shows(args: list[Any]) -> bool:
        data = args[0]["data"]
        rows = data["leaderboard"] if "leaderboard" in data else data["ops"]
        return any(row["userId"] == player and row.get("score") == points for row in rows)

    return recorder.wait("leaderboard:update", "leaderboard:rows", where=shows)


def offsets(recorder: EventRecorder) -> list[tuple[int, ...]]:
    """The received offsets, as numbers."""
    events = [
        value
        for name, value in recorder.received
        if name in ("leaderboard:update", "leaderboard:rows", "score:update", "rank:achieved")
    ]
    return [tuple(map(int, args[1].split("."))) for args in events if len(args) > 1]


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
@pytest.mark.usefixtures("node_client")
def test_socket_io_client_recovers_after_a_broken_connection(new_server: Callable[..., ServerProcess], transports: str) -> None:
    server = new_server().start()
    server.play("amy")
    with reconnecting_client(server.url, transports, token=server.issue_token("viewer")) as (recorder, break_connection):
        first = recorder.wait("connect")
        assert first["recovered"] is False
        recorder.wait("leaderboard:update", where=has("amy", 100))
        for points in (200, 300):
            break_connection()
            recorder.wait("disconnect")
            server.play("amy")
            assert recorder.wait("connect") == {"id": first["id"], "recovered": True}
            args = sees(recorder, "amy", points)
            assert "reset" not in args[0]["data"]
        server.play("bob")
        recorder.wait("leaderboard:rows", where=lambda args: "bob" in json.dumps(args))
        assert [name for name, _ in recorder.received].count("joined") == 1
        assert offsets(recorder) == sorted(offsets(recorder))
    assert "Traceback" not in server.log


@pytest.mark.usefixtures("node_client")
def test_socket_io_client_recovers_across_a_restart_of_the_server(new_server: Callable[..., ServerProcess]) -> None:
    redis_server = RedisServer()
    try:
        server = new_server(REDIS_URL=redis_server.url).start()
        server.play("amy")
        with reconnecting_client(server.url, "websocket", token=server.issue_token("viewer")) as (recorder, _):
            first = recorder.wait("connect")
            recorder.wait("leaderboard:update", where=has("amy", 100))
            assert server.stop() == 0
            recorder.wait("disconnect")
            server.start()
            server.play("amy")
            assert recorder.wait("connect", seconds=15) == {"id": first["id"], "recovered": True}
            sees(recorder, "amy", 200)
            assert [name for name, _ in recorder.received].count("joined") == 1
            assert offsets(recorder) == sorted(offsets(recorder))
        assert "Traceback" not in server.log
    finally:
        redis_server.close()


#: The lock of the server that begins a new epoch.
BEGIN_LOCK = "{leaderboard:global}:begin"


def redis_of(server: ServerProcess) -> redis.Redis:
    """A client of the server's embedded Redis."""
    return redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock"))


@pytest.mark.usefixtures("node_client")
@pytest.mark.parametrize("before_the_new_epoch", [False, True])
def test_a_client_is_in_its_old_room_after_a_restart_of_server_and_redis(
    new_server: Callable[..., ServerProcess], before_the_new_epoch: bool
) -> None:
    server = new_server().start()
    server.play("amy")
    with reconnecting_client(server.url, "polling,websocket", token=server.issue_token("viewer")) as (recorder, _):
        first = recorder.wait("connect")
        recorder.wait("leaderboard:update", where=has("amy", 100))
        if before_the_new_epoch:  # which waits as long as another server holds this lock
            redis_of(server).set(BEGIN_LOCK, "another server", px=30_000)
        assert server.stop() == 0
        os.kill(recorder.pid, signal.SIGSTOP)
        if before_the_new_epoch:
            server.launch()
            server.wait_until_ready()
            os.kill(recorder.pid, signal.SIGCONT)  # after LAGGING_S_MAX without an epoch the server would read no history
            assert recorder.wait("connect", seconds=20) == {"id": first["id"], "recovered": True}  # it has missed nothing
            assert redis_of(server).delete(BEGIN_LOCK) == 1
            server.wait_until_in_sync()
        else:
            server.start()
            os.kill(recorder.pid, signal.SIGCONT)
            again = recorder.wait("connect", seconds=15)
            assert again["recovered"] is False
            assert again["id"] != first["id"]
            args = recorder.wait("leaderboard:update", where=has("amy", 100))
            assert args[0]["data"]["reset"] is True
        server.play("bob")
        recorder.wait("leaderboard:rows", where=lambda args: "bob" in json.dumps(args))
        assert [name for name, _ in recorder.received].count("joined") == 1


@pytest.mark.usefixtures("node_client")
def test_another_process_of_the_same_stores_recovers_the_session(
    new_server: Callable[..., ServerProcess], postgres_url: str
) -> None:
    redis_server = RedisServer()
    try:
        stores = {"REDIS_URL": redis_server.url, "DATABASE_URL": postgres_url}
        one = new_server(**stores)
        assert one.command_line("db", "upgrade").returncode == 0
        one.start()
        one.play("amy")
        with reconnecting_client(one.url, "websocket", token=one.issue_token("viewer")) as (recorder, _):
            first = recorder.wait("connect")
            recorder.wait("leaderboard:update", where=has("amy", 100))
            assert one.stop() == 0
            other = new_server(**stores, PORT=str(one.port), WEBSOCKET_PORT=str(one.websocket_port))
            other.port, other.websocket_port = one.port, one.websocket_port
            other.start()
            assert recorder.wait("connect", seconds=15) == {"id": first["id"], "recovered": True}
    finally:
        redis_server.close()


@pytest.mark.usefixtures("node_client")
def test_socket_io_client_without_recovery_gets_a_new_session(live_server: ServerProcess) -> None:
    with reconnecting_client(live_server.url, "websocket", token=live_server.issue_token("viewer"), recovery=False) as (
        recorder,
        break_connection,
    ):
        first = recorder.wait("connect")
        assert len(recorder.wait("leaderboard:update")) == 1
        break_connection()
        again = recorder.wait("connect")
        assert again["recovered"] is False
        assert again["id"] != first["id"]


# python-socketio


class ClientWithPid(socketio.Client):
    """A python-socketio client that keeps its ``pid``. The library has no recovery of its own."""

    pid: str | None = None
    offset: str | None = None

    def _handle_connect(self, namespace: str, data: dict[str, str]) -> None:
        self.pid = data.get("pid")
        super()._handle_connect(namespace, data)


@pytest.mark.parametrize("transports", [["polling"], ["websocket"]], ids="+".join)
def test_python_socketio_recovers_with_code_of_the_application(
    live_server: ServerProcess, url: str, transports: list[str]
) -> None:
    player = f"back-{transports[0]}-{url[-4:]}"
    auth: dict[str, Any] = {"token": live_server.issue_token(player)}
    first, recorder = ClientWithPid(reconnection=False), EventRecorder()
    first.on("leaderboard:update", lambda answered, offset: recorder.put("leaderboard:update", [answered, offset]))
    first.connect(url, auth=auth, transports=transports, wait_timeout=15)
    first.call("join:leaderboard", timeout=15)
    _, offset = recorder.wait("leaderboard:update")
    sid, pid = first.get_sid(), first.pid
    first.eio.queue.join()  # python-engineio sends no packet `1` while the answer to a POST is under way
    time.sleep(0.05)
    first.eio.disconnect()
    live_server.play(player)
    second = ClientWithPid(reconnection=False)
    for event in ("leaderboard:update", "score:update", "rank:achieved"):
        second.on(event, lambda *args, event=event: recorder.put(event, list(args)))
    second.connect(url, auth={**auth, "pid": pid, "offset": offset}, transports=transports, wait_timeout=15)
    try:
        assert (second.get_sid(), second.pid) == (sid, pid)
        answered = recorder.wait("score:update", where=lambda args: args[0]["data"]["userId"] == player)
        assert answered[0]["type"] == "SCORE_CHANGED"
    finally:
        second.disconnect()


def test_python_socketio_without_recovery_needs_handlers_of_one_argument(live_server: ServerProcess) -> None:
    client, recorder = socketio.Client(reconnection=False), EventRecorder()
    client.on("leaderboard:update", lambda answered: recorder.put("leaderboard:update", answered))
    auth = {"token": live_server.issue_token("viewer"), "recovery": False}
    client.connect(live_server.url, auth=auth, transports=["websocket"], wait_timeout=15)
    try:
        client.call("join:leaderboard", timeout=15)
        assert recorder.wait("leaderboard:update")["type"] == "LEADERBOARD_REFRESH"
    finally:
        client.disconnect()
