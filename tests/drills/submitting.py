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
class Answered:
    """What a player was answered, when it was asked and how long it took. Status 0: the connection ended without an answer."""

    status: int
    retry_after: str | None
    body: Any
    asked_s: float
    took_s: float


class NoLedger(Exception):
    """No action was begun: 503, because the ledger keeps no awards now."""


async def post(server: ServerProcess, path: str, user_id: str, body: object) -> Answered:
    """One request and its answer."""
    asked_s = time.monotonic()
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drill/1\r\n"
        f"Authorization: Bearer {server.issue_token(user_id)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
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
    """A submission ready to be posted for each player. Raises NoLedger."""
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
    """The answer to one submission."""
    return await post(server, "/api/v1/scores/submit", user_id, submission)


async def keep_submitting(
    server: ServerProcess, user_id: str, until_s: float, pause_s: float = 0.05
) -> list[tuple[str, Answered]]:
    """(action id, answer) of submission after submission; one that was refused with 503 is tried again."""
    answered: list[tuple[str, Answered]] = []
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
        answered.append((submission["actionId"], await submitted(server, user_id, submission)))
        if answered[-1][1].status != 503:
            submission = None
        await asyncio.sleep(pause_s)
    return answered


def acknowledged(answered: Iterable[tuple[str, Answered]]) -> set[str]:
    """The actions of which it was said that they are awarded, at once or to a retry."""
    return {action_id for action_id, one in answered if one.status in (200, 409)}


def never_awarded(answered: Iterable[tuple[str, Answered]]) -> set[str]:
    """The actions of which the last word was that nothing was awarded."""
    last = dict(answered)
    return {action_id for action_id, one in last.items() if one.status == 503 and "nothing was awarded" in one.body["message"]}
