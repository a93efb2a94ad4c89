"""Load generator: clients of every kind that connect, stay for a random time, and end in every possible way, or go silent.

They are raw sockets under asyncio. Each message is written here byte by byte, so that a client can stop at any point.
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
#: ``silent`` keeps its connections open and neither reads nor sends; the server must detect it.
ENDS = ("close", "reset", "hang up", "garbage", "silent")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_JOIN = '42["join:leaderboard"]'


class Refused(Exception):
    """The server gave another answer than the expected one."""


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> RawConnection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[int, bytes]:
        """Send a request; returns (status, body) of its answer."""
        fields = {"Host": "127.0.0.1", "User-Agent": "journey/1", "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split(" ", 2)[1])
        _, found, rest = answer.partition("content-length:")
        return status, await self.reader.readexactly(int(rest.split("\r\n", 1)[0])) if found else b""

    async def upgrade(self, target: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Upgrade to a WebSocket; raises Refused for any status but 101."""
        status, _ = await self.ask("GET", target, headers={**UPGRADE, **headers})
        if status != 101:
            raise Refused(str(status))

    async def receive(self) -> bytes:
        """The payload of the next frame."""
        size = (await self.reader.readexactly(2))[1]
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        return await self.reader.readexactly(size)

    def send(self, text: str) -> None:
        self.writer.write(frame(1, text.encode()))

    def reset(self) -> None:
        """Reset the TCP connection without a close frame."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def go_silent(self) -> None:
        """Stop to read and to send, and keep the connection open."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as what only writes


class RandomClients:
    """All clients. ``started`` and ``refused`` count them by kind; ``silent`` holds the connections of silent clients."""

    def __init__(self, server: ServerProcess, seed: int, ends: tuple[str, ...] = ENDS) -> None:
        self.server, self.ends = server, ends
        self.random = Random(seed)
        self.tokens = [server.issue_token(f"client-{number}") for number in range(50)]
        self.started: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.silent: list[RawConnection] = []

    async def run(self, rate: float, seconds: float) -> None:
        """Start ``rate`` clients a second for so many seconds; returns when all but the silent ones have ended."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(round(rate * seconds)):
                await asyncio.sleep(began_s + number / rate - loop.time())
                group.create_task(self._run_one(KINDS[number % len(KINDS)]))

    def close_silent(self) -> None:
        """Close the open connections of the silent clients."""
        for connection in self.silent:
            connection.writer.transport.abort()

    async def _run_one(self, kind: str) -> None:
        connections: list[RawConnection] = []
        port = self.random.choice([self.server.port, self.server.websocket_port]) if kind != "sse" else self.server.port
        token, end = self.random.choice(self.tokens), self.random.choice(self.ends)
        steps = self.random.randrange(5)  # the number of steps after which the client ends
        if (kind, end) == ("sse", "silent"):  # nothing shows the server that the client of a stream is silent
            end = "hang up"
        self.started[f"{kind}, {end}"] += 1
        try:
            async with asyncio.timeout(STEP_S_MAX):
                match kind:
                    case "native":
                        await self._native(connections, port, token, steps)
                    case "sio-websocket":
                        await self._socketio(connections, port, token, steps)
                    case "sse":
                        await self._stream(connections, port, token, steps)
                    case _:
                        await self._polling(connections, port, token, steps, upgrade=kind == "sio-upgrade")
        except (OSError, asyncio.IncompleteReadError, Refused, TimeoutError) as error:
            self.refused[f"{kind}: {type(error).__name__} {error}"[:80]] += 1
        self._end(connections, end)

    async def _native(self, connections: list[RawConnection], port: int, token: str, steps: int) -> None:
        connection = await self._open(connections, port)
        if steps == 0:
            connection.writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpg")
            return
        await connection.upgrade("/ws", {"Authorization": f"Bearer {token}"} if steps > 1 else NO_HEADERS)
        if steps > 2:
            connection.send('{"event":"join:leaderboard","id":1}')
            await self._watch(connection)

    async def _socketio(self, connections: list[RawConnection], port: int, token: str, steps: int) -> None:
        connection = await self._open(connections, port)
        if steps == 0:
            return
        await connection.upgrade("/socket.io/?EIO=4&transport=websocket")
        await connection.receive()
        if steps > 1:
            connection.send("40" + json.dumps({"token": token}))
            await connection.receive()
        if steps > 2:
            connection.send(_JOIN)
            await self._watch(connection)
        if steps > 3:
            connection.send("41")

    async def _polling(self, connections: list[RawConnection], port: int, token: str, steps: int, *, upgrade: bool) -> None:
        gets, posts = await self._open(connections, port), await self._open(connections, port)
        status, open_packet = await gets.ask("GET", "/socket.io/?EIO=4&transport=polling")
        if status != 200:
            raise Refused(f"{status} {open_packet[:40]!r}")
        sid = json.loads(open_packet[1:])["sid"]
        target = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        if steps > 0:
            await posts.ask("POST", target, b"40" + json.dumps({"token": token}).encode())
            await gets.ask("GET", target)
        if steps > 1:
            await posts.ask("POST", target, _JOIN.encode())
            await gets.ask("GET", target)
        if upgrade and steps > 2:
            await self._upgrade(connections, port, sid, steps)
        elif steps > 2:  # a GET that waits, or returns with data
            with suppress(TimeoutError):
                async with asyncio.timeout(self.random.random()):
                    await gets.ask("GET", target)
        elif steps > 1:
            await posts.ask("POST", target, self.random.choice([b"1", b"41", b"4nonsense", b"\xff"]))
        if "silent" not in self.ends:  # a session over polling does not end with its connections
            await (await self._open(connections, port)).ask("POST", target, b"1")

    async def _upgrade(self, connections: list[RawConnection], port: int, sid: str, steps: int) -> None:
        candidate = await self._open(connections, port)
        await candidate.upgrade(f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
        candidate.send("2probe")
        if await candidate.receive() != b"3probe":
            raise Refused("no probe")
        if steps > 3:
            candidate.send("5")
            await self._watch(candidate)

    async def _stream(self, connections: list[RawConnection], port: int, token: str, steps: int) -> None:
        connection = await self._open(connections, port)
        if steps == 0:
            return
        status, _ = await connection.ask("GET", "/api/v1/scores/stream", headers={"Authorization": f"Bearer {token}"})
        if status != 200:
            raise Refused(str(status))
        if steps > 1:
            await connection.reader.read(1)
            await asyncio.sleep(self.random.random())

    async def _open(self, connections: list[RawConnection], port: int) -> RawConnection:
        connections.append(await RawConnection.open(port))
        return connections[-1]

    async def _watch(self, connection: RawConnection) -> None:
        """Read one message, and stay for up to one more second."""
        await connection.receive()
        await asyncio.sleep(self.random.random())

    def _end(self, connections: list[RawConnection], end: str) -> None:
        for connection in connections:
            match end:
                case "close":
                    connection.writer.write(frame(8, b"\x03\xe8"))
                    connection.writer.close()
                case "reset":
                    connection.reset()
                case "hang up":
                    connection.writer.close()
                case "garbage":
                    connection.writer.write(self.random.randbytes(60))
                    connection.writer.close()
                case _:
                    connection.go_silent()
                    self.silent.append(connection)
