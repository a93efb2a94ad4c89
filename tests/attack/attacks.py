"""Attacks with credentials that are real: used twice, by another, after their time. Each says what it got, or None.

An attack runs against the server as it is, which must give it nothing, and against copies with one check taken out, which must
give it something: see test_credentials.py.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import quote

from tests.attack.conftest import honest
from tests.attack.doors import (
    ADMITTED,
    HTTP_DOORS,
    Visitor,
    closed_with,
    connected,
    emitted,
    engine_socket,
    native_socket,
    outcome_of,
    told,
)
from tests.journeys.server import ServerProcess

Attack = Callable[[ServerProcess], str | None]
CHANGES: Final = "/api/v1/scores/changes"
STREAM: Final = "/api/v1/scores/stream"
ORDER: Final = ("--reason", "attack", "--operator", "root", "--yes")
HEARD_WITHIN_S: Final = 1.5
ATTACKS: dict[str, Attack] = {}


def attack(run: Attack) -> Attack:
    """Name an attack by its function."""
    ATTACKS[run.__name__.replace("_", " ")] = run
    return run


def somebody(name: str) -> str:
    """A player whom no attack before has met."""
    return f"{name}-{secrets.token_hex(4)}"


def ticket_of(server: ServerProcess, user_id: str, **claims: Any) -> str:
    status, body = Visitor(server, honest).request("POST", "/api/v1/auth/ticket", honest(user_id, **claims), {})
    assert status == 200, body
    return str(body["data"]["ticket"])


def redeemed(server: ServerProcess, ticket: str, path: str = CHANGES) -> str:
    """The outcome of a ticket."""
    status, body = Visitor(server, honest).request("GET", f"{path}?wait=0&ticket={quote(ticket)}")
    return outcome_of(status, body)


def suspend(server: ServerProcess, user_id: str) -> None:
    """As an operator does; return once every door has heard of it."""
    ordered = server.command_line("player", "suspend", user_id, *ORDER)
    assert ordered.returncode == 0, ordered.stderr
    time.sleep(HEARD_WITHIN_S)


@attack
def a_ticket_twice(server: ServerProcess) -> str | None:
    for path in (CHANGES, STREAM):
        for again in (CHANGES, STREAM):
            ticket = ticket_of(server, "amy")
            assert redeemed(server, ticket, path) == ADMITTED, "once it is good"
            if redeemed(server, ticket, again) == ADMITTED:
                return f"{path}, then {again}"
    return None


@attack
def a_ticket_from_two_connections_at_once(server: ServerProcess) -> str | None:
    for _ in range(20):
        ticket, start = ticket_of(server, "amy"), threading.Barrier(8)

        def redeem(_: int, ticket: str = ticket, start: threading.Barrier = start) -> str:
            start.wait(5)
            return redeemed(server, ticket)

        with ThreadPoolExecutor(8) as pool:
            admitted = list(pool.map(redeem, range(8))).count(ADMITTED)
        assert admitted >= 1
        if admitted > 1:
            return f"{admitted} of 8 came in"
    return None


@attack
def a_ticket_of_a_token_that_has_ended(server: ServerProcess) -> str | None:
    now_s = int(time.time())
    ticket = ticket_of(server, "amy", iat=now_s - 5, exp=now_s + 2)
    time.sleep(now_s + 2.1 - time.time())
    return "came in" if redeemed(server, ticket) == ADMITTED else None


@attack
def a_ticket_of_a_player_suspended_since(server: ServerProcess) -> str | None:
    user = somebody("mallory")
    tickets = [ticket_of(server, user) for _ in range(2)]
    suspend(server, user)
    came_in = [
        path for ticket, path in zip(tickets, (CHANGES, STREAM), strict=True) if redeemed(server, ticket, path) == ADMITTED
    ]
    return ", ".join(came_in) or None


@attack
def a_ticket_as_a_token_and_a_token_as_a_ticket(server: ServerProcess) -> str | None:
    ticket, token = ticket_of(server, "amy"), honest("amy")
    one = Visitor(server, honest)
    if any(one.ask(door, ticket) == ADMITTED for door in HTTP_DOORS):
        return "a ticket was taken for a token"
    if redeemed(server, token) == ADMITTED:
        return "a token was taken for a ticket"
    elsewhere = [door for door in HTTP_DOORS if not door.endswith(("changes", "stream"))]
    if any(one.ask(door, None, f"?ticket={ticket}") == ADMITTED for door in elsewhere):
        return "a ticket opened another door"
    assert redeemed(server, ticket) == ADMITTED, "and none of it used the ticket up"
    return None


@attack
def a_ticket_made_up(server: ServerProcess) -> str | None:
    real = ticket_of(server, "amy")
    absent = "x" * 24 + ":amy"
    made_up = ["", "*", "x", real[:-1], real + "x", real.swapcase(), f"ticket:{real}", f"{real}\0", f" {real}", "../" + real]
    made_up += [
        secrets.token_urlsafe(24),
        "A" * 32,
        "0" * 32,
        "x" * 10_000,
        absent,
        f"{real}\r\nGET x",
        "leaderboard:global",
        "%2e",
    ]
    for ticket in made_up:
        if redeemed(server, ticket) == ADMITTED:
            return repr(ticket[:40])
    assert redeemed(server, real) == ADMITTED
    return None


@attack
def a_refresh_as_another_player(server: ServerProcess) -> str | None:
    with native_socket(server, honest("amy")) as socket, engine_socket(server) as socketio:
        assert connected(socketio, honest("amy")) == ADMITTED
        if told(socket, "auth:refresh", {"token": honest("bob")})[0] == ADMITTED:
            return "/ws"
        return "Socket.IO" if emitted(socketio, "auth:refresh", {"token": honest("bob")}) == ADMITTED else None


def _lost_client(server: ServerProcess, user_id: str) -> tuple[str, str, str]:
    """(sid, pid, offset) of a client that was in the room and was cut off."""
    socket = engine_socket(server)
    socket.send("40" + json.dumps({"token": honest(user_id)}))
    ids = json.loads(str(socket.recv(timeout=5))[2:])
    socket.send('42["join:leaderboard"]')
    snapshot = json.loads(str(socket.recv(timeout=5))[2:])
    socket.socket.shutdown(2)  # without a goodbye
    time.sleep(0.3)
    return ids["sid"], ids["pid"], snapshot[2]


def _taken_back(server: ServerProcess, user_id: str, pid: Any, offset: Any) -> str:
    """The sid that a client gets who says that it was another."""
    with engine_socket(server) as socket:
        socket.send("40" + json.dumps({"token": honest(user_id), "pid": pid, "offset": offset}))
        return str(json.loads(str(socket.recv(timeout=5))[2:])["sid"])


@attack
def a_recovery_id_of_another_player(server: ServerProcess) -> str | None:
    user, eve = somebody("amy"), somebody("eve")
    sid, pid, offset = _lost_client(server, user)
    tries = [
        pid,
        f"{pid}:{user}",
        f"absent:{pid}:{user}",
        f"{pid}:",
        pid.swapcase(),
        "*",
        [pid],
        {"pid": pid},
        "",
        None,
        pid[:-1],
    ]
    for said in tries:
        for who in (eve, f"{user}:", f":{user}", user.swapcase()):
            if _taken_back(server, who, said, offset) == sid:
                return f"{who} came back as {user} by {said!r}"
    assert _taken_back(server, user, pid, offset) == sid, "the player comes back, whatever others tried"
    return None


@attack
def a_recovery_id_twice(server: ServerProcess) -> str | None:
    user = somebody("amy")
    sid, pid, offset = _lost_client(server, user)
    with ExitStack() as open_until_all_are_answered:
        sockets = [open_until_all_are_answered.enter_context(engine_socket(server)) for _ in range(6)]
        for socket in sockets:
            socket.send("40" + json.dumps({"token": honest(user), "pid": pid, "offset": offset}))
        got = [json.loads(str(socket.recv(timeout=5))[2:])["sid"] for socket in sockets]
    assert sid in got
    return f"{got.count(sid)} sessions have one id" if got.count(sid) > 1 else None


@attack
def a_session_of_engine_io_by_a_guessed_id(server: ServerProcess) -> str | None:
    one = Visitor(server, honest)
    for sid in ("", "0", "*", "sid", "A" * 24, secrets.token_urlsafe(18), "%00", "x" * 5000):
        for method, body in (("POST", b"40{}"), ("GET", None)):
            query = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
            status, answer = one._sent(method, query, {"Content-Type": "text/plain"}, body)
            if status == 200 and not (sid == "" and method == "GET" and answer.startswith(b"0{")):
                return f"{method} {sid[:20]}: {answer!r}"
    return None


@attack
def a_parked_poll_of_a_player_suspended_meanwhile(server: ServerProcess) -> str | None:
    user = somebody("mallory")
    one = Visitor(server, honest)
    _, body = one.request("GET", f"{CHANGES}?wait=0", honest(user))
    with ThreadPoolExecutor(1) as pool:
        parked = pool.submit(one.request, "GET", f"{CHANGES}?wait=20&since={body['data']['cursor']}", honest(user))
        time.sleep(0.3)
        began_s = time.monotonic()
        suspend(server, user)
        outcome = outcome_of(*parked.result(15))
    assert outcome != "forbidden" or time.monotonic() - began_s < 10, "it does not wait to the end"
    return "was answered" if outcome == ADMITTED else None


@attack
def a_parked_poll_of_a_token_that_ends_meanwhile(server: ServerProcess) -> str | None:
    now_s = int(time.time())
    one, token = Visitor(server, honest), honest("amy", iat=now_s - 5, exp=now_s + 2)
    _, body = one.request("GET", f"{CHANGES}?wait=0", token)
    outcome = outcome_of(*one.request("GET", f"{CHANGES}?wait=3&since={body['data']['cursor']}", token))
    assert time.time() > now_s + 2
    return "was answered" if outcome == ADMITTED else None


@attack
def a_player_suspended_at_every_door(server: ServerProcess) -> str | None:
    user = somebody("mallory")
    sockets = [native_socket(server, honest(user)), engine_socket(server)]
    assert connected(sockets[1], honest(user)) == ADMITTED
    one = Visitor(server, lambda: honest(user))
    suspend(server, user)
    if closed_with(sockets[0], 2) != 4403:
        return "an open socket of /ws stays"
    if closed_with(sockets[1], 2) != 4403:
        return "an open socket of Socket.IO stays"
    doors = [*HTTP_DOORS, "GET /ws", "GET / (WEBSOCKET_PORT)", "/ws auth", "Socket.IO CONNECT over polling"]
    came_in = [door for door in [*doors, "Socket.IO CONNECT over WebSocket"] if one.show(door, honest(user)) == ADMITTED]
    return ", ".join(came_in) or None


@attack
def a_grant_handed_in_by_another_player_or_for_another(server: ServerProcess) -> str | None:
    amy, eve = somebody("amy"), somebody("eve")
    one = Visitor(server, honest)
    _, begun = one.request("POST", "/api/v1/actions/initialize", honest(amy), HTTP_DOORS["POST /api/v1/actions/initialize"])
    granted = {**_action(), **{key: begun["data"][key] for key in ("actionId", "timestamp", "signature")}}
    for more in ({}, {"userId": amy}):
        status, body = one.request("POST", "/api/v1/scores/submit", honest(eve), {**granted, **more})
        if status == 200:
            return f"{eve} got {body['data']}"
    first, _ = one.request("POST", "/api/v1/scores/submit", honest(amy), granted)
    second, _ = one.request("POST", "/api/v1/scores/submit", honest(amy), granted)
    assert first == 200
    return "awarded twice" if second == 200 else None


def _action() -> dict[str, Any]:
    action = HTTP_DOORS["POST /api/v1/actions/initialize"]
    assert isinstance(action, dict)
    return action
