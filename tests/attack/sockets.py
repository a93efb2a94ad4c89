"""Sockets for attacks: the native protocol and Socket.IO, frame by frame."""

from __future__ import annotations

import http.client
import json
import os
from base64 import b64encode
from contextlib import ExitStack
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.attack.endpoints import ADMITTED, FORBIDDEN, INVALID, outcome_of
from tests.journeys.server import ServerProcess


def handshake(port: int, path: str, token: str) -> str:
    """The outcome of a WebSocket handshake with a token in its header."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    key = b64encode(os.urandom(16)).decode()
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
    try:
        connection.request("GET", path, None, {**upgrade, "Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return ADMITTED if answer.status == 101 else outcome_of(answer.status, json.loads(answer.read()))
    finally:
        connection.close()


def native_socket(server: ServerProcess, token: str | None = None, *, own_port: bool = False) -> ClientConnection:
    """A socket of the native protocol at /ws or on WEBSOCKET_PORT, with a player if a token is given. The caller closes it."""
    url = f"ws://127.0.0.1:{server.websocket_port}/" if own_port else f"ws://127.0.0.1:{server.port}/ws"
    socket = _opened(url)
    assert token is None or answered(socket, "auth", {"token": token})[0] == ADMITTED
    return socket


def answered(socket: ClientConnection, event: str, data: Any) -> tuple[str, Any]:
    """(the outcome of an event of the native protocol, its whole answer)."""
    socket.send(json.dumps({"event": event, "id": 1, **({} if data is None else {"data": data})}))
    while True:
        received = json.loads(socket.recv(timeout=15))
        if received["event"] == "ack":
            return ADMITTED, received
        if received["event"] == "error":
            return token_outcome(received["data"]), received


def token_outcome(refusal: dict[str, Any]) -> str:
    """The outcome of a socket's refusal. A token that the socket cannot read counts as invalid."""
    result = str(refusal["error"]).lower()
    return INVALID if result == "malformed_request" else result


_CONNECT_REFUSALS = {
    f'44{{"message":"Authentication failed","data":{{"code":{code}}}}}': expected
    for code, expected in ((4010, INVALID), (4011, INVALID), (4030, FORBIDDEN))
}


def closed_with(socket: ClientConnection, seconds_max: float = 5.0) -> int | None:
    """The code of the server's close frame, after any other frames; None if none comes in this time without pauses."""
    for _ in range(round(seconds_max / 0.1)):
        try:
            while True:
                socket.recv(timeout=0.1)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None
        except TimeoutError:
            continue
    return None


def engine_socket(server: ServerProcess, token: str | None = None, *, own_port: bool = False) -> ClientConnection:
    """A WebSocket of Engine.IO after the open packet; with a token it is connected to Socket.IO. The caller closes it."""
    port = server.websocket_port if own_port else server.port
    socket = _opened(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket")
    assert str(socket.recv(timeout=15)).startswith("0{")
    assert token is None or connected(socket, token) == ADMITTED
    return socket


def connected(socket: ClientConnection, token: str) -> str:
    """The outcome of a CONNECT packet."""
    socket.send("40" + json.dumps({"token": token}))
    return connect_outcome(str(socket.recv(timeout=15)))


def connect_outcome(answer: str) -> str:
    """Socket.IO refuses a CONNECT with the code of HTTP. There is one answer for every token that is not valid."""
    if answer.startswith('40{"sid":'):
        return ADMITTED
    return _CONNECT_REFUSALS[answer]


def emitted(socket: ClientConnection, event: str, data: Any) -> str:
    """The outcome of an event of Socket.IO, by its acknowledgement."""
    socket.send("421" + json.dumps([event] if data is None else [event, data]))
    while not (received := str(socket.recv(timeout=15))).startswith("431"):
        pass
    (said,) = json.loads(received[3:])
    return token_outcome(said) if "error" in said else ADMITTED


def _opened(url: str) -> ClientConnection:
    return ExitStack().enter_context(connect(url, compression=None))
