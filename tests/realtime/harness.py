"""A live wing around a clock: doubles for the doors, and clients as many as the test wants."""

from __future__ import annotations

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
from scoreboard.domain.limits import RateVerdict
from scoreboard.domain.players import Player
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.realtime.native import NativeFactory
from tests.balconies import Balcony
from tests.realtime.cable import Cable, Client

NOW_S = 1_761_129_015
HOUR_S = 3_600


def page(seq: int = 17, players: int = 2) -> Page:
    rows = tuple(
        Row(rank=n, user_id=f"user-{n}", username=f"player {n}", avatar=None, points=100 - n, updated_at_ms=NOW_S * 1000 + n)
        for n in range(1, players + 1)
    )
    return Page(cursor=Cursor(epoch=3, seq=seq), total=players, rows=rows, read_at_ms=NOW_S * 1000)


class OpenAuthenticator:
    """Tokens that say who they are: ``amy``, or ``amy@3600`` for one that ends then. ``bad`` is not valid, ``suspended`` is."""

    def authenticate(self, token: str) -> Player | Refusal:
        if token == "bad":
            return Refusal(reason=Reason.INVALID_TOKEN, message="The token is not valid")
        if token == "suspended":
            return Refusal(reason=Reason.FORBIDDEN, message="This account is suspended")
        user_id, _, life_s = token.partition("@")
        return Player(user_id=user_id, username=user_id, role="user", expires_at_s=NOW_S + int(life_s or HOUR_S))

    def issue_token(self, user_id: str, username: str, role: str, life_s: int) -> str:
        return f"{user_id}@{life_s}"

    def recheck(self, player: Player) -> Refusal | None:
        return None


class SmallAnnouncer(Balcony):
    """One room and no ticks: the test tells. Joins can be held back, or fail."""

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

    def tell(self, changes: Sequence[ScoreChanged]) -> None:
        self.announce(BoardChanged(page=self.page))

    def announce(self, event: Event) -> None:
        for listener in self.room:
            if listener.drained:
                listener.offer(listener.encoder.frame(event))


class Gauges:
    """Remembers what it was set to."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        self.counts[name] += by

    def observe(self, name: str, seconds: float) -> None: ...

    def gauge(self, name: str, value: float) -> None:
        self.values[name] = value


class Harness:
    """The live wing with its doors."""

    def __init__(self, *, rate_limiter: RateLimiterDouble | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.wall_ahead_s = 0.0
        self.cables: list[Cable] = []
        self.meter = Gauges()
        self.announcer = SmallAnnouncer()
        self.settings = msgspec.structs.replace(
            LiveLimits(origins=("https://game.example",), sockets_max=1_000, sockets_per_address_max=500), **settings
        )
        self.registry = ConnectionRegistry(
            http_limits=HttpLimits(), limits=self.settings, clock=self.clock, wall_ms=self.wall_ms, meter=self.meter
        )
        self.registry.add_listener()
        self.factory = NativeFactory(
            authenticator=OpenAuthenticator(),
            announcer=self.announcer,
            registry=self.registry,
            settings=self.settings,
            clock=self.clock,
            address_of=lambda peer, forwarded: forwarded or peer,
            check_rate=None if rate_limiter is None else rate_limiter.ask,
        )

    @property
    def connected(self) -> int:
        """How many live connections there are, in whatever state."""
        return self.registry.handshaking + len(self.registry.live)

    def wall_ms(self) -> int:
        return int((NOW_S + self.clock.seconds() - 1_000 + self.wall_ahead_s) * 1000)

    def plug_in(self, cable: Cable | None = None) -> Client:
        """A connection, before any handshake."""
        cable = cable or Cable()
        self.cables.append(cable)
        cable.protocol = self.factory.buildProtocol(cable.getPeer())
        cable.protocol.makeConnection(cable)
        cable.step()
        return Client(cable)

    def visit(self, token: str | None = "amy", **headers: Any) -> Client:
        """An open socket."""
        client = self.plug_in()
        head = client.shake_hands(token=token, **headers)
        assert head.startswith("HTTP/1.1 101 "), head
        return client

    def viewer(self, token: str = "amy") -> Client:
        """An open socket in the room, its snapshot seen."""
        client = self.visit(token)
        client.say("join:leaderboard")
        client.frames()
        return client

    def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        for _ in range(int(seconds / step_s)):
            self.clock.advance(step_s)
            for cable in self.cables:
                cable.step()


class RateLimiterDouble:
    """A gate that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Deferred[RateVerdict] = Deferred()

    async def ask(self, address: str) -> RateVerdict:
        self.asked.append(address)
        return await self.answer


_conforms: tuple[type[Announcer], type[Authenticator]] = (SmallAnnouncer, OpenAuthenticator)
__all__ = ["Harness", "RateLimiterDouble", "StoreUnavailable", "page"]
