"""Socket.IO server on a fake clock: HTTP requests without HTTP, WebSockets without a network, and fakes of all that it uses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from scoreboard.net.connections import ConnectionRegistry
from scoreboard.net.http.response import Response
from scoreboard.net.limits import HttpLimits, LiveLimits
from scoreboard.realtime.engineio.connection import Engine, EngineConnection
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.packets import SEPARATOR
from scoreboard.realtime.engineio.polling import CountRefused, EngineResource
from scoreboard.realtime.engineio.websocket import EngineFactory
from scoreboard.realtime.services import LiveServices
from scoreboard.realtime.socketio.client import ClientFactory
from scoreboard.storage.memory.sessions import MemorySessionStore
from tests.realtime.fake_transport import Client, FakeTransport, frame
from tests.realtime.harness import NOW_S, FakeAnnouncer, FakeAuthenticator, FakeRateLimiter, RecordingMeter

ADDRESS = "192.0.2.7"


class _Channel:
    def __init__(self, transport: Any = None) -> None:
        self.transport = transport

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", ADDRESS, 40_000)


class Request:
    """The part of a request that resources use, and the response."""

    def __init__(self, method: str, uri: str, body: bytes, headers: dict[str, str], site_lines: bytes = b"") -> None:
        self.method, self.uri = method.encode(), uri.encode()
        self.path, _, self.query = self.uri.partition(b"?")
        self.clientproto = b"HTTP/1.1"
        self.requestHeaders = Headers({name: [value] for name, value in {"Host": "board.example", **headers}.items()})
        self.channel: Any = _Channel()
        self.body = body
        self.header_lines = b""
        self.response: Response | None = None
        self._site_lines = site_lines
        self._on_client_end: Callable[[], object] | None = None

    def getHeader(self, name: bytes) -> bytes | None:
        values = self.requestHeaders.getRawHeaders(name)
        return None if values is None else values[-1]

    @property
    def counted_as(self) -> str:
        return (self.getHeader(b"X-Forwarded-For") or ADDRESS.encode()).decode()

    @property
    def has_left(self) -> bool:
        return self.channel is None

    def when_client_ends(self, call: Callable[[], object]) -> None:
        self._on_client_end = call

    def respond(self, response: Response) -> None:
        if self.has_left:
            return
        assert self.response is None
        self.response = response

    def disconnect(self) -> None:
        self.channel = None
        if self._on_client_end is not None and self.response is None:
            self._on_client_end()

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status

    @property
    def headers(self) -> dict[str, str]:
        assert self.response is not None
        pairs = (self._site_lines + self.header_lines + self.response.header_lines).decode().splitlines()
        return dict(pair.split(": ", 1) for pair in pairs)

    @property
    def answered(self) -> bytes:
        return b"" if self.response is None else self.response.body

    @property
    def answer(self) -> tuple[int, bytes] | None:
        """Return (status, body), or None while the request waits."""
        return None if self.response is None else (self.response.status, self.response.body)


class Harness:
    """The Socket.IO server, and fakes of all that it uses. ``handler_factory`` makes other handlers than the board's clients."""

    def __init__(
        self,
        *,
        rate_limiter: FakeRateLimiter | None = None,
        engine: EngineSettings | None = None,
        handler_factory: Callable[[EngineConnection], Any] | None = None,
        count_refused: CountRefused | None = None,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.meter = RecordingMeter()
        self.announcer = FakeAnnouncer()
        self.session_store = MemorySessionStore(self.clock.seconds)
        self.settings = msgspec.structs.replace(
            LiveLimits(origins=("https://game.example",), sockets_max=1_000, sockets_per_address_max=500), **settings
        )
        self.registry = ConnectionRegistry(
            http_limits=HttpLimits(), limits=self.settings, clock=self.clock, wall_ms=self.wall_ms, meter=self.meter
        )
        self.registry.add_listener()
        sids = (f"sid-{number}" for number in itertools.count(1))
        services = LiveServices(
            authenticator=FakeAuthenticator(),
            announcer=self.announcer,
            registry=self.registry,
            limits=self.settings,
            clock=self.clock,
            meter=self.meter,
            address_of=lambda peer, forwarded: forwarded or peer,
            check_rate=None if rate_limiter is None else rate_limiter.ask,
        )
        self.clients = ClientFactory(services=services, session_store=self.session_store, new_sid=lambda: next(sids))
        self.engine = Engine(
            services,
            settings=engine or EngineSettings(),
            new_sid=lambda: next(sids),
            handler_factory=handler_factory or self.clients.make_client,
        )
        self.factory = EngineFactory(self.engine)
        self.resource = EngineResource(self.engine, count_refused)
        self.transports: list[FakeTransport] = []

    @property
    def connected(self) -> int:
        """Number of live connections, in any state."""
        return self.registry.handshaking + len(self.registry.live)

    def wall_ms(self) -> int:
        return int((NOW_S + self.clock.seconds() - 1_000) * 1000)

    # Polling

    def request(
        self, method: str, query: dict[str, str] | str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Request:
        site_lines = self.factory.cors.constant_lines
        text = query if isinstance(query, str) else urlencode(query)
        request = Request(method, f"/socket.io/?{text}", body, headers or {}, site_lines)
        self.resource.render(request)  # type: ignore[arg-type]  # a double of the edge's request
        return request

    def get(self, sid: str | None = None, **headers: str) -> Request:
        sids = {} if sid is None else {"sid": sid}
        return self._polling("GET", b"", headers, sids)

    def post(self, sid: str, body: bytes, **headers: str) -> Request:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._polling("POST", body, named, {"sid": sid})

    def _polling(self, method: str, body: bytes, headers: dict[str, str], sids: dict[str, str]) -> Request:
        return self.request(method, {"EIO": "4", "transport": "polling", **sids}, body, headers)

    def open(self) -> str:
        """Open a polling session, and return its id."""
        answer = self.get().answer
        assert answer is not None
        assert answer[0] == 200, answer
        assert answer[1].startswith(b"0{"), answer
        return str(msgspec.json.decode(answer[1][1:])["sid"])

    def open_connected(self, token: str = "amy") -> str:
        """Open a polling session, connect to the main namespace, and return the session's id."""
        sid = self.open()
        assert self.post(sid, b'40{"token":"%b"}' % token.encode()).answer == (200, b"ok")
        status, body = self.get(sid).answer or (0, b"")
        assert (status, body[:2]) == (200, b"40")
        return sid

    def packets(self, sid: str) -> list[bytes]:
        """Return the packets that a GET is answered with at once."""
        answer = self.get(sid).answer
        assert answer is not None, "the GET waits"
        assert answer[0] == 200, answer
        return answer[1].split(SEPARATOR)

    # WebSocket

    def connect(self, **query: str) -> SioClient:
        transport = FakeTransport()
        self.transports.append(transport)
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        transport.step()
        return SioClient(transport)

    def open_websocket(self, sid: str | None = None) -> SioClient:
        """Open a WebSocket: for the session ``sid``, or for a new one, whose id is ``client.sid`` then."""
        client = self.connect()
        target = "/socket.io/?EIO=4&transport=websocket" + ("" if sid is None else f"&sid={sid}")
        head = client.handshake(target)
        assert head.startswith("HTTP/1.1 101 "), head
        if sid is None:
            (hello,) = client.texts()
            client.sid = msgspec.json.decode(hello[1:])["sid"]
        return client

    def viewer(self, token: str = "amy") -> SioClient:
        """Open a WebSocket, connect, join the room, and read the snapshot."""
        client = self.open_websocket()
        client.text(f'40{{"token":"{token}"}}')
        client.text('42["join:leaderboard"]')
        answered = client.texts()
        assert [one[:2] for one in answered] == ["40", "42"], answered
        return client

    def add_viewer(self, transport: Any) -> None:
        """Connect and join the room over a transport of the caller."""
        protocol: Any = self.factory.buildProtocol(transport.getPeer())
        transport.protocol = protocol
        protocol.makeConnection(transport)
        client = Client(FakeTransport())
        client.transport.protocol = protocol
        client.send(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: board.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        client.send(frame(1, b'40{"token":"amy"}') + frame(1, b'42["join:leaderboard"]'))

    def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            for transport in self.transports:
                transport.step()

    @property
    def is_empty(self) -> bool:
        """Whether no session, no connection and no timer is left, except the timer of the sweep."""
        return (
            not self.engine.connections
            and self.connected == 0
            and not self.announcer.known
            and len(self.clock.getDelayedCalls()) == 1
        )


class SioClient(Client):
    """WebSocket client that sends and reads packets."""

    sid = ""

    def text(self, packet: str) -> None:
        self.send(frame(1, packet.encode()))

    def binary(self, data: bytes) -> None:
        self.send(frame(2, data))

    def texts(self) -> list[str]:
        """Return the texts since the last call. All frames must be text."""
        frames = self.frames()
        assert all(opcode == 1 for opcode, _ in frames), frames
        return [payload.decode() for _, payload in frames]

    def close_code(self) -> int:
        """Return the close code, which must be the last frame."""
        return self.closed()[0]
