"""The subscriber: one Socket.IO client of the board. What it says becomes calls on a visitor (docs/protocol-socketio.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import SUSPENDED, Announcer, Doorkeeper, Parting
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.realtime.engineio.line import Line
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.engineio.session import BAD_PACKET
from scoreboard.realtime.native import OUR_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS
from scoreboard.realtime.payloads import refusal_payload
from scoreboard.realtime.requests import Answer, Outcome, ask, decoded
from scoreboard.realtime.socketio.conversation import Conversation, Emitted, Entered, Left
from scoreboard.realtime.socketio.packets import MAIN
from scoreboard.realtime.socketio.wire import SocketIoRowsWire, SocketIoWire
from scoreboard.realtime.visitor import Visitor

#: What a client is told when it may not come in; the specification's words.
AUTHENTICATION_FAILED: Final = "Authentication failed"
INVALID_NAMESPACE: Final = "Invalid namespace"

_BINARY: Final = malformed("data", "no event takes binary data")
_TOO_MUCH: Final = malformed("data", "an event takes one argument at most")
#: One for all subscribers: the announcer frames an event once for each wire that it meets.
_WIRE: Final = SocketIoWire()
_ROWS_WIRE: Final = SocketIoRowsWire()


class _Auth(msgspec.Struct, frozen=True):
    token: Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,4096}\Z")]


_auth = msgspec.json.Decoder(_Auth)


class Doors:
    """What every subscriber needs of the house."""

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        announcer: Announcer,
        events: Limit,
        clock: IReactorTime,
        new_sid: Callable[[], str],
    ) -> None:
        self.doorkeeper = doorkeeper
        self.announcer = announcer
        self.events = events
        self.clock = clock
        self.new_sid = new_sid

    def board(self, line: Line) -> Subscriber:
        """A passenger for a new line."""
        return Subscriber(line, self)


class Subscriber:
    """Implements line.Passenger."""

    __slots__ = ("_conversation", "_doors", "_events", "_line", "_visitor")
    _log = Logger()

    def __init__(self, line: Line, doors: Doors) -> None:
        self._line = line
        self._doors = doors
        self._conversation = Conversation(doors.new_sid)
        self._events = TokenBucket()
        self._visitor: Visitor | None = None

    def heard(self, message: str | bytes) -> None:
        """A message of the engine came."""
        try:
            said = self._conversation.receive(message)
        except Malformed:
            self._line.part(BAD_PACKET)
            return
        if said is None:
            return
        doors = self._doors
        if not self._events.hit(doors.events, 1, int(doors.clock.seconds() * 1000))[0]:
            self._part(TOO_MANY_EVENTS)
            return
        match said:
            case Entered():
                self._enter(said)
            case Emitted():
                self._emitted(said)
            case Left():
                self._leave()

    def moved(self) -> None:
        """The client is on a WebSocket now."""
        if self._visitor is not None:
            self._visitor.outlet = self._line.sink

    def look(self, wall_s: float) -> None:
        """Has the token ended?"""
        if self._visitor is not None and self._visitor.has_ended(wall_s):
            self._part(TOKEN_ENDED)

    def gone(self) -> None:
        """Nothing reaches the client any more."""
        self._conversation.end()
        self._leave()

    def _enter(self, said: Entered) -> None:
        if said.namespace != MAIN:
            self._line.say(self._conversation.refuse(said.namespace, INVALID_NAMESPACE))
            return
        visitor = Visitor(
            doorkeeper=self._doors.doorkeeper,
            announcer=self._doors.announcer,
            wire=_WIRE,
            rows_wire=_ROWS_WIRE,
            outlet=self._line.sink,
            hang_up=self._part,
        )
        if not _proves(visitor, said.auth):
            self._line.say(self._conversation.refuse(MAIN, AUTHENTICATION_FAILED))
            return
        self._visitor = visitor
        self._line.welcome()
        self._line.say(self._conversation.accept(MAIN))

    def _leave(self) -> None:
        visitor, self._visitor = self._visitor, None
        if visitor is not None:
            visitor.gone()

    def _emitted(self, said: Emitted) -> None:
        visitor = self._visitor
        if visitor is None or not said.name:  # we ask for no acknowledgements, so one means nothing
            return
        if said.attachments or len(said.args) > 1:
            self._answer(_BINARY if said.attachments else _TOO_MUCH, said, visitor)
            return
        outcome = ask(visitor, said.name, msgspec.Raw(said.args[0] if said.args else b""))
        if isinstance(outcome, Answer | Refusal):
            self._answer(outcome, said, visitor)
        else:
            ensureDeferred(outcome).addCallback(self._answer, said, visitor).addErrback(self._failed)

    def _answer(self, outcome: Outcome, said: Emitted, visitor: Visitor) -> None:
        """Acknowledge to whoever wants it; a refusal nobody waits for is an event."""
        data = refusal_payload(outcome) if isinstance(outcome, Refusal) else outcome.data
        frames = self._conversation.acknowledge(said, [data])
        if visitor is not self._visitor:  # it has left meanwhile; one that came back asked nothing
            return
        if isinstance(outcome, Answer):
            frames += b"".join(map(_WIRE.frame, outcome.missed))
            if outcome.event is not None:
                frames += _WIRE.frame(outcome.event)
        elif said.number is None:
            frames = self._conversation.emit(MAIN, "error", [data])
        if frames:
            self._line.say(frames)

    def _part(self, parting: Parting) -> None:
        """Close; who must change something before it comes back is put out first, so that it does not come back by itself."""
        if parting in (TOKEN_ENDED, TOO_MANY_EVENTS, SUSPENDED):
            self._line.say(self._conversation.dismiss(MAIN))
        self._line.part(parting)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an event could not be answered", failure=failure)
        self._part(OUR_FAULT)


def _proves(visitor: Visitor, auth: bytes) -> bool:
    try:
        return visitor.prove(decoded(_auth, auth or b"null", "auth").token) is None
    except Refused:
        return False
