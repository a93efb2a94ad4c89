"""The subscriber: one Socket.IO client of the board. What it says becomes calls on a visitor (docs/protocol-socketio.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import SUSPENDED, Absentees, Announcer, Doorkeeper, Parting
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.saved_session import Absence
from scoreboard.domain.values import Cursor, Event
from scoreboard.realtime.client_session import Visitor
from scoreboard.realtime.engineio.connection import Line
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.engineio.session import BAD_PACKET
from scoreboard.realtime.native import OUR_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS
from scoreboard.realtime.payloads import refusal_payload
from scoreboard.realtime.requests import Answer, Outcome, ask
from scoreboard.realtime.socketio.auth import Auth, read_auth
from scoreboard.realtime.socketio.conversation import Conversation, Emitted, Entered, Left
from scoreboard.realtime.socketio.encoders import RecoverableRowsWire, RecoverableWire, SocketIoRowsWire, SocketIoWire
from scoreboard.realtime.socketio.packets import MAIN
from scoreboard.realtime.socketio.recovery import SHUT, RecoverableVisitor, is_loss

#: What a client is told when it may not come in; the specification's words.
AUTHENTICATION_FAILED: Final = "Authentication failed"
INVALID_NAMESPACE: Final = "Invalid namespace"

_BINARY: Final = malformed("data", "no event takes binary data")
_TOO_MUCH: Final = malformed("data", "an event takes one argument at most")
#: One of a kind for all subscribers: the announcer frames an event once for each wire that it meets.
_PLAIN: Final = (Visitor, SocketIoWire(), SocketIoRowsWire())
_RECOVERABLE: Final = (RecoverableVisitor, RecoverableWire(), RecoverableRowsWire())


class Doors:
    """What every subscriber needs of the house."""

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        announcer: Announcer,
        absentees: Absentees,
        events: Limit,
        clock: IReactorTime,
        new_sid: Callable[[], str],
    ) -> None:
        self.doorkeeper = doorkeeper
        self.announcer = announcer
        self.absentees = absentees
        self.events = events
        self.clock = clock
        self.new_sid = new_sid

    def board(self, line: Line) -> Subscriber:
        """A passenger for a new line."""
        return Subscriber(line, self)


class Subscriber:
    """Implements line.Passenger."""

    __slots__ = ("_absence", "_conversation", "_doors", "_events", "_line", "_visitor")
    _log = Logger()

    def __init__(self, line: Line, doors: Doors) -> None:
        self._line = line
        self._doors = doors
        self._conversation = Conversation(doors.new_sid)
        self._events = TokenBucket()
        self._visitor: Visitor | None = None
        self._absence: Absence | None = None  # what is kept of the client if it is lost now

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
        if self._visitor is not None and self._visitor.outlet is not SHUT:
            self._visitor.outlet = self._line.sink

    def look(self, wall_s: float) -> None:
        """Has the token ended?"""
        if self._visitor is not None and self._visitor.has_ended(wall_s):
            self._part(TOKEN_ENDED)

    def gone(self) -> None:
        """Nothing reaches the client any more."""
        self._conversation.end()
        if self._visitor is not None and self._absence is not None:
            self._keep(msgspec.structs.replace(self._absence, rooms=self._visitor.rooms))
        self._leave()

    def _enter(self, said: Entered) -> None:
        if said.namespace != MAIN:
            self._line.say(self._conversation.refuse(said.namespace, INVALID_NAMESPACE))
            return
        try:
            auth = read_auth(said.auth)
        except Refused:
            auth = None
        visitor = None if auth is None else self._visit(auth)
        if auth is None or visitor is None:
            self._line.say(self._conversation.refuse(MAIN, AUTHENTICATION_FAILED))
            return
        self._visitor = visitor
        self._line.welcome()
        if not auth.recovery:
            self._let_in(visitor)
        elif auth.pid is None:
            self._begin(visitor)
        else:
            ensureDeferred(self._take_back(visitor, auth.pid, auth.since)).addErrback(self._failed)

    def _visit(self, auth: Auth) -> Visitor | None:
        """A visitor that its token proves. Nothing is offered to it before it is let in."""
        kind, wire, rows_wire = _RECOVERABLE if auth.recovery else _PLAIN
        visitor = kind(
            doorkeeper=self._doors.doorkeeper,
            announcer=self._doors.announcer,
            wire=wire,
            rows_wire=rows_wire,
            outlet=SHUT,
            hang_up=self._part,
        )
        return visitor if visitor.prove(auth.token) is None else None

    async def _take_back(self, visitor: Visitor, pid: str, since: Cursor) -> None:
        """Let a client that was lost in again, as the one that it was if that is known."""
        absence = await self._doors.absentees.take(pid, visitor.player.user_id)
        if absence is None:
            if visitor is self._visitor:
                self._begin(visitor)
            return
        if visitor is not self._visitor:  # lost again meanwhile
            self._keep(absence)
            return
        self._absence = absence
        comeback = await visitor.take_back(absence.rooms, since)
        if visitor is not self._visitor:  # kept already, by `gone`
            return
        if comeback.recovered:
            self._let_in(visitor, comeback.events)
        else:
            self._begin(visitor, comeback.events)

    def _begin(self, visitor: Visitor, events: Sequence[Event] = ()) -> None:
        """A new session that can be taken back later."""
        new_sid = self._doors.new_sid
        self._absence = Absence(sid=new_sid(), pid=new_sid(), user_id=visitor.player.user_id)
        self._let_in(visitor, events)

    def _let_in(self, visitor: Visitor, events: Sequence[Event] = ()) -> None:
        visitor.outlet = self._line.sink
        ids, talk = self._absence, self._conversation
        accepted = talk.accept(MAIN) if ids is None else talk.accept(MAIN, ids.sid, ids.pid)
        self._line.say(accepted + visitor.frames(events))

    def _keep(self, absence: Absence) -> None:
        parting = self._line.parting
        if parting is not None and is_loss(parting):
            self._doors.absentees.keep(absence)

    def _leave(self) -> None:
        visitor, self._visitor, self._absence = self._visitor, None, None
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
            frames += visitor.frames(outcome.missed if outcome.event is None else (*outcome.missed, outcome.event))
        elif said.number is None:
            frames = self._conversation.emit(MAIN, "error", [data])
        if frames:
            self._line.say(frames)

    def _part(self, parting: Parting) -> None:
        """Close; who must change something before it comes back is put out first, so that it does not come back by itself."""
        put_out = parting in (TOKEN_ENDED, TOO_MANY_EVENTS, SUSPENDED)
        if put_out and (dismissal := self._conversation.dismiss(MAIN)):
            self._line.say(dismissal)
        self._line.part(parting)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an event could not be answered", failure=failure)
        self._part(OUR_FAULT)
