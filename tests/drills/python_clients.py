"""Python clients that follow a board over restarts: each appends what it receives to a list until it is stopped."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import aiohttp
import requests
import requests_sse
import socketio  # type: ignore[import-untyped]  # it ships no types
import sseclient
import websocket
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from cli.retry_wait import retry_wait_s

#: How long a client waits for a message before it looks whether it should stop.
LOOK_S = 0.3
JOIN = '{"event":"join:leaderboard"}'

Received = list[str]
#: (url, token, what is received, an event that ends it)
PythonClient = Callable[[str, str, Received, threading.Event], None]


def python_socketio(*transports: str) -> PythonClient:
    """python-socketio, which connects again by itself."""

    def follow(url: str, token: str, received: Received, stop: threading.Event) -> None:
        client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        client.on("connect", lambda: client.emit("join:leaderboard"))
        for event in ("leaderboard:update", "score:update"):
            client.on(event, lambda *data: received.append(json.dumps(data)))
        client.connect(url, auth={"token": token}, transports=list(transports), wait_timeout=5, retry=True)
        stop.wait()
        client.disconnect()

    return follow


def again_until_stopped(follow_once: PythonClient) -> PythonClient:
    """A client that does not connect again by itself."""

    def follow(url: str, token: str, received: Received, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            before = len(received)
            with suppress(OSError, WebSocketException, websocket.WebSocketException, aiohttp.ClientError):
                follow_once(url, token, received, stop)
            failures = 0 if len(received) > before else failures + 1
            stop.wait(retry_wait_s(None, failures, now_s=time.time(), random=random.random()))

    return follow


def with_websockets(url: str, token: str, received: Received, stop: threading.Event) -> None:
    with connect(f"{url.replace('http', 'ws')}/ws", additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send(JOIN)
        while not stop.is_set():
            with suppress(TimeoutError):
                received.append(str(socket.recv(timeout=LOOK_S)))


def with_websocket_client(url: str, token: str, received: Received, stop: threading.Event) -> None:
    socket = websocket.create_connection(f"{url.replace('http', 'ws')}/ws", header=[f"Authorization: Bearer {token}"])
    socket.settimeout(LOOK_S)
    socket.send(JOIN)
    while not stop.is_set():
        with suppress(websocket.WebSocketTimeoutException):
            text = socket.recv()
            if not text:  # the server has closed
                return
            received.append(str(text))
    socket.close()


def with_aiohttp(url: str, token: str, received: Received, stop: threading.Event) -> None:
    async def follow() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws", headers=headers) as socket:
            await socket.send_str(JOIN)
            while not stop.is_set() and not socket.closed:
                with suppress(TimeoutError):
                    message = await socket.receive(timeout=LOOK_S)
                    received.append(str(message.data))

    asyncio.run(follow())


def with_sseclient(url: str, token: str, received: Received, stop: threading.Event) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    with requests.get(f"{url}/api/v1/scores/stream", headers=headers, stream=True, timeout=10) as response:
        for event in sseclient.SSEClient(cast(Any, response)).events():
            received.append(event.data)
            if stop.is_set():
                return


def with_requests_sse(url: str, token: str, received: Received, stop: threading.Event) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with requests_sse.EventSource(f"{url}/api/v1/scores/stream", headers=headers, timeout=10) as source:
        for event in source:
            received.append(str(event.data))
            if stop.is_set():
                return


PYTHON_CLIENTS: dict[str, PythonClient] = {
    "python-socketio, polling": python_socketio("polling"),
    "python-socketio, websocket": python_socketio("websocket"),
    "python-socketio, upgrade": python_socketio("polling", "websocket"),
    "websockets": again_until_stopped(with_websockets),
    "websocket-client": again_until_stopped(with_websocket_client),
    "aiohttp": again_until_stopped(with_aiohttp),
    "sseclient-py": again_until_stopped(with_sseclient),
    "requests-sse": again_until_stopped(with_requests_sse),
}
