"""Many players at once: HTTP requests on a connection each, all in one asyncio loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from tests.journeys.server import ServerProcess


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a player was answered, when it was asked and how long it took. Status 0: the connection ended without an answer."""

    status: int
    retry_after: str | None
    body: Any
    asked_s: float
    took_s: float


class NoLedger(Exception):
    """No action was begun: 503, because the ledger keeps no awards now."""


async def post(server: ServerProcess, path: str, user_id: str, body: object) -> Told:
    """One request and its answer."""
    asked_s = time.monotonic()
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drill/1\r\n"
        f"Authorization: Bearer {server.issue_token(user_id)}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    try:
        # From a few addresses, since one may not hold so many connections.
        address = f"127.0.0.{2 + crc32(user_id.encode()) % 8}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
        writer.write(head.encode() + payload)
        answer = await reader.read()
        writer.close()
    except OSError:
        answer = b""
    told_head, _, told_body = answer.partition(b"\r\n\r\n")
    lines = told_head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Told(
        status=int(lines[0].split()[1]) if lines[0] else 0,
        retry_after=headers.get("retry-after"),
        body=json.loads(told_body) if told_body else None,
        asked_s=asked_s,
        took_s=time.monotonic() - asked_s,
    )


async def begun(server: ServerProcess, user_ids: Sequence[str], at_once_max: int = 32) -> list[dict[str, Any]]:
    """A submission ready to be posted for each player. Raises NoLedger."""
    asked = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}
    rate_limiter = asyncio.Semaphore(at_once_max)

    async def begin(user_id: str) -> dict[str, Any]:
        async with rate_limiter:
            told = await post(server, "/api/v1/actions/initialize", user_id, asked)
        if told.status == 0:
            raise ConnectionError(user_id)
        if told.status == 503:
            raise NoLedger(told.body["message"])
        assert told.status == 200, told
        return {**asked, **{name: told.body["data"][name] for name in ("actionId", "timestamp", "signature")}}

    return list(await asyncio.gather(*(begin(user_id) for user_id in user_ids)))


async def submitted(server: ServerProcess, user_id: str, submission: dict[str, Any]) -> Told:
    """The answer to one submission."""
    return await post(server, "/api/v1/scores/submit", user_id, submission)


async def keep_submitting(server: ServerProcess, user_id: str, until_s: float, pause_s: float = 0.05) -> list[tuple[str, Told]]:
    """(action id, answer) of submission after submission; one that was refused with 503 is tried again."""
    told: list[tuple[str, Told]] = []
    submission: dict[str, Any] | None = None
    while time.monotonic() < until_s:
        if submission is None:
            try:
                (submission,) = await begun(server, [user_id])
            except ConnectionError:  # the server is gone
                break
            except NoLedger:
                await asyncio.sleep(pause_s)
                continue
        told.append((submission["actionId"], await submitted(server, user_id, submission)))
        if told[-1][1].status != 503:
            submission = None
        await asyncio.sleep(pause_s)
    return told


def acknowledged(told: Iterable[tuple[str, Told]]) -> set[str]:
    """The actions of which it was said that they are awarded, at once or to a retry."""
    return {action_id for action_id, one in told if one.status in (200, 409)}


def never_awarded(told: Iterable[tuple[str, Told]]) -> set[str]:
    """The actions of which the last word was that nothing was awarded."""
    last = dict(told)
    return {action_id for action_id, one in last.items() if one.status == 503 and "nothing was awarded" in one.body["message"]}
