"""Passers-by: clients of every kind that come, go on for a while, and end in every way there is, or in none.

Raw sockets under asyncio; what a client says is written here byte for byte, so that it can stop anywhere.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from types import MappingProxyType

from tests.journeys.server import ServerProcess
from tests.realtime.fake_transport import frame

STEP_S_MAX = 10.0
KINDS = ("native", "sio-websocket", "sio-polling", "sio-upgrade", "sse")
#: ``silent`` keeps its connections and neither reads nor says anything any more; the server has to find out.
ENDS = ("goodbye", "vanish", "hang up", "garbage", "silent")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_JOIN = '42["join:leaderboard"]'


class Refused(Exception):
    """The server did not answer as it should."""


class Talk:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Talk:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[int, bytes]:
        """A request, and (status, body) of its answer."""
        fields = {"Host": "127.0.0.1", "User-Agent": "journey/1", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split(" ", 2)[1])
        _, found, rest = answer.partition("content-length:")
        return status, await self.reader.readexactly(int(rest.split("\r\n", 1)[0])) if found else b""

    async def upgrade(self, target: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Into a WebSocket, or Refused."""
        status, _ = await self.ask("GET", target, headers={**UPGRADE, **headers})
        if status != 101:
            raise Refused(str(status))

    async def receive(self) -> bytes:
        """The next frame's payload."""
        size = (await self.reader.readexactly(2))[1]
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        return await self.reader.readexactly(size)

    def say(self, text: str) -> None:
        self.writer.write(frame(1, text.encode()))

    def vanish(self) -> None:
        """A reset, without a word."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def fall_silent(self) -> None:
        """Neither read nor say anything, for ever."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as what only writes


class Passers:
    """All of them. ``came`` and ``refused`` are counted by kind; ``silent`` are those that are still connected."""

    def __init__(self, server: ServerProcess, seed: int, ends: tuple[str, ...] = ENDS) -> None:
        self.server, self.ends = server, ends
        self.random = Random(seed)
        self.tokens = [server.issue_token(f"passer-{number}") for number in range(50)]
        self.came: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.silent: list[Talk] = []

    async def come_and_go(self, rate: float, seconds: float) -> None:
        """So many a second for so long; returns when all have gone but the silent ones."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.TaskGroup() as passing:
            for number in range(round(rate * seconds)):
                await asyncio.sleep(began_s + number / rate - loop.time())
                passing.create_task(self._pass(KINDS[number % len(KINDS)]))

    def send_away(self) -> None:
        """The silent ones close what they still have open."""
        for talk in self.silent:
            talk.writer.transport.abort()

    async def _pass(self, kind: str) -> None:
        talks: list[Talk] = []
        port = self.random.choice([self.server.port, self.server.websocket_port]) if kind != "sse" else self.server.port
        token, end = self.random.choice(self.tokens), self.random.choice(self.ends)
        steps = self.random.randrange(5)  # after how many of its steps it ends
        if (kind, end) == ("sse", "silent"):  # it never says anything: nobody can tell it from one that is there
            end = "hang up"
        self.came[f"{kind}, {end}"] += 1
        try:
            async with asyncio.timeout(STEP_S_MAX):
                match kind:
                    case "native":
                        await self._native(talks, port, token, steps)
                    case "sio-websocket":
                        await self._socketio(talks, port, token, steps)
                    case "sse":
                        await self._stream(talks, port, token, steps)
                    case _:
                        await self._polling(talks, port, token, steps, upgrade=kind == "sio-upgrade")
        except (OSError, asyncio.IncompleteReadError, Refused, TimeoutError) as error:
            self.refused[f"{kind}: {type(error).__name__} {error}"[:80]] += 1
        self._end(talks, end)

    async def _native(self, talks: list[Talk], port: int, token: str, steps: int) -> None:
        talk = await self._open(talks, port)
        if steps == 0:
            talk.writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpg")
            return
        await talk.upgrade("/ws", {"Authorization": f"Bearer {token}"} if steps > 1 else NO_HEADERS)
        if steps > 2:
            talk.say('{"event":"join:leaderboard","id":1}')
            await self._watch(talk)

    async def _socketio(self, talks: list[Talk], port: int, token: str, steps: int) -> None:
        talk = await self._open(talks, port)
        if steps == 0:
            return
        await talk.upgrade("/socket.io/?EIO=4&transport=websocket")
        await talk.receive()
        if steps > 1:
            talk.say("40" + json.dumps({"token": token}))
            await talk.receive()
        if steps > 2:
            talk.say(_JOIN)
            await self._watch(talk)
        if steps > 3:
            talk.say("41")

    async def _polling(self, talks: list[Talk], port: int, token: str, steps: int, *, upgrade: bool) -> None:
        gets, posts = await self._open(talks, port), await self._open(talks, port)
        status, hello = await gets.ask("GET", "/socket.io/?EIO=4&transport=polling")
        if status != 200:
            raise Refused(f"{status} {hello[:40]!r}")
        sid = json.loads(hello[1:])["sid"]
        target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        if steps > 0:
            await posts.ask("POST", target, b"40" + json.dumps({"token": token}).encode())
            await gets.ask("GET", target)
        if steps > 1:
            await posts.ask("POST", target, _JOIN.encode())
            await gets.ask("GET", target)
        if upgrade and steps > 2:
            await self._upgrade(talks, port, sid, steps)
        elif steps > 2:  # a GET that waits, or brings something
            with suppress(TimeoutError):
                async with asyncio.timeout(self.random.random()):
                    await gets.ask("GET", target)
        elif steps > 1:
            await posts.ask("POST", target, self.random.choice([b"1", b"41", b"4nonsense", b"\xff"]))
        if "silent" not in self.ends:  # a session that polls outlives its connections
            await (await self._open(talks, port)).ask("POST", target, b"1")

    async def _upgrade(self, talks: list[Talk], port: int, sid: str, steps: int) -> None:
        candidate = await self._open(talks, port)
        await candidate.upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
        candidate.say("2probe")
        if await candidate.receive() != b"3probe":
            raise Refused("no probe")
        if steps > 3:
            candidate.say("5")
            await self._watch(candidate)

    async def _stream(self, talks: list[Talk], port: int, token: str, steps: int) -> None:
        talk = await self._open(talks, port)
        if steps == 0:
            return
        status, _ = await talk.ask("GET", "/api/v1/scores/stream", headers={"Authorization": f"Bearer {token}"})
        if status != 200:
            raise Refused(str(status))
        if steps > 1:
            await talk.reader.read(1)
            await asyncio.sleep(self.random.random())

    async def _open(self, talks: list[Talk], port: int) -> Talk:
        talks.append(await Talk.to(port))
        return talks[-1]

    async def _watch(self, talk: Talk) -> None:
        """For a moment, at least one message."""
        await talk.receive()
        await asyncio.sleep(self.random.random())

    def _end(self, talks: list[Talk], end: str) -> None:
        for talk in talks:
            match end:
                case "goodbye":
                    talk.writer.write(frame(8, b"\x03\xe8"))
                    talk.writer.close()
                case "vanish":
                    talk.vanish()
                case "hang up":
                    talk.writer.close()
                case "garbage":
                    talk.writer.write(self.random.randbytes(60))
                    talk.writer.close()
                case _:
                    talk.fall_silent()
                    self.silent.append(talk)
