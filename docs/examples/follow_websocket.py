"""Print the board's events over WebSocket. Needs: pip install websockets. Call: python3 follow_websocket.py URL TOKEN

URL is ws://127.0.0.1:3000/ws, or wss://… behind a proxy with TLS.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator

from wait import wait_s
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def events(url: str, get_token: Callable[[], str]) -> Iterator[dict]:
    """The events, also those that were missed after a lost connection. get_token is called for each connection, and may fail."""
    newest = since = None  # the newest cursor, and the one before it: all events of `since` have arrived
    attempt = 0
    while True:
        opened_s, retry_after = time.monotonic(), None
        try:
            with connect(url, additional_headers={"Authorization": f"Bearer {get_token()}"}) as socket:
                socket.send(json.dumps({"event": "join:leaderboard", "data": {"since": since} if since else None, "id": 1}))
                for message in socket:
                    event = json.loads(message)
                    data = event.get("data", {}).get("data", {})
                    cursor = f"{data['epoch']}.{data['seq']}" if "epoch" in data else newest
                    if cursor != newest:
                        newest, since = cursor, newest or cursor
                    yield event
        except Exception as error:  # no token, or the server refuses it or restarts, or the network is away
            retry_after = asked_wait(error)
            print(f"{type(error).__name__}: {error}; another attempt follows", file=sys.stderr)
        attempt = 0 if time.monotonic() - opened_s > 60 else attempt
        time.sleep(wait_s(attempt, retry_after))
        attempt += 1


def asked_wait(error: Exception) -> str | None:
    """The server's Retry-After. Raises the error if another attempt ends alike: the account is suspended, or the URL is wrong."""
    if isinstance(error, InvalidStatus):
        if error.response.status_code in (400, 403, 404):
            raise error
        return error.response.headers.get("Retry-After")
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == 4403:
        raise error
    return None


if __name__ == "__main__":
    url, token = sys.argv[1:]
    for event in events(url, lambda: token):  # your program asks your login service for a new token
        print(json.dumps(event), flush=True)
