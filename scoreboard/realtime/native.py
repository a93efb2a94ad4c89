"""The native protocol: one JSON object a text message. What comes in becomes calls on a visitor (docs/protocol-live.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import SUSPENDED, Announcer, Doorkeeper, Parting
from scoreboard.domain.limits import TokenBucket, Verdict
from scoreboard.domain.refusals import Reason, Refusal, Refused
from scoreboard.net.connections import Lobby
from scoreboard.net.live_limits import LiveSettings
from scoreboard.net.websocket.connection import Shell, ShellFactory, Stage
from scoreboard.realtime.client_session import Visitor
from scoreboard.realtime.native_encoder import NativeRowsWire, NativeWire
from scoreboard.realtime.requests import Answer, Outcome, ask, decoded

BAD_TOKEN: Final = Parting(code=4401, reason="the token is not valid")
TOKEN_ENDED: Final = Parting(code=4401, reason="the token ended")
TOO_MANY_EVENTS: Final = Parting(code=1008, reason="too many events a second")
OUR_FAULT: Final = Parting(code=1011, reason="the server has a fault")

_SLOW_DOWN: Final = Refusal(reason=Reason.RATE_LIMIT_EXCEEDED, message="Too many events a second", retry_after_s=1)
#: Why a first token closes the socket; another first token would say the same.
_NO_ENTRY: Final = {Reason.INVALID_TOKEN: BAD_TOKEN, Reason.FORBIDDEN: SUSPENDED}
#: One for all sockets: the announcer frames an event once for each wire that it meets.
_WIRE: Final = NativeWire()
_ROWS_WIRE: Final = NativeRowsWire()


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: Annotated[str, msgspec.Meta(max_length=64)]
    data: msgspec.Raw = msgspec.Raw()
    id: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


_message = msgspec.json.Decoder(_Message)


class NativeSocket(Shell):
    """One socket that speaks the native protocol."""

    factory: NativeFactory
    _log = Logger()

    def connectionMade(self) -> None:
        """The transport is ours."""
        super().connectionMade()
        factory = self.factory
        self._events = TokenBucket()
        self._visitor = Visitor(
            doorkeeper=factory.doorkeeper,
            announcer=factory.announcer,
            wire=_WIRE,
            rows_wire=_ROWS_WIRE,
            outlet=self.outlet,
            hang_up=self.part,
        )

    @property
    def known(self) -> bool:
        """Whether a token has proved who it is."""
        return self._visitor.known

    def arrive(self, token: str | None) -> Refusal | None:
        """A token in the handshake is judged there; without one there is time for the event ``auth``."""
        return None if token is None else self._visitor.prove(token)

    def look(self, now_s: float, wall_s: float) -> None:
        """The lobby's sweep: has the token ended, is anything else due?"""
        if self.state == self.STATE_OPEN and self._visitor.has_ended(wall_s):
            self.part(TOKEN_ENDED)
        super().look(now_s, wall_s)

    def heard(self, message: bytes) -> None:
        """A whole text message came."""
        factory = self.factory
        if not self._events.hit(factory.events, 1, int(factory.clock.seconds() * 1000))[0]:
            self._answer(_SLOW_DOWN, None)
            self.part(TOO_MANY_EVENTS)
            return
        try:
            wanted = decoded(_message, message, "message")
        except Refused as refused:
            self._answer(refused.refusal, None)
            return
        outcome = ask(self._visitor, wanted.event, wanted.data)
        if isinstance(outcome, Answer | Refusal):
            self._answer(outcome, wanted.id)
        else:
            ensureDeferred(outcome).addCallback(self._answer, wanted.id).addErrback(self._failed)

    def gone(self) -> None:
        """Nothing reaches the client any more."""
        self._visitor.gone()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone; the circle of socket and visitor is broken, so that neither waits for the garbage collector."""
        super().connectionLost(reason)
        del self._visitor

    def _answer(self, outcome: Outcome, number: int | None) -> None:
        if self.state != self.STATE_OPEN:
            return
        if isinstance(outcome, Refusal):
            self.say(_WIRE.refuse(outcome, number))
            if not self.known and outcome.reason in _NO_ENTRY:
                self.part(_NO_ENTRY[outcome.reason])
            return
        if self.stage is Stage.STRANGER:  # not any more: nothing else is done for strangers
            self.rest()
        frames = b"" if number is None else _WIRE.ack(number, outcome.data)
        frames += b"".join(map(_WIRE.frame, outcome.missed))
        if outcome.event is not None:
            frames += _WIRE.frame(outcome.event)
        if frames:
            self.say(frames)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an event could not be answered", failure=failure)
        self.part(OUR_FAULT)


class NativeFactory(ShellFactory):
    """Makes native sockets; see ShellFactory for what it takes besides."""

    protocol = NativeSocket  # type: ignore[assignment]  # Twisted wants a callable that returns one; a class is

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        announcer: Announcer,
        lobby: Lobby,
        settings: LiveSettings,
        clock: IReactorTime,
        address_of: Callable[[str, str | None], str],
        knock: Callable[[str], Awaitable[Verdict]] | None = None,
    ) -> None:
        super().__init__(lobby=lobby, settings=settings, clock=clock, address_of=address_of, knock=knock)
        self.doorkeeper = doorkeeper
        self.announcer = announcer
        self.events = settings.events
