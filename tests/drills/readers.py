"""Load generator: readers that constantly request the board and their own ranks, in a process of its own.

``python -m tests.drills.readers PORT TOKEN_FILE SECONDS`` prints as JSON how often each status was answered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType

from tests.journeys.server import ROOT, ServerProcess

_PAUSE_S = 0.05


class Readers:
    """``count`` readers for at most ``seconds``; ``statuses`` counts their answers after the block."""

    def __init__(self, server: ServerProcess, count: int, seconds: float, directory: Path) -> None:
        self._tokens = directory / "tokens"
        self._tokens.write_text("\n".join(server.issue_token(f"player-{n}") for n in range(count)))
        self._command = [sys.executable, "-m", "tests.drills.readers", str(server.port), str(self._tokens), str(seconds)]
        self.statuses: dict[str, int] = {}

    def __enter__(self) -> Readers:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        said, _ = self._process.communicate("", timeout=120)  # the process ends when its stdin ends
        self.statuses = json.loads(said)


async def _read(port: int, token: str, ended: asyncio.Event, statuses: Counter[str]) -> None:
    paths = ("/api/v1/scores/leaderboard?limit=10", "/api/v1/scores/me")
    while not ended.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            step = 0
            while not ended.is_set():
                step += 1
                head = f"GET {paths[step % 2]} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
                writer.write(head.encode())
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
                fields = answer.lower().split(b"\r\n")
                length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length"))
                body = await reader.readexactly(length)
                degraded = " degraded" if b'"degraded":true' in body else ""
                statuses[answer.split(b" ", 2)[1].decode() + degraded] += 1
                await asyncio.sleep(_PAUSE_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            statuses["no answer"] += 1
            await asyncio.sleep(0.2)


async def _main(port: int, tokens: list[str], seconds: float) -> None:
    statuses: Counter[str] = Counter()
    ended = asyncio.Event()
    readers = [asyncio.create_task(_read(port, token, ended, statuses)) for token in tokens]
    await asyncio.wait([asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)], timeout=seconds)
    ended.set()  # `wait_for` may lose a cancellation, and then the reader would not end
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    sys.stdout.write(json.dumps(statuses))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), Path(sys.argv[2]).read_text().split(), float(sys.argv[3])))
