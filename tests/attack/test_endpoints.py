"""Every endpoint of a running server refuses forged tokens and admits valid ones; with the first release's hole it does not."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from scoreboard.domain.grants import key_id
from tests.attack.attacks import new_user_id, suspend, ticket_of
from tests.attack.client_session import ClientSession
from tests.attack.conftest import TARGET, honest, target_server
from tests.attack.endpoints import (
    ACTION,
    ADMITTED,
    EVENTS,
    FORBIDDEN,
    HTTP_ENDPOINTS,
    INVALID,
    OWN,
    PLAYERS_ONLY,
    SPECTATOR,
    SUBMIT,
    TOKEN_ENDPOINTS,
    UNAUTHORIZED,
)
from tests.attack.forged_tokens import forged
from tests.attack.holes import Hole
from tests.attack.instance import ROLES, claims_of, compact, mistaken_keys, same_key
from tests.attack.signatures import grant, signed_by
from tests.attack.sockets import answered, closed_with, connected, emitted, engine_socket, native_socket
from tests.attack.test_tokens import SLOW
from tests.journeys.server import ServerProcess

AS_RELEASED = Hole(
    "scoreboard/web/authenticator.py",
    'return () if secret is None else ((header["kid"], secret),)',
    'return (("x", secret or b"\\0" * 32),)',
)
HEADERS = [None, "", "Bearer", "Bearer ", "Basic YW15OmFteQ==", "{}", "Token {}", "Bearer {}, Bearer {}", "Bearer {} {}"]
#: Endpoints of a socket that has a player already; its role must stay.
REFRESHES = ("/ws auth:refresh", "Socket.IO auth", "Socket.IO auth:refresh")
#: Events with other data, which takes another way through the code.
ASKED_OTHERWISE: list[tuple[str, object]] = [
    ("join:leaderboard", {"mode": "rows"}),
    ("join:leaderboard", {"since": "1.1"}),
    ("join:leaderboard", {"view": {"around": 5}}),
    ("join:leaderboard", {"view": {"offset": 0, "limit": 5}}),
    ("leave:leaderboard", {"view": {"around": 5}}),
]


def spectators_token(client_session: ClientSession, shown: str | None = None, body: object = None) -> str:
    """The token that POST /auth/spectator gives."""
    _, answer = client_session.request("POST", SPECTATOR.split(" ")[1], shown, body or {})
    return str(answer["data"]["token"])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("endpoint", [endpoint for endpoint in TOKEN_ENDPOINTS if endpoint != SPECTATOR])
def test_every_endpoint_admits_a_valid_token_of_an_allowed_role(endpoint: str, role: str, client_session: ClientSession) -> None:
    refused = (role == "spectator" and endpoint in PLAYERS_ONLY) or (role != "user" and endpoint in REFRESHES)
    wanted = FORBIDDEN if refused else ADMITTED
    assert client_session.show(endpoint, honest(role=role)) == wanted
    assert client_session.show(endpoint, honest(role=role)) == wanted, "from the cache"


def test_a_renewed_spectator_token_keeps_its_name_and_takes_no_other_claim(client_session: ClientSession) -> None:
    for body in ({}, {"userId": "amy", "role": "admin", "username": "Amy"}):
        first = spectators_token(client_session, None, body)
        claims = claims_of(first)
        assert (claims["role"], claims["username"], claims["exp"] - claims["iat"]) == ("spectator", "spectator", 600)
        assert claims["userId"].startswith("spectator-")
        assert claims_of(spectators_token(client_session, first, body))["userId"] == claims["userId"]
        of_a_login = honest("amy", role="spectator")  # if it kept its name, it could be renewed for ever
        for other in (None, honest("amy"), of_a_login, ticket_of(client_session.server, "amy")):
            assert claims_of(spectators_token(client_session, other, body))["userId"] not in ("amy", claims["userId"])


@pytest.mark.parametrize("endpoint", TOKEN_ENDPOINTS)
def test_no_endpoint_admits_a_forged_token(endpoint: str, client_session: ClientSession) -> None:
    instances = st.sampled_from([TARGET, replace(TARGET, role="admin"), replace(TARGET, role="spectator")])

    @settings(SLOW, max_examples=60)
    @given(st.data())
    def attack(data: st.DataObject) -> None:
        instance, now_s = data.draw(instances), int(time.time())
        kind, token = data.draw(forged(instance, now_s))
        result = client_session.show(endpoint, token)
        if time.time() - now_s > instance.slack_s:
            reject()  # a time that was just outside a limit may be inside it by now
        assert result == INVALID, (kind, token)

    attack()


@pytest.mark.parametrize("endpoint", TOKEN_ENDPOINTS)
def test_no_endpoint_admits_an_unknown_key_id_with_an_empty_key(endpoint: str, client_session: ClientSession) -> None:
    now_s = int(time.time())
    for key in (b"", b"\0" * 32):
        for role in ROLES:
            token = compact({"alg": "HS256", "kid": "x"}, TARGET.claims(now_s, "eve", role=role), key)
            assert client_session.show(endpoint, token) == INVALID


@pytest.mark.parametrize("endpoint", TOKEN_ENDPOINTS)
def test_no_endpoint_accepts_a_token_signed_with_a_mistaken_key(endpoint: str, client_session: ClientSession) -> None:
    """Tries every mistaken key, not a random choice: also the action secret, a retired one, and digests of the empty text."""
    role = "spectator" if endpoint == SPECTATOR else "user"
    for key in mistaken_keys(TARGET):
        token = compact({"alg": "HS256"}, TARGET.claims(int(time.time()), role=role), key)
        assert client_session.show(endpoint, token) == INVALID, key


def submitted(client_session: ClientSession, key: bytes, kid: str) -> tuple[int, object]:
    """(status, error) of a submission that this key signed under this key id."""
    of = grant(int(time.time() * 1000) - 1_000, action_id=str(uuid.uuid4()))
    body = {**ACTION, "actionId": of.action_id, "timestamp": of.issued_at_ms, "signature": signed_by(key, kid, of)}
    status, answer = client_session.request("POST", SUBMIT.split(" ")[1], honest("amy"), body)
    return status, answer.get("error")


def test_no_submission_signed_with_a_mistaken_key_is_awarded(client_session: ClientSession) -> None:
    """Tries the same keys as for tokens, and the secrets of tokens as well."""
    ours = TARGET.action_secret.encode()
    assert submitted(client_session, ours, key_id(ours)) == (200, None), "by the right key it is awarded"
    for key in [*mistaken_keys(TARGET), *TARGET.trusted]:
        for kid in ("x", key_id(key), key_id(ours)):
            assert same_key(key, ours) or submitted(client_session, key, kid) == (400, "INVALID_ACTION"), key


@pytest.mark.parametrize("endpoint", TOKEN_ENDPOINTS)
def test_the_hole_of_the_first_release_admits_a_forged_token_at_every_endpoint(
    endpoint: str, holed_server: Callable[..., ServerProcess]
) -> None:
    one = ClientSession(holed_server(AS_RELEASED), honest)
    # A refresh must have the player of the socket, and /auth/spectator keeps only names that the server made.
    user, role = (f"spectator-{uuid.uuid4()}", "spectator") if endpoint == SPECTATOR else ("amy", "user")
    token = compact({"alg": "HS256", "kid": "x"}, TARGET.claims(int(time.time()), user, role=role), b"")
    try:
        assert one.show(endpoint, token) == ADMITTED
    finally:
        one.close()


@pytest.mark.parametrize("endpoint", HTTP_ENDPOINTS)
@pytest.mark.parametrize("header", HEADERS)
def test_only_a_bearer_header_authenticates_a_request(endpoint: str, header: str | None, client_session: ClientSession) -> None:
    method, path = endpoint.split(" ")
    headers = {} if header is None else {"Authorization": header.format(honest(), honest())}
    body = None if HTTP_ENDPOINTS[endpoint] is None else json.dumps(HTTP_ENDPOINTS[endpoint]).encode()
    status, answer = client_session.send(method, path, {**headers, "Content-Type": "application/json"}, body)
    assert status == 401, "this route asks for no token"
    assert answer["error"].lower() in (UNAUTHORIZED, INVALID)


@pytest.mark.parametrize("endpoint", HTTP_ENDPOINTS)
@pytest.mark.parametrize("where", ["token", "access_token", "jwt", "Authorization", "auth"])
def test_a_token_in_the_query_or_a_cookie_is_ignored(endpoint: str, where: str, client_session: ClientSession) -> None:
    method, path = endpoint.split(" ")
    body = b"{}" if method != "GET" else None
    status, answer = client_session.send(method, f"{path}?{where}={honest()}", {"Cookie": f"{where}={honest()}"}, body)
    assert (status, answer["error"].lower()) == (401, UNAUTHORIZED)


def test_a_suspended_player_gets_only_a_new_spectator_token(target: ServerProcess, client_session: ClientSession) -> None:
    user = new_user_id("mallory")
    suspend(target, user)
    for token in (honest(user), honest(user, role="spectator")):
        claims = claims_of(spectators_token(client_session, token))
        assert claims["role"] == "spectator"
        assert claims["userId"] not in (user, claims_of(token)["userId"])


@pytest.mark.parametrize("own_port", [False, True], ids=["/ws", "WEBSOCKET_PORT"])
@pytest.mark.parametrize(("event", "data"), [*EVENTS.items(), *ASKED_OTHERWISE])
def test_a_socket_without_a_token_must_authenticate_before_any_event(
    event: str, data: object, own_port: bool, target: ServerProcess
) -> None:
    with native_socket(target, own_port=own_port) as socket:
        assert answered(socket, event, data)[0] == (INVALID if event.startswith("auth") else UNAUTHORIZED)


@pytest.mark.parametrize("event", EVENTS)
def test_a_socket_io_client_without_a_token_is_closed(event: str, target: ServerProcess) -> None:
    with engine_socket(target) as socket:
        assert connected(socket, "x") == INVALID
        socket.send("421" + json.dumps([event, EVENTS[event]]))
        assert closed_with(socket) == 1008


@pytest.mark.parametrize("event", [event for event in EVENTS if not event.startswith("auth")])
def test_a_players_socket_may_send_every_event(event: str, target: ServerProcess) -> None:
    with native_socket(target, honest("bob")) as native, engine_socket(target, honest("bob")) as socketio:
        assert answered(native, event, EVENTS[event])[0] == ADMITTED
        assert emitted(socketio, event, EVENTS[event]) == ADMITTED


@pytest.mark.parametrize("event", ["auth", "auth:refresh"])
def test_a_socket_refuses_another_players_token(event: str, target: ServerProcess) -> None:
    with native_socket(target, honest("amy")) as native, engine_socket(target, honest("amy")) as socketio:
        for user, role in (("bob", "user"), ("Amy", "user"), ("spectator-1", "spectator"), ("bob", "admin"), ("amy", "admin")):
            token = honest(user, role=role)
            assert answered(native, event, {"token": token})[0] == FORBIDDEN
            assert emitted(socketio, event, {"token": token}) == FORBIDDEN
        _, ack = answered(native, event, {"token": honest("amy")})
        assert ack["data"]["userId"] == "amy"
        assert emitted(socketio, event, {"token": honest("amy")}) == ADMITTED


@pytest.mark.parametrize("endpoint", OWN)
def test_only_the_token_decides_whose_own_data_is_read(endpoint: str, client_session: ClientSession) -> None:
    path = endpoint.split(" ")[1]
    amy, eve = new_user_id("amy"), new_user_id("eve")
    client_session.request("PUT", "/api/v1/me/settings", honest(amy), {"spectators": False})
    own = client_session.request("GET", path, honest(eve))
    for query in (f"?userId={amy}", f"?user={amy}", f"?id={amy}"):
        assert client_session.request("GET", path + query, honest(eve)) == own
    assert client_session.send("GET", path, {"Authorization": f"Bearer {honest(eve)}", "X-User-Id": amy}, None) == own
    assert path.endswith("achievements") or client_session.request("GET", path, honest(amy)) != own


def test_no_token_is_valid_for_longer_than_jwt_expiration(tmp_path: Path) -> None:
    server = target_server(tmp_path)
    server.more["JWT_EXPIRATION"] = "60s"
    one = ClientSession(server.start(), honest)
    try:
        token = spectators_token(one)
        claims, now_s = claims_of(token), int(time.time())
        assert claims["exp"] - claims["iat"] == 60
        assert one.ask("GET /api/v1/scores/leaderboard", token) == ADMITTED
        for life_s, result in ((60, ADMITTED), (61, INVALID), (600, INVALID)):
            assert one.ask("GET /api/v1/scores/me", honest(iat=now_s, exp=now_s + life_s)) == result
    finally:
        one.close()
        server.kill()
