"""Engine.IO connections: a session without I/O, with its timer and its transport (a waiting GET, a WebSocket, or both)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

from scoreboard.domain.close_reasons import BAD_PACKET, NO_CAPACITY, NO_UPGRADE, TOO_MANY_PACKETS, CloseReason
from scoreboard.domain.limits import TokenBucket
from scoreboard.domain.refusals import Refusal
from scoreboard.net.connections import UpgradingConnection
from scoreboard.net.socket_writer import FrameSink, SocketWriter
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.session import Misplaced, Session, Transport
from scoreboard.realtime.services import LiveServices


class WebSocketTransport(UpgradingConnection, Protocol):
    """WebSocket of a connection. ``writer`` takes the frames that are no answers."""

    writer: SocketWriter

    def reply(self, data: bytes) -> None:
        """Write frames that answer the client. While they do not leave, nothing more is read from the client."""


class MessageHandler(Protocol):
    """Application of one connection."""

    def message_received(self, message: str | bytes) -> None:
        """Handle a message."""

    def transport_changed(self) -> None:
        """Note that the connection's ``writer`` has changed."""

    def check_deadlines(self, wall_s: float) -> None:
        """Do what is due; called once a second."""

    def disconnected(self) -> None:
        """Note that nothing reaches the client any more."""


#: Answers a GET: called once with the payload. If it is empty, the GET must fail: the client was lost.
PollCallback = Callable[[bytes], None]


@dataclass(eq=False, slots=True)
class Engine:
    """All connections of one resource, by session id, and what they share. ``handler_factory`` makes the handler of each."""

    services: LiveServices
    settings: EngineSettings
    new_sid: Callable[[], str]
    handler_factory: Callable[[EngineConnection], MessageHandler]
    connections: dict[str, EngineConnection] = field(default_factory=dict, init=False)

    def open(self, address: str) -> EngineConnection | Refusal:
        """Open a session that polls, unless the registry refuses it."""
        connection = EngineConnection(self)
        refusal = self.services.registry.admit(connection, address)
        if refusal is None:
            return connection
        connection.close(NO_CAPACITY)
        return refusal

    def now_ms(self) -> int:
        """Return the monotonic time."""
        return int(self.services.clock.seconds() * 1000)


class EngineConnection:
    """One session and its transport. The registry counts the connection while it polls, and then its WebSocket."""

    __slots__ = (
        "_answer",
        "_candidate",
        "_engine",
        "_handler",
        "_requests",
        "_session",
        "_timer",
        "_upgraded_before",
        "_websocket",
    )

    def __init__(self, engine: Engine, websocket: WebSocketTransport | None = None) -> None:
        transport = Transport.POLLING if websocket is None else Transport.WEBSOCKET
        self._engine = engine
        self._session = Session(engine.new_sid(), transport, engine.settings, engine.now_ms())
        self._websocket = websocket
        self._candidate: WebSocketTransport | None = None
        self._answer: PollCallback | None = None
        self._timer: IDelayedCall | None = None
        self._requests = TokenBucket()
        self._upgraded_before = False
        self._handler: MessageHandler | None = engine.handler_factory(self)
        engine.connections[self._session.sid] = self
        self._flush()

    # For the handler

    @property
    def writer(self) -> FrameSink:
        """Takes the frames that are no answers: the WebSocket itself, once there is one."""
        return self if self._websocket is None else self._websocket.writer

    def offer(self, data: bytes) -> None:
        """Write frames to the WebSocket, or keep them for the next GET."""
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
        """Whether the client has fetched all that was offered."""
        return not self._session.queued_bytes

    def close(self, close_reason: CloseReason) -> None:
        """Close the session."""
        self._session.close(close_reason)
        self._flush()

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the session has closed; None while it is open."""
        return self._session.close_reason

    def start_connect_timer(self) -> None:
        """Give a client that has left the time of a new one, so that no client without a token keeps a connection."""
        self._session.start_connect_timer(self._engine.now_ms())

    def stop_connect_timer(self) -> None:
        """Accept the client: its time for CONNECT runs no longer."""
        self._session.stop_connect_timer()

    def check_deadlines(self, now_s: float, wall_s: float) -> None:
        """Let the handler do what is due."""
        if self._handler is not None:
            self._handler.check_deadlines(wall_s)

    # From HTTP

    def poll(self, answer: PollCallback) -> None:
        """Let a GET wait for packets. Raises Misplaced after closing the session if it has to be closed."""
        try:
            if not self._admitted():
                raise Misplaced("too many requests")
            self._session.poll(self._engine.now_ms())
            self._answer = answer
        finally:
            self._flush()

    def abandon(self) -> None:
        """Note that the client of the waiting GET has disconnected."""
        self._answer = None
        self._session.abandon()
        self._flush()

    def post(self, body: bytes) -> None:
        """Handle the packets of a POST. Raises Misplaced or Malformed after closing the session if it has to be closed."""
        try:
            if not self._admitted():
                raise Misplaced("too many requests")
            for message in self._session.post(body, self._engine.now_ms()):
                self._handle(message)
            if self._session.close_reason == BAD_PACKET:
                raise Misplaced("the handler found a packet that is not valid")
        finally:
            self._flush()

    # From WebSockets

    def begin_upgrade(self) -> bool:
        """Note that a client begins an upgrade; whether it is the first one. A client library tries one in each session."""
        first, self._upgraded_before = not self._upgraded_before, True
        return first

    def attach(self, candidate: WebSocketTransport) -> None:
        """Take a WebSocket as the candidate for an upgrade. One that comes too late is closed."""
        try:
            self._session.attach(self._engine.now_ms())
            self._candidate = candidate
            self._engine.services.registry.note_upgrade(candidate)
        except Misplaced:
            candidate.close(NO_UPGRADE)
        self._flush()

    def message_received(self, websocket: WebSocketTransport, message: str | bytes) -> None:
        """Handle a message of this WebSocket."""
        if websocket is self._candidate:
            self._probe(websocket, message)
        elif websocket is self._websocket:
            payload = self._session.receive(message, self._engine.now_ms())
            if payload is not None:
                self._handle(payload)
        self._flush()

    def transport_lost(self, websocket: WebSocketTransport, close_reason: CloseReason) -> None:
        """Note that this WebSocket is closed, and why."""
        if websocket is self._candidate:
            self._candidate = None
            self._engine.services.registry.note_upgrade_given_up(websocket)
            self._session.detach()
        elif websocket is self._websocket:
            self._session.close(close_reason)
        self._flush()

    def _probe(self, candidate: WebSocketTransport, message: str | bytes) -> None:
        try:
            answer = self._session.probe(message, self._engine.now_ms())
        except Misplaced:
            return  # the flush closes the candidate, which is attached no longer
        if answer:
            candidate.reply(answer)
        if self._session.transport is Transport.WEBSOCKET:
            self._websocket, self._candidate = candidate, None
            self._engine.services.registry.replace(self, candidate)
            self._flush()  # what waits is written before all that comes later
            if self._handler is not None:
                self._handler.transport_changed()

    # Inside

    def _handle(self, message: str | bytes) -> None:
        if self._admitted() and self._handler is not None:
            self._handler.message_received(message)

    def _admitted(self) -> bool:
        """Count a request, and close the session if there are too many. A WebSocket counts its frames itself."""
        if self._websocket is not None or self._requests.hit(self._engine.services.limits.frames, 1, self._engine.now_ms())[0]:
            return True
        self._session.close(TOO_MANY_PACKETS)
        return False

    def _flush(self) -> None:
        """Write what the session sends, set its timer, and end the connection if the session has closed."""
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
            self._engine.services.registry.note_upgrade_given_up(candidate)
            candidate.close(NO_UPGRADE)
        if session.close_reason is None:
            self._set_timer()
        elif self._handler is not None:
            self._end(session.close_reason)

    def _set_timer(self) -> None:
        """Set the session's one timer. It is moved only if it would fire too late."""
        clock = self._engine.services.clock
        deadline_s = self._session.deadline_ms / 1000
        if self._timer is None:
            self._timer = clock.callLater(max(0.0, deadline_s - clock.seconds()), self._timer_fired)
        elif self._timer.getTime() > deadline_s:
            self._timer.reset(max(0.0, deadline_s - clock.seconds()))

    def _timer_fired(self) -> None:
        self._timer = None
        self._session.pass_time(round(self._engine.services.clock.seconds() * 1000))
        self._flush()

    def _end(self, close_reason: CloseReason) -> None:
        """Remove the connection from the engine and the registry."""
        handler, self._handler = self._handler, None
        websocket, self._websocket = self._websocket, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._engine.connections[self._session.sid]
        self._engine.services.registry.remove(self)
        if handler is not None:
            handler.disconnected()
        if websocket is not None:
            websocket.close(close_reason)
