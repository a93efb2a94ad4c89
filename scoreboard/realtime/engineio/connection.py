"""The line: one session's shell. It lends the pure session a timer, a waiting GET, a WebSocket or a candidate for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from scoreboard.boundaries import Parting
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refusal
from scoreboard.net.connections import Guest, Lobby
from scoreboard.net.socket_writer import Outlet, Sink
from scoreboard.realtime.engineio.limits import EngineSettings
from scoreboard.realtime.engineio.session import BAD_PACKET, Misplaced, Session, Transport

TOO_MANY: Final = Parting(code=1008, reason="too many requests or packets a second")
UNSEATED: Final = Parting(code=1013, reason="there is no seat")
NO_UPGRADE: Final = Parting(code=1008, reason="this session cannot be upgraded so")


class Carrier(Guest, Protocol):
    """A WebSocket, as the line sees it. ``outlet`` is where frames go that answer nothing."""

    outlet: Outlet

    def say(self, data: bytes) -> None:
        """Write frames that answer the client; while they do not leave, nothing more is read from it."""


class Passenger(Protocol):
    """What speaks over a line: the application of one session."""

    def heard(self, message: str | bytes) -> None:
        """A message came."""

    def moved(self) -> None:
        """The line's ``sink`` is another one."""

    def look(self, wall_s: float) -> None:
        """Once a second: is anything due?"""

    def gone(self) -> None:
        """Nothing reaches the client any more."""


#: Waits for a GET's answer: called once with the payload.
Answer = Callable[[bytes], None]


class Engine:
    """All lines of one mount, by session id, and what they have in common. ``board`` makes each line's passenger."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        requests: Limit,
        lobby: Lobby,
        clock: IReactorTime,
        new_sid: Callable[[], str],
        board: Callable[[Line], Passenger],
    ) -> None:
        self.settings = settings
        self.requests = requests
        self.lobby = lobby
        self.clock = clock
        self.new_sid = new_sid
        self.board = board
        self.lines: dict[str, Line] = {}

    def open(self, address: str) -> Line | Refusal:
        """A new session that polls, if there is a seat for it."""
        line = Line(self)
        refusal = self.lobby.seat(line, address)
        if refusal is None:
            return line
        line.part(UNSEATED)
        return refusal

    def now_ms(self) -> int:
        """The monotonic time."""
        return int(self.clock.seconds() * 1000)


class Line:
    """One session. A guest of the lobby while it polls; afterwards its WebSocket is."""

    __slots__ = ("_answer", "_candidate", "_carrier", "_engine", "_passenger", "_requests", "_session", "_timer")

    def __init__(self, engine: Engine, carrier: Carrier | None = None) -> None:
        transport = Transport.POLLING if carrier is None else Transport.WEBSOCKET
        self._engine = engine
        self._session = Session(engine.new_sid(), transport, engine.settings, engine.now_ms())
        self._carrier = carrier
        self._candidate: Carrier | None = None
        self._answer: Answer | None = None
        self._timer: IDelayedCall | None = None
        self._requests = TokenBucket()
        self._passenger: Passenger | None = engine.board(self)
        engine.lines[self._session.sid] = self
        self._flush()

    # For the passenger

    @property
    def sink(self) -> Sink:
        """Where frames go that answer nothing: straight to the WebSocket, once there is one."""
        return self if self._carrier is None else self._carrier.outlet

    def offer(self, data: bytes) -> None:
        """Keep frames for the next GET, or for the WebSocket if there is one."""
        self._session.send(data)
        self._flush()

    def say(self, data: bytes) -> None:
        """Write frames that answer the client."""
        if self._carrier is not None:
            self._carrier.say(data)
        else:
            self.offer(data)

    @property
    def drained(self) -> bool:
        """Whether all that was offered before was fetched."""
        return not self._session.queued_bytes

    def part(self, parting: Parting) -> None:
        """Close the session."""
        self._session.close(parting)
        self._flush()

    @property
    def parting(self) -> Parting | None:
        """Why the session is over, None while it is not."""
        return self._session.parting

    def welcome(self) -> None:
        """The client is one of ours: the time for its CONNECT no longer runs."""
        self._session.welcome()

    def look(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep."""
        if self._passenger is not None:
            self._passenger.look(wall_s)

    # From HTTP

    def poll(self, answer: Answer) -> None:
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
            if self._session.parting == BAD_PACKET:
                raise Misplaced("the passenger understood it as little")
        finally:
            self._flush()

    # From WebSockets

    def attach(self, candidate: Carrier) -> None:
        """A WebSocket offers itself in the place of polling; one that comes too late is closed."""
        try:
            self._session.attach(self._engine.now_ms())
            self._candidate = candidate
        except Misplaced:
            candidate.part(NO_UPGRADE)
        self._flush()

    def hear(self, carrier: Carrier, message: str | bytes) -> None:
        """A message came over this WebSocket."""
        if carrier is self._candidate:
            self._probe(carrier, message)
        elif carrier is self._carrier:
            heard = self._session.hear(message, self._engine.now_ms())
            if heard is not None:
                self._hand_on(heard)
        self._flush()

    def lose(self, carrier: Carrier, parting: Parting) -> None:
        """This WebSocket is gone, and why."""
        if carrier is self._candidate:
            self._candidate = None
            self._session.detach()
        elif carrier is self._carrier:
            self._session.close(parting)
        self._flush()

    def _probe(self, candidate: Carrier, message: str | bytes) -> None:
        try:
            answer = self._session.probe(message, self._engine.now_ms())
        except Misplaced:
            return  # the flush sees that nobody is attached any more
        if answer:
            candidate.say(answer)
        if self._session.transport is Transport.WEBSOCKET:
            self._carrier, self._candidate = candidate, None
            self._engine.lobby.succeed(self, candidate)
            self._flush()  # what still waits goes before what comes from now on
            if self._passenger is not None:
                self._passenger.moved()

    # Inside

    def _hand_on(self, message: str | bytes) -> None:
        if self._admitted() and self._passenger is not None:
            self._passenger.heard(message)

    def _admitted(self) -> bool:
        """Whether the client may ask once more; closes the session if not. A WebSocket counts its frames itself."""
        if self._carrier is not None or self._requests.hit(self._engine.requests, 1, self._engine.now_ms())[0]:
            return True
        self._session.close(TOO_MANY)
        return False

    def _flush(self) -> None:
        """Write what the session has to say, see to its timer, and see it off when it is over."""
        session = self._session
        if self._answer is not None:
            payload = session.take_payload()
            if payload is not None:
                answer, self._answer = self._answer, None
                answer(payload)
        if self._carrier is not None:
            frames = session.take_frames()
            if frames:
                self._carrier.outlet.offer(frames)
        if self._candidate is not None and not session.attached:
            candidate, self._candidate = self._candidate, None
            candidate.part(NO_UPGRADE)
        if session.parting is None:
            self._arm()
        elif self._passenger is not None:
            self._end(session.parting)

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

    def _end(self, parting: Parting) -> None:
        """Nothing of us stays behind."""
        passenger, self._passenger = self._passenger, None
        carrier, self._carrier = self._carrier, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        del self._engine.lines[self._session.sid]
        self._engine.lobby.leave(self)
        if passenger is not None:
            passenger.gone()
        if carrier is not None:
            carrier.part(parting)
