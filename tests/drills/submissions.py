"""Many players at once: each HTTP request has its own connection, all in one asyncio loop."""

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
class Answered:
    """An answer, the time of its request and its duration. Status 0 means that the connection ended without an answer."""

    status: int
    retry_after: str | None
    body: Any
    asked_s: float
    took_s: float


class NoLedger(Exception):
    """The server began no action: 503, because the ledger takes no awards at present."""


async def post(server: ServerProcess, path: str, user_id: str, body: object) -> Answered:
    """Send one request; returns its answer."""
    asked_s = time.monotonic()
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drill/1\r\n"
        f"Authorization: Bearer {server.issue_token(user_id)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    try:
        # From several addresses, because the server limits the connections of one.
        address = f"127.0.0.{2 + crc32(user_id.encode()) % 8}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
        writer.write(head.encode() + payload)
        answer = await reader.read()
        writer.close()
    except OSError:
        answer = b""
    answered_head, _, answered_body = answer.partition(b"\r\n\r\n")
    text_lines = answered_head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text_line.partition(":") for text_line in text_lines[1:])}
    return Answered(
        status=int(text_lines[0].split()[1]) if text_lines[0] else 0,
        retry_after=headers.get("retry-after"),
        body=json.loads(answered_body) if answered_body else None,
        asked_s=asked_s,
        took_s=time.monotonic() - asked_s,
    )


async def begun(server: ServerProcess, user_ids: Sequence[str], at_once_max: int = 32) -> list[dict[str, Any]]:
    """The body of one submission for each player, after its action was initialized. Raises NoLedger."""
    asked = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123"}}
    rate_limiter = asyncio.Semaphore(at_once_max)

    async def begin(user_id: str) -> dict[str, Any]:
        async with rate_limiter:
            answered = await post(server, "/api/v1/actions/initialize", user_id, asked)
        if answered.status == 0:
            raise ConnectionError(user_id)
        if answered.status == 503:
            raise NoLedger(answered.body["message"])
        assert answered.status == 200, answered
        return {**asked, **{name: answered.body["data"][name] for name in ("actionId", "timestamp", "signature")}}

    return list(await asyncio.gather(*(begin(user_id) for user_id in user_ids)))


async def submitted(server: ServerProcess, user_id: str, submission: dict[str, Any]) -> Answered:
    """Send one submission; returns its answer."""
    return await post(server, "/api/v1/scores/submit", user_id, submission)


async def keep_submitting(
    server: ServerProcess, user_id: str, until_s: float, pause_s: float = 0.05
) -> list[tuple[str, Answered]]:
    """(action id, answer) of a series of submissions; one that gets 503 is sent again.

    It keeps its pace whatever `Retry-After` says, so that a fault meets submissions at each moment.
    """
    answered: list[tuple[str, Answered]] = []
    submission: dict[str, Any] | None = None
    while time.monotonic() < until_s:
        if submission is None:
            try:
                (submission,) = await begun(server, [user_id])
            except ConnectionError:  # the server has ended
                break
            except NoLedger:
                await asyncio.sleep(pause_s)
                continue
        answered.append((submission["actionId"], await submitted(server, user_id, submission)))
        if answered[-1][1].status != 503:
            submission = None
        await asyncio.sleep(pause_s)
    return answered


def acknowledged(answered: Iterable[tuple[str, Answered]]) -> set[str]:
    """The actions that an answer called awarded, the first one or the one to a retry."""
    return {action_id for action_id, one in answered if one.status in (200, 409)}


def never_awarded(answered: Iterable[tuple[str, Answered]]) -> set[str]:
    """The actions whose last answer was that nothing was awarded."""
    last = dict(answered)
    return {action_id for action_id, one in last.items() if one.status == 503 and "nothing was awarded" in one.body["message"]}
