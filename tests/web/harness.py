"""Test harness of the HTTP API: the site on fakes, and a client that sends bytes. The test moves the clock; no port is used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource

from scoreboard.boundaries.announcer import Announcer, Listener
from scoreboard.boundaries.authentication import Tickets
from scoreboard.boundaries.boards import Boards
from scoreboard.boundaries.health import Health, Meter
from scoreboard.boundaries.ranking import Ranking
from scoreboard.boundaries.rate_limiter import RateLimiter
from scoreboard.boundaries.scorekeeper import Scorekeeper
from scoreboard.domain.actions import ClientInfo, Receipt, Submission
from scoreboard.domain.board_pages import Page, PlayerRank, Row, View
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import GLOBAL_BOARD, BoardBucket, BoardDefinition
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.events import BoardChanged, Event, ScoreChanged
from scoreboard.domain.grants import Grant, keyring
from scoreboard.domain.health import Condition
from scoreboard.domain.limits import ConcurrencySlot, Hit, Limit, RateVerdict
from scoreboard.domain.periods import Bucket, CalendarPeriod
from scoreboard.domain.players import Achievement, Player, PlayerSettings
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.rules import ActionRule, FieldRule
from scoreboard.domain.saved_session import ResumeResult
from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.addresses import Proxies
from scoreboard.net.http.channel import Channel
from scoreboard.net.http.cors import cors
from scoreboard.net.http.site import Site
from scoreboard.net.http.slow_down import SLOW_DOWN_S_MAX, SlowDown
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.storage.memory.players import MemoryPlayerStore
from scoreboard.storage.memory.rate_limiter import MemoryRateLimiter
from scoreboard.web.actions import ActionHandlers
from scoreboard.web.app import OPERATIONS, Api
from scoreboard.web.authenticator import JwtAuthenticator
from scoreboard.web.credentials import SpectatorHandlers, TicketHandlers
from scoreboard.web.health import HealthHandlers
from scoreboard.web.long_poll import LongPollHandlers
from scoreboard.web.metrics_access import MetricsAccess
from scoreboard.web.open_route_limiter import OpenRouteLimiter
from scoreboard.web.openapi import document
from scoreboard.web.pages import Pages
from scoreboard.web.profile import ProfileHandlers
from scoreboard.web.request_guard import Limits, RequestGuard
from scoreboard.web.routes import Routes
from scoreboard.web.scores import ScoreHandlers
from tests import recording_announcer

DOCUMENT = document(OPERATIONS)
LIVE = LiveLimits(origins=(), sockets_max=100, sockets_per_address_max=100)
NOW_S = 1_761_129_000  # 2025-10-22T10:30:00Z
JWT_SECRET = b"a secret of the tests that is long enough"
ACTION_SECRET = b"another secret of the tests, long enough"
LIMITS = Limits(
    address=Limit(name="address", quota=100, window_ms=60_000),
    everyone=Limit(name="everyone", quota=10_000, window_ms=1_000),
    players={
        "submit": Limit(name="submit", quota=10, window_ms=60_000),
        "initialize": Limit(name="initialize", quota=20, window_ms=60_000),
        "settings": Limit(name="settings", quota=10, window_ms=60_000),
    },
    probes=Limit(name="probes", quota=100_000, window_ms=1_000, policy="bucket"),
    pages=Limit(name="pages", quota=100_000, window_ms=1_000, policy="bucket"),
    open_actions_max=50,
)
QUEST = ActionRule(
    action_type="COMPLETE_QUEST",
    points=100,
    fields=(
        FieldRule(name="questId", kind="string", required=True, length_max=64),
        FieldRule(name="difficulty", kind="string", choices=("easy", "normal", "hard")),
        FieldRule(name="level", kind="integer", minimum=1, maximum=99),
    ),
)
RAID = ActionRule(action_type="RAID", points=500, duration_ms_min=30_000)


class RecordingMeter:
    """Meter that records its calls."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], int] = {}
        self.durations: dict[str, list[float]] = {}
        self.gauges: dict[str, float] = {}

    def count(self, name: str, by: int = 1, **labels: str) -> None:
        key = (name, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + by

    def observe(self, name: str, seconds: float) -> None:
        self.durations.setdefault(name, []).append(seconds)

    def gauge(self, name: str, value: float) -> None:
        self.gauges[name] = value


class FakeRateLimiter:
    """RateLimiter that returns ``verdict``, which admits by default, and records its calls."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[Hit], ConcurrencySlot | None]] = []
        self.verdict = RateVerdict(remaining=7, reset_ms=41_500)
        self.held: Deferred[None] | None = None

    async def check(self, hits: Sequence[Hit], slot: ConcurrencySlot | None = None) -> RateVerdict:
        self.asked.append((hits, slot))
        if self.held is not None:
            await self.held
        return self.verdict

    def release(self, slots: Iterable[tuple[str, str]]) -> None: ...


class FakeScorekeeper:
    """Scorekeeper that returns or raises ``answer``, at once or when ``waits`` fires, and records its calls."""

    def __init__(self) -> None:
        self.answer: Receipt | Refusal | Exception = Receipt(points=100, total=1250, rank=5, previous_rank=7)
        self.waits: Deferred[None] | None = None
        self.kept: list[tuple[Player, Submission, Grant, ClientInfo]] = []

    async def submit(self, player: Player, submission: Submission, grant: Grant, client: ClientInfo) -> Receipt | Refusal:
        if self.waits is not None:
            await self.waits
        self.kept.append((player, submission, grant, client))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeRanking:
    """Ranking of rows that the test sets; it counts the reads."""

    def __init__(self, bucket: BoardBucket = GLOBAL_BOARD) -> None:
        self.bucket = bucket
        self.cursor = Cursor(epoch=1, seq=5)
        self.ledger_ahead_count = 0
        self.rows: tuple[Row, ...] = ()
        self.place_now: PlayerRank | None = None
        self.reads = 0
        self.degraded = False
        self.missed: tuple[ScoreChanged, ...] | None = None
        self.held: Deferred[None] | None = None
        self.fault: Exception | None = None

    async def page(self, offset: int, limit: int) -> Page:
        self._read()
        rows = self.rows[offset : offset + limit]
        return Page(cursor=self.cursor, total=len(self.rows), rows=rows, read_at_ms=NOW_S * 1000 + 15_000, degraded=self.degraded)

    async def read_views(self, views: Sequence[View]) -> list[Page]:
        raise StoreUnavailable("no test over HTTP asks for this")

    async def since(self, cursor: Cursor, limit: int) -> History:
        if self.held is not None:
            await self.held
        return History(page=await self.page(0, limit), changes=self.missed)

    async def rank_of(self, user_id: str) -> PlayerRank:
        self._read()
        return self.place_now or PlayerRank(
            cursor=self.cursor, total=len(self.rows), points=0, rank=None, updated_at_ms=None, degraded=self.degraded
        )

    def _read(self) -> None:
        self.reads += 1
        if self.fault is not None:
            raise self.fault


class FakeBoards:
    """The global board, and a daily one that a test may give another ranking."""

    definitions = (
        BoardDefinition(board_id="global", title="All time"),
        BoardDefinition(board_id="daily", title="Today", period=CalendarPeriod(unit="daily", zone=UTC), keep_closed=7),
    )

    def __init__(self, ranking: FakeRanking) -> None:
        self.daily = FakeRanking(BoardBucket(board_id="daily", bucket="2026-11-28"))
        self.rankings = {"global": ranking, "daily": self.daily}
        self.asked: list[tuple[str, str | None]] = []

    def present(self, board_id: str) -> Bucket | None:
        period = next(one.period for one in self.definitions if one.board_id == board_id)
        return period.bucket_at(NOW_S * 1000)

    def ranking(self, board_id: str, bucket: str | None = None) -> FakeRanking:
        self.asked.append((board_id, bucket))
        if board_id not in self.rankings:
            raise Refused(malformed("board", "must be one of global, daily"))
        return self.rankings[board_id]


class FakeAnnouncer(recording_announcer.RecordingAnnouncer):
    """Announcer of one room; the test calls ``tell``."""

    def __init__(self, board: FakeRanking) -> None:
        super().__init__()
        self.board = board
        self.room: list[Listener] = []
        self.held: Deferred[None] | None = None

    def enter(self, listener: Listener) -> None: ...

    def leave(self, listener: Listener) -> None:
        self.quit(listener)

    async def join(self, listener: Listener) -> Page:
        self.room.append(listener)
        return await self.board.page(0, 10)

    async def resume(self, listener: Listener, since: Cursor) -> ResumeResult:
        if self.held is not None:
            await self.held
        page, missed = await self.join(listener), self.board.missed
        events = None if missed is None else (*missed, *([BoardChanged(page=page)] if missed else ()))
        return ResumeResult(page=page, missed=events)

    async def catch_up(self, listener: Listener, since: Cursor) -> tuple[Event, ...] | None:
        return self.board.missed

    def quit(self, listener: Listener) -> None:
        if listener in self.room:
            self.room.remove(listener)

    def publish(self, changes: Sequence[ScoreChanged]) -> None:
        for listener in tuple(self.room):
            listener.offer(listener.encoder.encode(changes))


class FakeTickets:
    """Tickets with the names ``ticket-0`` and so on."""

    def __init__(self) -> None:
        self.held: dict[str, Player] = {}
        self.held_back: Deferred[None] | None = None
        self.broken = False

    async def issue(self, player: Player) -> str:
        if self.broken:
            raise StoreUnavailable("no tickets")
        ticket = f"ticket-{len(self.held)}"
        self.held[ticket] = player
        return ticket

    async def redeem(self, ticket: str) -> Player | None:
        if self.held_back is not None:
            await self.held_back
        if self.broken:
            raise StoreUnavailable("no tickets")
        return self.held.pop(ticket, None)


class FakeHealth:
    """Health with conditions that the test sets."""

    def __init__(self) -> None:
        self.shown = [Condition(name=name, ok=True, serving=True) for name in ("ledger", "redis")]
        self.reads = 0

    def conditions(self) -> Sequence[Condition]:
        self.reads += 1
        return self.shown

    @property
    def ledger_serves(self) -> bool:
        return all(one.serving for one in self.shown if one.name == "ledger")

    def set(self, name: str, *, serving: bool, detail: str) -> None:
        """Set a condition that is not ok."""
        bad = Condition(name=name, ok=False, serving=serving, detail=detail)
        self.shown = [bad if one.name == name else one for one in self.shown]


class FakeTransport(StringTransport):
    """Transport in memory with a half-close."""

    half_closed = False
    protocol: Protocol

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection, or its half of it."""
        return bool(self.half_closed or self.disconnecting)


@dataclass
class Reply:
    """A parsed response. Header names are in lower case; values of a repeated one are joined by a comma."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HttpConnection:
    """A client's connection to the site."""

    def __init__(self, site: Site, peer: str = "203.0.113.9") -> None:
        kind = IPv6Address if ":" in peer else IPv4Address
        address = UNIXAddress(b"") if peer == "unix" else kind("TCP", peer, 4711)
        self.transport = FakeTransport(peerAddress=address, lenient=True)
        self.channel: Channel = site.buildProtocol(address)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def hang_up(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    def close_half(self) -> None:
        """Send nothing more, and go on reading."""
        self.channel.readConnectionLost()

    def replies(self, *, to_head: bool = False) -> list[Reply]:
        """The responses since the last call. Bytes that are no request get a body even to HEAD."""
        data = self.transport.value()
        self.transport.clear()
        found = []
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            status_line, *header_lines = head.decode("latin-1").split("\r\n")
            headers: dict[str, str] = {}
            for header_line in header_lines:
                name, _, value = header_line.partition(": ")
                name = name.lower()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            assert status_line.startswith("HTTP/1.1 "), head
            status = int(status_line[9:12])
            bodiless = status in (100, 204, 304) or (to_head and not data.startswith(b"{"))
            length = 0 if bodiless else int(headers["content-length"])
            assert len(data) >= length, "the body is shorter than it says"
            found.append(Reply(status, headers, data[:length]))
            data = data[length:]
        return found

    def ask(self, request: bytes) -> Reply:
        """Send a request and return its only response."""
        self.send(request)
        replies = self.replies(to_head=request.startswith(b"HEAD"))
        assert len(replies) == 1, replies
        return replies[0]


def request(
    method: str, path: str, *, body: object = None, headers: dict[str, str] | None = None, raw: bytes | None = None
) -> bytes:
    """The bytes of a valid request; ``body`` is encoded as JSON, ``raw`` is sent as it is."""
    data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    header_lines = {"Host": "localhost:3000"}
    if data or method in ("POST", "PUT"):
        header_lines |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    header_lines |= headers or {}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in header_lines.items() if value != "-"
    )
    return head.encode("latin-1") + b"\r\n" + data


@dataclass
class Harness:
    """The site, its handlers and their fakes. With ``counting`` the rate limiter is the real one in memory."""

    cors_origins: tuple[str, ...] = ("*",)
    trusted: tuple[str, ...] = ()
    http_limits: HttpLimits = field(default_factory=HttpLimits)
    spectators: bool = True
    public_openapi: bool = True
    metrics_access: MetricsAccess = field(default_factory=lambda: MetricsAccess(None, [ip_network("0.0.0.0/0")]))
    pages: Path = Path("does-not-exist")
    socket: IResource = field(default_factory=Resource)
    socketio: IResource = field(default_factory=Resource)
    limits: Limits = LIMITS
    counting: bool = False

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW_S)
        self.meter = RecordingMeter()
        self.rate_limiter = FakeRateLimiter()
        self.scorekeeper = FakeScorekeeper()
        self.ranking = FakeRanking()
        self.boards = FakeBoards(self.ranking)
        self.announcer = FakeAnnouncer(self.ranking)
        self.tickets = FakeTickets()
        self.unlocked: dict[tuple[str, int], Achievement] = {}
        self.player_store = MemoryPlayerStore(self.unlocked)
        self.streams: list[tuple[Player, str, Cursor | None, bytes]] = []
        self.health = FakeHealth()
        self.suspended: set[str] = set()
        self.authenticator = JwtAuthenticator(
            ring=keyring(JWT_SECRET),
            now_ms=self.now_ms,
            life_s_max=86_400,
            is_suspended=self.suspended.__contains__,
            meter=self.meter,
        )
        self.registry = ConnectionRegistry(
            http_limits=self.http_limits, limits=LIVE, clock=self.clock, wall_ms=self.now_ms, meter=self.meter
        )
        self.ids = iter(range(10**6))
        self.renderings = 0
        self.noted: list[tuple[str, PlayerSettings, int]] = []
        limiter = MemoryRateLimiter(self.now_ms) if self.counting else self.rate_limiter
        self.guard = RequestGuard(
            authenticator=self.authenticator, rate_limiter=limiter, limits=self.limits, slow_down=SlowDown(self.clock)
        )
        self.proxies = Proxies(networks=tuple(ip_network(name) for name in self.trusted))
        self.open_route_limiter = OpenRouteLimiter(proxies=self.proxies, clock=self.clock, meter=self.meter)
        self.api = self._build_api()
        self.registry.on_drain.append(self.api.changes.release)
        self.site = self._build_site()
        self.site.doStart()

    def _build_api(self) -> Api:
        ticket_handlers = TicketHandlers(guard=self.guard, tickets=self.tickets, now_ms=self.now_ms)
        return Api(
            scores=ScoreHandlers(
                guard=self.guard,
                scorekeeper=self.scorekeeper,
                boards=self.boards,
                ring=keyring(ACTION_SECRET),
                clock=self.clock,
                now_ms=self.now_ms,
                meter=self.meter,
            ),
            actions=ActionHandlers(
                guard=self.guard,
                health=self.health,
                catalogue={rule.action_type: rule for rule in (QUEST, RAID)},
                signing_ring=lambda: keyring(ACTION_SECRET),
                action_ttl_ms=600_000,
                now_ms=self.now_ms,
                new_id=self._new_id,
            ),
            changes=LongPollHandlers(
                ticket_handlers=ticket_handlers,
                ranking=self.ranking,
                announcer=self.announcer,
                open_stream=self._open_stream,
                clock=self.clock,
            ),
            profile=ProfileHandlers(
                guard=self.guard,
                player_store=self.player_store,
                note_settings=lambda user_id, settings, number: self.noted.append((user_id, settings, number)),
                now_ms=self.now_ms,
            ),
            ticket_handlers=ticket_handlers,
            spectators=SpectatorHandlers(
                guard=self.guard, life_s=600 if self.spectators else None, now_ms=self.now_ms, new_id=self._new_id
            ),
            health=HealthHandlers(
                open_route_limiter=self.open_route_limiter,
                limit=self.limits.probes,
                health=self.health,
                metrics=self._metrics,
                metrics_access=self.metrics_access,
                document=(lambda: DOCUMENT) if self.public_openapi else None,
                clock=self.clock,
            ),
            pages=Pages(self.pages, self.open_route_limiter, self.limits.pages),
            socket=self.socket,
            socketio=self.socketio,
        )

    def _build_site(self) -> Site:
        origins = cors(self.cors_origins)
        routes = Routes(
            self.api.app,
            cors=origins,
            recheck=self.guard.recheck,
            count_unmatched=lambda request: self.open_route_limiter.check(request, self.limits.pages),
        )
        return Site(
            routes,
            registry=self.registry,
            http_limits=self.http_limits,
            proxies=self.proxies,
            cors=origins,
            clock=self.clock,
            now_ms=self.now_ms,
            meter=self.meter,
        )

    def _new_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self.ids):012x}"

    def drain(self) -> Deferred[None]:
        return ensureDeferred(self.registry.drain(CloseReason(code=1012, reason="bye"), 0.0))

    def now_ms(self) -> int:
        return int(self.clock.seconds() * 1000)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock second by second."""
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def connection(self, peer: str = "203.0.113.9") -> HttpConnection:
        return HttpConnection(self.site, peer)

    def token(self, user_id: str = "user-123", username: str = "player_one", role: str = "user", life_s: int = 3600) -> str:
        return self.authenticator.issue_token(user_id, username, role, life_s)

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        body: object = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        peer: str = "203.0.113.9",
    ) -> Reply:
        """Send one request on a connection of its own, with a valid token by default."""
        shown = {} if token is None else {"Authorization": f"Bearer {token or self.token()}"}
        connection = self.connection(peer)
        connection.send(request(method, path, body=body, headers=shown | (headers or {}), raw=raw))
        replies = connection.replies(to_head=method == "HEAD")
        if not replies:  # a refusal by a limit of the address comes after a moment
            self.clock.advance(SLOW_DOWN_S_MAX)
            replies = connection.replies(to_head=method == "HEAD")
        assert len(replies) == 1, replies
        connection.hang_up()
        return replies[0]

    def initialized(self, **metadata: object) -> dict[str, Any]:
        """The body of a valid submission of a new action."""
        wish = {"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123", **metadata}}
        data = self.ask("POST", "/api/v1/actions/initialize", body=wish).json["data"]
        return wish | {"actionId": data["actionId"], "timestamp": data["timestamp"], "signature": data["signature"]}

    def _open_stream(self, player: Player, address: str, since: Cursor | None, header_lines: bytes, version: bytes) -> IResource:
        assert version == b"HTTP/1.1"
        self.streams.append((player, address, since, header_lines))
        return self.socket

    def _metrics(self) -> tuple[bytes, str]:
        self.renderings += 1
        return b"up %d\n" % self.renderings, "text/plain; version=0.0.4"


_conforms: tuple[
    type[RateLimiter], type[Scorekeeper], type[Ranking], type[Boards], type[Meter], type[Announcer], type[Tickets], type[Health]
] = (FakeRateLimiter, FakeScorekeeper, FakeRanking, FakeBoards, RecordingMeter, FakeAnnouncer, FakeTickets, FakeHealth)
