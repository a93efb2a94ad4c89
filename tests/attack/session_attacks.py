"""Attacks on sessions: another player's socket, recovery ids, session ids of Engine.IO."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import ExitStack, suppress
from typing import Any

from tests.attack.attacks import CHANGES, attack, client_of, new_user_id, ticket_of, valid_submission
from tests.attack.conftest import honest
from tests.attack.endpoints import ADMITTED, SUBMIT
from tests.attack.sockets import answered, emitted, engine_socket, native_socket
from tests.journeys.server import ServerProcess


@attack
def a_refresh_as_another_player(server: ServerProcess) -> list[str]:
    with native_socket(server, honest("amy")) as native, engine_socket(server, honest("amy")) as socketio:
        results = {
            "/ws": answered(native, "auth:refresh", {"token": honest("bob")})[0],
            "Socket.IO": emitted(socketio, "auth:refresh", {"token": honest("bob")}),
        }
    return [endpoint for endpoint, result in results.items() if result == ADMITTED]


@attack
def a_refresh_in_another_role(server: ServerProcess) -> list[str]:
    got = []
    for role, other in (("user", "admin"), ("admin", "user"), ("spectator", "user")):
        with (
            native_socket(server, honest("amy", role=role)) as native,
            engine_socket(server, honest("amy", role=role)) as socketio,
        ):
            token = honest("amy", role=other)
            if answered(native, "auth:refresh", {"token": token})[0] == ADMITTED:
                got.append(f"/ws, {role} as {other}")
            if emitted(socketio, "auth:refresh", {"token": token}) == ADMITTED:
                got.append(f"Socket.IO, {role} as {other}")
    return got


@attack
def the_awards_of_a_player_who_forbids_spectators(server: ServerProcess) -> list[str]:
    amy, one, path = new_user_id("amy"), client_of(server), SUBMIT.split(" ")[1]
    _, before = one.request("GET", f"{CHANGES}?wait=0", honest(amy))
    one.request("PUT", "/api/v1/me/settings", honest(amy), {"spectators": False})
    assert one.request("POST", path, honest(amy), valid_submission(one, amy))[0] == 200
    got = set()
    for _ in range(5):
        with native_socket(server, honest(new_user_id("eve"))) as socket:
            # Other requests come first, so that an answer about amy that needs a query would come after the join.
            events = [("spectate:user", f"u{n}") for n in range(14)] + [("spectate:user", amy)]
            for event, data in [*events, ("join:leaderboard", {"since": before["data"]["cursor"]})]:
                socket.send(json.dumps({"event": event, "data": data, "id": 1 if data == amy else 2}))
            received: list[str] = []
            while len([one for one in received if one in ("ack", "error")]) < 16:
                received.append(json.loads(socket.recv(timeout=15))["event"])
            with suppress(TimeoutError):  # the missed events follow the last acknowledgement
                while True:
                    received.append(json.loads(socket.recv(timeout=0.3))["event"])
            got |= {"player:action"} & set(received)
    return sorted(got)


def lost_client(server: ServerProcess, user_id: str) -> tuple[str, str, str]:
    """(sid, pid, offset) of a client that was in the room and lost its connection."""
    socket = engine_socket(server)
    socket.send("40" + json.dumps({"token": honest(user_id)}))
    ids = json.loads(str(socket.recv(timeout=15))[2:])
    socket.send('42["join:leaderboard"]')
    snapshot = json.loads(str(socket.recv(timeout=15))[2:])
    socket.socket.shutdown(2)  # without a close frame
    time.sleep(0.3)
    return ids["sid"], ids["pid"], snapshot[2]


def sid_of(server: ServerProcess, user_id: str, pid: Any, offset: Any) -> str:
    """The sid that the server gives to a client that asks for recovery."""
    with engine_socket(server) as socket:
        socket.send("40" + json.dumps({"token": honest(user_id), "pid": pid, "offset": offset}))
        return str(json.loads(str(socket.recv(timeout=15))[2:])["sid"])


@attack
def a_recovery_id_of_another_player(server: ServerProcess) -> list[str]:
    user, eve = new_user_id("amy"), new_user_id("eve")
    sid, pid, offset = lost_client(server, user)
    # Valid and invalid spellings, each by players with a similar name and with another name.
    said = [f"{pid}:{user}", f"absent:{pid}:{user}", f"{pid}:", pid.swapcase(), "*", [pid], {"pid": pid}, "", None, pid[:-1], pid]
    for one in said:
        for who in (f"{user}:", f":{user}", user.swapcase(), eve):
            if sid_of(server, who, one, offset) == sid:
                return ["another player recovered the session"]
    assert sid_of(server, user, pid, offset) == sid, "the player recovers the session after all attempts of others"
    return []


@attack
def a_recovery_id_twice(server: ServerProcess) -> list[str]:
    user = new_user_id("amy")
    sid, pid, offset = lost_client(server, user)
    with ExitStack() as open_until_all_are_answered:
        sockets = [open_until_all_are_answered.enter_context(engine_socket(server)) for _ in range(6)]
        for socket in sockets:
            socket.send("40" + json.dumps({"token": honest(user), "pid": pid, "offset": offset}))
        got = [json.loads(str(socket.recv(timeout=15))[2:])["sid"] for socket in sockets]
    assert sid in got
    return ["two sessions have one id"] if got.count(sid) > 1 else []


@attack
def a_session_of_engine_io_by_a_guessed_id(server: ServerProcess) -> list[str]:
    one = client_of(server)
    with engine_socket(server, honest("amy")):
        for sid in ("0", "*", "sid", "A" * 24, secrets.token_urlsafe(18), "%00", "x" * 5000):
            query = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
            for method, body in (("POST", b"40{}"), ("GET", None)):
                status, answer = one.send(method, query, {"Content-Type": "text/plain"}, body)
                if status != 400 or answer["message"] != "Session ID unknown":
                    return ["a session answered"]
    return []


@attack
def the_next_id_from_those_before(server: ServerProcess) -> list[str]:
    """Ids that come from a counter or from a time have many characters in common."""
    amy, one = new_user_id("amy"), client_of(server)
    sids, pids, tickets = [], [], []
    for _ in range(12):
        _, hello = one.send("GET", "/socket.io/?EIO=4&transport=polling", {}, None)
        sids.append(json.loads(hello[1:])["sid"])
        with engine_socket(server) as socket:
            socket.send("40" + json.dumps({"token": honest(amy)}))
            pids.append(json.loads(str(socket.recv(timeout=15))[2:])["pid"])
        tickets.append(ticket_of(server, amy))
    kinds = {"sid": sids, "pid": pids, "ticket": tickets}
    return [
        kind
        for kind, ids in kinds.items()
        if len(ids[0]) < 24 or any(len(set(characters)) < 5 for characters in zip(*ids, strict=True))
    ]
