"""The line: one session's shell. It lends the pure session a timer, a waiting GET, a WebSocket or a candidate for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from scoreboard.domain.close_reasons import BAD_PACKET, NO_CAPACITY, NO_UPGRADE, TOO_MANY_PACKETS, CloseReason
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refusal
from scoreboard.net.connections import ConnectionRegistry, LiveConnection
from scoreboard.net.socket_writer import FrameSink, SocketWriter
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.session import Misplaced, Session, Transport


class WebSocketTransport(LiveConnection, Protocol):
    """A WebSocket, as the line sees it. ``outlet`` is where frames go that answer nothing."""

    writer: SocketWriter

    def reply(self, data: bytes) -> None:
        """Write frames that answer the client; while they do not leave, nothing more is read from it."""


class MessageHandler(Protocol):
    """What speaks over a line: the application of one session."""

    def message_received(self, message: str | bytes) -> None:
        """A message came."""

    def transport_changed(self) -> None:
        """The line's ``sink`` is another one."""

    def check_deadlines(self, wall_s: float) -> None:
        """Once a second: is anything due?"""

    def disconnected(self) -> None:
        """Nothing reaches the client any more."""


#: Waits for a GET's answer: called once with the payload.
PollCallback = Callable[[bytes], None]


class Engine:
    """All lines of one mount, by session id, and what they have in common. ``board`` makes each line's passenger."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        requests: Limit,
        registry: ConnectionRegistry,
        clock: IReactorTime,
        new_sid: Callable[[], str],
        handler_factory: Callable[[EngineConnection], MessageHandler],
    ) -> None:
        self.settings = settings
        self.requests = requests
        self.registry = registry
        self.clock = clock
        self.new_sid = new_sid
        self.handler_factory = handler_factory
        self.connections: dict[str, EngineConnection] = {}

    def open(self, address: str) -> EngineConnection | Refusal:
        """A new session that polls, if there is a seat for it."""
        connection = EngineConnection(self)
        refusal = self.registry.admit(connection, address)
        if refusal is None:
            return connection
        connection.close(NO_CAPACITY)
        return refusal

    def now_ms(self) -> int:
        """The monotonic time."""
        return int(self.clock.seconds() * 1000)


class EngineConnection:
    """One session. A guest of the lobby while it polls; afterwards its WebSocket is."""

    __slots__ = ("_answer", "_candidate", "_engine", "_handler", "_requests", "_session", "_timer", "_websocket")

    def __init__(self, engine: Engine, websocket: WebSocketTransport | None = None) -> None:
        transport = Transport.POLLING if websocket is None else Transport.WEBSOCKET
        self._engine = engine
        self._session = Session(engine.new_sid(), transport, engine.settings, engine.now_ms())
        self._websocket = websocket
        self._candidate: WebSocketTransport | None = None
        self._answer: PollCallback | None = None
        self._timer: IDelayedCall | None = None
        self._requests = TokenBucket()
        self._handler: MessageHandler | None = engine.handler_factory(self)
        engine.connections[self._session.sid] = self
        self._flush()

    # For the passenger

    @property
    def writer(self) -> FrameSink:
        """Where frames go that answer nothing: straight to the WebSocket, once there is one."""
        return self if self._websocket is None else self._websocket.writer

    def offer(self, data: bytes) -> None:
        """Keep frames for the next GET, or for the WebSocket if there is one."""
        self._session.send(data)
        self._flush()

    def reply(self, data: bytes) -> None:
        """Write frames that answer the client."""
        if self._websocket is not None:
            self._websocket.reply(data)
        else:
            self.offer(data)

    @property
    def drained(self) -> bool:
        """Whether all that was offered before was fetched."""
        return not self._session.queued_bytes

    def close(self, close_reason: CloseReason) -> None:
        """Close the session."""
        self._session.close(close_reason)
        self._flush()

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the session is over, None while it is not."""
        return self._session.close_reason

    def stop_connect_timer(self) -> None:
        """The client is one of ours: the time for its CONNECT no longer runs."""
        self._session.stop_connect_timer()

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep."""
        if self._handler is not None:
            self._handler.check_deadlines(wall_s)

    # From HTTP

    def poll(self, answer: PollCallback) -> None:
        """A GET wants packets; raises Misplaced, having closed what must be."""
        try:
            if not self._admitted():
                raise Misplaced("too many requests")
            self._session.poll(self._engine.now_ms())
            self._answer = answer
        finally:
            self._flush()

    def abandon(self) -> None:
        """The waiting GET's client hung up."""
        self._answer = None
        self._session.abandon()
        self._flush()

    def post(self, body: bytes) -> None:
        """A POST brought packets; raises Misplaced or Malformed, having closed what must be."""
        try:
            if not self._admitted():
                raise Misplaced("too many requests")
            for message in self._session.post(body, self._engine.now_ms()):
                self._hand_on(message)
            if self._session.close_reason == BAD_PACKET:
                raise Misplaced("the passenger understood it as little")
        finally:
            self._flush()

    # From WebSockets

    def attach(self, candidate: WebSocketTransport) -> None:
        """A WebSocket offers itself in the place of polling; one that comes too late is closed."""
        try:
            self._session.attach(self._engine.now_ms())
            self._candidate = candidate
        except Misplaced:
            candidate.close(NO_UPGRADE)
        self._flush()

    def message_received(self, websocket: WebSocketTransport, message: str | bytes) -> None:
        """A message came over this WebSocket."""
        if websocket is self._candidate:
            self._probe(websocket, message)
        elif websocket is self._websocket:
            payload = self._session.receive(message, self._engine.now_ms())
            if payload is not None:
                self._hand_on(payload)
        self._flush()

    def transport_lost(self, websocket: WebSocketTransport, close_reason: CloseReason) -> None:
        """This WebSocket is gone, and why."""
        if websocket is self._candidate:
            self._candidate = None
            self._session.detach()
        elif websocket is self._websocket:
            self._session.close(close_reason)
        self._flush()

    def _probe(self, candidate: WebSocketTransport, message: str | bytes) -> None:
        try:
            answer = self._session.probe(message, self._engine.now_ms())
        except Misplaced:
            return  # the flush sees that nobody is attached any more
        if answer:
            candidate.reply(answer)
        if self._session.transport is Transport.WEBSOCKET:
            self._websocket, self._candidate = candidate, None
            self._engine.registry.replace(self, candidate)
            self._flush()  # what still waits goes before what comes from now on
            if self._handler is not None:
                self._handler.transport_changed()

    # Inside

    def _hand_on(self, message: str | bytes) -> None:
        if self._admitted() and self._handler is not None:
            self._handler.message_received(message)

    def _admitted(self) -> bool:
        """Whether the client may ask once more; closes the session if not. A WebSocket counts its frames itself."""
        if self._websocket is not None or self._requests.hit(self._engine.requests, 1, self._engine.now_ms())[0]:
            return True
        self._session.close(TOO_MANY_PACKETS)
        return False

    def _flush(self) -> None:
        """Write what the session has to say, see to its timer, and see it off when it is over."""
        session = self._session
        if self._answer is not None:
            payload = session.take_payload()
            if payload is not None:
                answer, self._answer = self._answer, None
                answer(payload)
        if self._websocket is not None:
            frames = session.take_frames()
            if frames:
                self._websocket.writer.offer(frames)
        if self._candidate is not None and not session.attached:
            candidate, self._candidate = self._candidate, None
            candidate.close(NO_UPGRADE)
        if session.close_reason is None:
            self._arm()
        elif self._handler is not None:
            self._end(session.close_reason)

    def _arm(self) -> None:
        """One timer a session, moved only when it would ring too late."""
        engine = self._engine
        deadline_s = self._session.deadline_ms / 1000
        if self._timer is None:
            self._timer = engine.clock.callLater(max(0.0, deadline_s - engine.clock.seconds()), self._ring)
        elif self._timer.getTime() > deadline_s:
            self._timer.reset(max(0.0, deadline_s - engine.clock.seconds()))

    def _ring(self) -> None:
        self._timer = None
        self._session.pass_time(round(self._engine.clock.seconds() * 1000))
        self._flush()

    def _end(self, close_reason: CloseReason) -> None:
        """Nothing of us stays behind."""
        handler, self._handler = self._handler, None
        websocket, self._websocket = self._websocket, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._engine.connections[self._session.sid]
        self._engine.registry.remove(self)
        if handler is not None:
            handler.disconnected()
        if websocket is not None:
            websocket.close(close_reason)
