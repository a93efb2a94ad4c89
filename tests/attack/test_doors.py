"""No door of a running server admits a forged token, every door admits an honest one, and a hole shows at every door."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.attack.attacks import somebody, suspend
from tests.attack.conftest import TARGET, honest
from tests.attack.doors import (
    ADMITTED,
    EVENTS,
    FORBIDDEN,
    HTTP_DOORS,
    INVALID,
    SPECTATOR,
    TOKEN_DOORS,
    Visitor,
    as_invalid,
    claims_of,
    closed_with,
    connected,
    emitted,
    engine_socket,
    native_socket,
    told,
)
from tests.attack.holes import Hole
from tests.attack.test_tokens import SLOW
from tests.attack.tokens import ROLES, compact, forged
from tests.journeys.server import ServerProcess

#: Where only players come in, and who does not count as one.
PLAYERS_ONLY = ("POST /api/v1/scores/submit", "POST /api/v1/actions/initialize", "PUT /api/v1/me/settings")
AS_RELEASED = Hole("scoreboard/web/auth.py", "return () if secret is None else (secret,)", 'return (secret or b"\\0" * 32,)')


def shown(door: str) -> str:
    """An honest token of the kind that this door takes."""
    return honest("spectator-1", role="spectator") if door == SPECTATOR else honest()


@pytest.mark.parametrize("door", TOKEN_DOORS)
def test_a_door_admits_an_honest_token_or_its_refusals_would_prove_nothing(door: str, visitor: Visitor) -> None:
    assert visitor.show(door, shown(door)) == ADMITTED
    assert visitor.show(door, shown(door)) == ADMITTED, "remembered"


@pytest.mark.parametrize("door", TOKEN_DOORS)
def test_a_door_admits_nothing_forged(door: str, visitor: Visitor) -> None:
    instances = st.sampled_from([TARGET, replace(TARGET, role="admin"), replace(TARGET, role="spectator")])

    @settings(SLOW, max_examples=60)
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        instance, now_s = data.draw(instances), int(time.time())
        kind, token = data.draw(forged(instance, now_s))
        outcome = visitor.show(door, token)
        if time.time() - now_s > instance.slack_s:
            reject()  # a time that was just beyond a border may not be any more
        assert outcome == INVALID, (kind, token)

    attack()


@pytest.mark.parametrize("door", TOKEN_DOORS)
def test_an_unknown_key_id_and_an_empty_key_are_admitted_nowhere(door: str, visitor: Visitor) -> None:
    now_s = int(time.time())
    for key in (b"", b"\0" * 32):
        for role in ROLES:
            assert (
                visitor.show(door, compact({"alg": "HS256", "kid": "x"}, TARGET.claims(now_s, "eve", role=role), key)) == INVALID
            )


@pytest.mark.parametrize("door", TOKEN_DOORS)
def test_what_was_released_admits_the_same_token_at_this_door(door: str, holed_server: Callable[..., ServerProcess]) -> None:
    one = Visitor(holed_server(AS_RELEASED), honest)
    # A refresh goes on as the player that it was; a spectator keeps the name that it shows.
    claims = TARGET.claims(
        int(time.time()), "spectator-eve" if door == SPECTATOR else "amy", role="spectator" if door == SPECTATOR else "admin"
    )
    try:
        assert one.show(door, compact({"alg": "HS256", "kid": "x"}, claims, b"")) == ADMITTED
    finally:
        one.close()


@pytest.mark.parametrize("door", HTTP_DOORS)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YW15OmFteQ==",
        "{}",
        "Token {}",
        "Bearer {}, Bearer {}",
        "Bearer {} {}",
        "Bearer\t{}",
        "Bearer:{}",
    ],
)
def test_a_token_is_shown_as_a_bearer_or_not_at_all(door: str, header: str | None, visitor: Visitor) -> None:
    method, path = door.split(" ")
    lines = {} if header is None else {"Authorization": header.format(honest(), honest())}
    body = HTTP_DOORS[door]
    status, answer = visitor._sent(
        method, path, {**lines, "Content-Type": "application/json"}, None if body is None else json.dumps(body).encode()
    )
    assert (status, answer["error"]) in {(401, "UNAUTHORIZED"), (401, "INVALID_TOKEN")}


@pytest.mark.parametrize("door", HTTP_DOORS)
@pytest.mark.parametrize("where", ["token", "access_token", "jwt", "Authorization", "auth"])
def test_a_token_in_the_query_or_a_cookie_is_none(door: str, where: str, visitor: Visitor) -> None:
    method, path = door.split(" ")
    status, _ = visitor._sent(
        method, f"{path}?{where}={honest()}", {"Cookie": f"{where}={honest()}"}, b"{}" if method != "GET" else None
    )
    assert status == 401


@pytest.mark.parametrize("door", PLAYERS_ONLY)
def test_a_spectator_plays_nowhere(door: str, visitor: Visitor) -> None:
    _, body = visitor.request("POST", "/api/v1/auth/spectator", None, {})
    assert visitor.show(door, body["data"]["token"]) == FORBIDDEN
    assert visitor.show(door, honest(role="spectator")) == FORBIDDEN


@pytest.mark.parametrize("door", [door for door in HTTP_DOORS if door not in PLAYERS_ONLY and "submit" not in door])
def test_a_spectator_may_look(door: str, visitor: Visitor) -> None:
    _, body = visitor.request("POST", "/api/v1/auth/spectator", None, {})
    assert visitor.show(door, body["data"]["token"]) == ADMITTED


def test_a_suspended_player_gets_a_strangers_token_and_no_other(target: ServerProcess, visitor: Visitor) -> None:
    user = somebody("mallory")
    suspend(target, user)
    for token in (honest(user), honest(user, role="spectator")):
        status, body = visitor.request("POST", "/api/v1/auth/spectator", token, {})
        claims = claims_of(body["data"]["token"])
        assert (status, claims["role"]) == (200, "spectator")
        assert claims["userId"] not in (user, claims_of(token)["userId"])


def test_a_spectators_token_says_nothing_but_that(visitor: Visitor) -> None:
    for asked in ({}, {"userId": "amy", "role": "admin", "username": "Amy"}):
        _, body = visitor.request("POST", "/api/v1/auth/spectator", None, asked)
        claims = claims_of(body["data"]["token"])
        assert (claims["role"], claims["username"]) == ("spectator", "spectator")
        assert claims["userId"].startswith("spectator-")
        assert claims["exp"] - claims["iat"] == 600
    _, body = visitor.request("POST", "/api/v1/auth/spectator", honest("amy"), {})
    assert claims_of(body["data"]["token"])["userId"] != "amy", "a player's token makes no longer-lived one of the player's"


@pytest.mark.parametrize("event", EVENTS)
def test_a_stranger_on_a_socket_is_told_to_authenticate_and_no_more(event: str, target: ServerProcess) -> None:
    with native_socket(target) as socket:
        outcome, _ = told(socket, event, EVENTS[event])
        assert as_invalid(outcome) == (INVALID if event.startswith("auth") else "unauthorized")


@pytest.mark.parametrize("event", EVENTS)
def test_a_stranger_on_socket_io_cannot_even_ask(event: str, target: ServerProcess) -> None:
    with engine_socket(target) as socket:
        assert connected(socket, "x") == INVALID
        socket.send("421" + json.dumps([event, EVENTS[event]]))
        assert closed_with(socket) == 1008


@pytest.mark.parametrize("event", ["auth", "auth:refresh"])
def test_a_socket_goes_on_as_the_player_that_it_is_and_as_nobody_else(event: str, target: ServerProcess) -> None:
    with native_socket(target) as socket, engine_socket(target) as socketio:
        assert told(socket, "auth", {"token": honest("amy")})[0] == ADMITTED
        assert connected(socketio, honest("amy")) == ADMITTED
        for user, role in (("bob", "user"), ("Amy", "user"), ("spectator-1", "spectator"), ("bob", "admin")):
            token = honest(user, role=role)
            assert told(socket, event, {"token": token})[0] == FORBIDDEN
            assert emitted(socketio, event, {"token": token}) == FORBIDDEN
        _, ack = told(socket, event, {"token": honest("amy")})
        assert ack["data"]["userId"] == "amy"
        assert emitted(socketio, event, {"token": honest("amy")}) == ADMITTED
