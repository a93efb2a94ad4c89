"""Attacks by a player who is suspended, or whose token ends, during a request or a connection."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

from tests.attack.attacks import CHANGES, STREAM, attack, client_of, new_user_id, suspend
from tests.attack.client_session import ClientSession
from tests.attack.conftest import honest
from tests.attack.endpoints import FORBIDDEN, HTTP_ENDPOINTS, INVALID, SESSION_STARTS, outcome_of
from tests.attack.sockets import closed_with, engine_socket, native_socket
from tests.journeys.server import ServerProcess
from tests.pauses import sleep_without_pauses


@attack
def a_waiting_poll_of_a_player_suspended_meanwhile(server: ServerProcess) -> list[str]:
    user, one = new_user_id("mallory"), client_of(server)
    _, body = one.request("GET", f"{CHANGES}?wait=0", honest(user))
    with ThreadPoolExecutor(1) as pool:
        parked = pool.submit(one.request, "GET", f"{CHANGES}?wait=25&since={body['data']['cursor']}", honest(user))
        time.sleep(0.3)
        suspend(server, user)
        result = outcome_of(*parked.result(15))  # the suspension ends it, not its own timeout
    return [] if result == FORBIDDEN else [result]


@attack
def a_waiting_poll_of_a_token_that_ends_meanwhile(server: ServerProcess) -> list[str]:
    one = client_of(server)
    _, body = one.request("GET", f"{CHANGES}?wait=0", honest("amy"))
    now_s = int(time.time())
    token = honest("amy", iat=now_s - 5, exp=now_s + 3)
    result = outcome_of(*one.request("GET", f"{CHANGES}?wait=4&since={body['data']['cursor']}", token))
    return [] if result == INVALID else [result]


@attack
def a_suspended_player_at_every_endpoint(server: ServerProcess) -> list[str]:
    user = new_user_id("mallory")
    one = ClientSession(server, lambda: honest(user))
    suspend(server, user)
    results = {endpoint: one.show(endpoint, honest(user)) for endpoint in (*HTTP_ENDPOINTS, *SESSION_STARTS)}
    return [endpoint for endpoint, result in results.items() if result != FORBIDDEN]


@attack
def an_open_socket_of_a_player_suspended_meanwhile(server: ServerProcess) -> list[str]:
    user = new_user_id("mallory")
    events = streaming(server, honest(user))
    with (
        native_socket(server, honest(user)) as native,
        native_socket(server, honest(user), own_port=True) as own_port,
        engine_socket(server, honest(user)) as socketio,
    ):
        suspend(server, user)
        sockets = {"/ws": native, "WEBSOCKET_PORT": own_port, "Socket.IO": socketio}
        got = [name for name, socket in sockets.items() if closed_with(socket, 1) != 4403]
    return got if ended_with(events, 4403) else [*got, "stream"]


@attack
def an_open_socket_of_a_token_that_has_ended(server: ServerProcess) -> list[str]:
    """The server closes each socket within a second of the token's end: it sweeps once a second."""
    ends_s = int(time.time()) + 5  # time to open three sockets
    token = honest("amy", iat=ends_s - 10, exp=ends_s)
    events = streaming(server, token)
    with native_socket(server, token) as native, engine_socket(server, token) as socketio:
        time.sleep(max(0.0, ends_s - time.time()))
        sleep_without_pauses(1.6)
        got = [name for name, socket in {"/ws": native, "Socket.IO": socketio}.items() if closed_with(socket, 0.2) != 4401]
    return got if ended_with(events, 4401) else [*got, "stream"]


def streaming(server: ServerProcess, token: str) -> http.client.HTTPResponse:
    """An open stream of server-sent events."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
    connection.request("GET", STREAM, None, {"Authorization": f"Bearer {token}"})
    return connection.getresponse()


def ended_with(events: http.client.HTTPResponse, code: int) -> bool:
    try:
        return b'event: goodbye\ndata: {"code":%d,' % code in events.read()
    except TimeoutError:
        return False
