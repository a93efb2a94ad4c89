"""Live server on a fake clock, with fakes of all that it uses, and its clients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from scoreboard.boundaries.announcer import Announcer, Listener
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.domain.board_pages import Page, Row
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event, ScoreChanged
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.domain.token_faults import TokenFault
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.realtime.native import NativeFactory
from scoreboard.realtime.services import LiveServices
from tests.realtime.fake_transport import Client, FakeTransport
from tests.recording_announcer import RecordingAnnouncer

NOW_S = 1_761_129_015
HOUR_S = 3_600


def page(seq: int = 17, players: int = 2) -> Page:
    rows = tuple(
        Row(rank=n, user_id=f"user-{n}", username=f"player {n}", avatar=None, points=100 - n, updated_at_ms=NOW_S * 1000 + n)
        for n in range(1, players + 1)
    )
    return Page(cursor=Cursor(epoch=3, seq=seq), total=players, rows=rows, read_at_ms=NOW_S * 1000)


class FakeAuthenticator:
    """A token is a user id, ``amy``, or with its life in seconds, ``amy@3600``. ``bad`` and ``suspended`` are refused."""

    def __init__(self) -> None:
        self.noted: list[TokenFault] = []

    def authenticate(self, token: str) -> Player | Refusal:
        if token == "bad" or re.fullmatch(r"[!-~]{1,4096}", token) is None:
            return Refusal(reason=Reason.INVALID_TOKEN, message="The token is not valid")
        if token == "suspended":
            return Refusal(reason=Reason.FORBIDDEN, message="This account is suspended")
        user_id, _, life_s = token.partition("@")
        return Player(user_id=user_id, username=user_id, role="user", expires_at_s=NOW_S + int(life_s or HOUR_S))

    def note_refusal(self, fault: TokenFault, found: str = "") -> None:
        self.noted.append(fault)

    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        return f"{user_id}@{life_s}"

    def recheck(self, player: Player) -> Refusal | None:
        return None


class FakeAnnouncer(RecordingAnnouncer):
    """One room and no ticks: the test sends events. Joins can be delayed, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[Listener] = set()
        self.room: set[Listener] = set()
        self.page = page()
        self.missed: tuple[Event, ...] | None = None
        self.held: Deferred[None] | None = None
        self.broken: Exception | None = None

    def enter(self, listener: Listener) -> None:
        self.known.add(listener)

    def leave(self, listener: Listener) -> None:
        self.known.discard(listener)
        self.room.discard(listener)

    async def join(self, listener: Listener) -> Page:
        if self.held is not None:
            await self.held
        if self.broken is not None:
            raise self.broken
        if listener in self.known:
            self.room.add(listener)
        return self.page

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        page = await self.join(listener)
        return ResumeResult(page=page, missed=self.missed)

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        if self.held is not None:
            await self.held
        if self.broken is not None:
            raise self.broken
        return self.missed

    def quit(self, listener: Listener) -> None:
        self.room.discard(listener)

    def publish(self, changes: Sequence[ScoreChanged]) -> None:
        self.announce(BoardChanged(page=self.page))

    def announce(self, event: Event) -> None:
        for listener in self.room:
            if listener.drained:
                listener.offer(listener.encoder.encode((event,)))


class RecordingMeter:
    """Meter that records gauges and counts."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        self.counts[name] += by

    def observe(self, name: str, seconds: float) -> None: ...

    def gauge(self, name: str, value: float) -> None:
        self.values[name] = value


class Harness:
    """The live server, and fakes of all that it uses."""

    def __init__(self, *, rate_limiter: FakeRateLimiter | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.wall_ahead_s = 0.0
        self.transports: list[FakeTransport] = []
        self.meter = RecordingMeter()
        self.announcer = FakeAnnouncer()
        self.settings = msgspec.structs.replace(
            LiveLimits(origins=("https://game.example",), sockets_max=1_000, sockets_per_address_max=500), **settings
        )
        self.registry = ConnectionRegistry(
            http_limits=HttpLimits(), limits=self.settings, clock=self.clock, wall_ms=self.wall_ms, meter=self.meter
        )
        self.registry.add_listener()
        self.services = LiveServices(
            authenticator=FakeAuthenticator(),
            announcer=self.announcer,
            registry=self.registry,
            limits=self.settings,
            clock=self.clock,
            meter=self.meter,
            address_of=lambda peer, forwarded: forwarded or peer,
            check_rate=None if rate_limiter is None else rate_limiter.ask,
        )
        self.factory = NativeFactory(self.services)

    @property
    def connected(self) -> int:
        """Number of live connections, in any state."""
        return self.registry.handshaking + len(self.registry.live)

    def wall_ms(self) -> int:
        return int((NOW_S + self.clock.seconds() - 1_000 + self.wall_ahead_s) * 1000)

    def connect(self, transport: FakeTransport | None = None) -> Client:
        """Connect, without a handshake."""
        transport = transport or FakeTransport()
        self.transports.append(transport)
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        transport.step()
        return Client(transport)

    def open_websocket(self, token: str | None = "amy", **headers: Any) -> Client:
        """Connect, and complete the handshake."""
        client = self.connect()
        head = client.handshake(token=token, **headers)
        assert head.startswith("HTTP/1.1 101 "), head
        return client

    def viewer(self, token: str = "amy") -> Client:
        """Connect, join the room, and read the snapshot."""
        client = self.open_websocket(token)
        client.send_event("join:leaderboard")
        client.frames()
        return client

    def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        for _ in range(int(seconds / step_s)):
            self.clock.advance(step_s)
            for transport in self.transports:
                transport.step()


class FakeRateLimiter:
    """Rate limiter that answers when the test decides."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Deferred[Refusal | None] = Deferred()

    async def ask(self, address: str) -> Refusal | None:
        self.asked.append(address)
        return await self.answer


_conforms: tuple[type[Announcer], type[Authenticator]] = (FakeAnnouncer, FakeAuthenticator)
__all__ = ["FakeRateLimiter", "Harness", "StoreUnavailable", "page"]
