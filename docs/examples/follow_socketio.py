"""Print the board's events with Socket.IO. Needs: pip install 'python-socketio[client]'

Call: python3 follow_socketio.py URL TOKEN. URL is http://127.0.0.1:3000, or https://… behind a proxy with TLS.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import socketio
from wait import wait_s


def events(url: str, get_token: Callable[[], str]) -> Iterator[dict]:
    """The events. They end when the account is suspended. get_token is called for each connection, and may fail."""
    attempt = 0
    while True:
        opened_s = time.monotonic()
        received: SimpleQueue = SimpleQueue()
        client = socketio.Client(reconnection=False)  # by itself it would show the same token again
        client.on("*", lambda name, *data, received=received: received.put({"event": name, "data": data[0] if data else None}))
        client.on("connect_error", lambda why, received=received: received.put({"event": "connect_error", "data": why}))
        client.on("disconnect", lambda *_, received=received: received.put({"event": "disconnect", "data": None}))
        try:
            client.connect(url, auth={"token": get_token()})
            client.emit("join:leaderboard")
            event = received.get()
            while event["event"] != "disconnect":
                yield event
                if event["event"] == "account:suspended":
                    return
                event = received.get()
        except Exception as error:  # no token, or the server refuses it or restarts, or the network is away
            why = received.get()["data"] if not received.empty() else None
            if isinstance(why, dict) and (why.get("data") or {}).get("code") == 4030:
                raise PermissionError(why["message"]) from error  # the account is suspended: another attempt would end alike
            print(f"{type(error).__name__}: {error}; another attempt follows", file=sys.stderr)
        finally:
            client.disconnect()
        attempt = 0 if time.monotonic() - opened_s > 60 else attempt
        time.sleep(wait_s(attempt))
        attempt += 1


if __name__ == "__main__":
    url, token = sys.argv[1:]
    for event in events(url, lambda: token):  # your program asks your login service for a new token
        print(json.dumps(event), flush=True)
