"""Print the board's events from server-sent events, with a ticket. Needs: pip install requests

Call: python3 follow_stream.py API TOKEN. A program that can send headers may send the token to /scores/stream itself.
"""

import sys
import time
from collections.abc import Callable, Iterator

import requests
from wait import wait_s


def events(api: str, get_token: Callable[[], str]) -> Iterator[tuple[str, str]]:
    """(name, JSON) of the events, also of those that were missed. get_token is called for each connection, and may fail."""
    since, attempt = "", 0
    while True:
        opened_s, retry_after = time.monotonic(), None
        try:
            for name, data, cursor in events_of_one_stream(api, get_token(), since):
                since = cursor
                yield name, data
        except Exception as error:  # no token, or the server refuses it or restarts, or the network is away
            refused = getattr(error, "response", None)
            if refused is not None:
                if refused.status_code in (400, 403, 404):
                    raise  # the account is suspended, or the address is wrong: another attempt gets the same answer
                retry_after = refused.headers.get("Retry-After")
            print(f"{type(error).__name__}: {error}; another attempt follows", file=sys.stderr)
        attempt = 0 if time.monotonic() - opened_s > 60 else attempt
        time.sleep(wait_s(attempt, retry_after))
        attempt += 1


def events_of_one_stream(api: str, token: str, since: str) -> Iterator[tuple[str, str, str]]:
    """(name, JSON, cursor) of each event of one stream, until it ends."""
    answer = requests.post(f"{api}/auth/ticket", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    answer.raise_for_status()
    query = {"ticket": answer.json()["data"]["ticket"], **({"since": since} if since else {})}
    with requests.get(f"{api}/scores/stream", params=query, stream=True, timeout=(10, 60)) as stream:
        stream.raise_for_status()
        name, data = "message", ""
        for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif field == "id":
                since = value
            elif not line and data:
                yield name, data, since
                name, data = "message", ""


if __name__ == "__main__":
    api, token = sys.argv[1:]
    for name, data in events(api, lambda: token):  # your program asks your login service for a new token
        print(name, data, flush=True)
