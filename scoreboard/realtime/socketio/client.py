"""The subscriber: one Socket.IO client of the board. What it says becomes calls on a visitor (docs/protocol-socketio.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries.announcer import Announcer
from scoreboard.boundaries.authentication import Authenticator
from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED, BAD_PACKET, SERVER_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS, CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.limits import Limit, TokenBucket
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.saved_session import SavedSession
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.engineio.connection import EngineConnection
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.payloads import refusal_payload
from scoreboard.realtime.requests import Reply, RequestResult, ask
from scoreboard.realtime.socketio.auth import Auth, read_auth
from scoreboard.realtime.socketio.conversation import Conversation, Emitted, Entered, Left
from scoreboard.realtime.socketio.encoders import RecoverableEncoder, RecoverableRowsEncoder, SocketIoEncoder, SocketIoRowsEncoder
from scoreboard.realtime.socketio.packets import MAIN
from scoreboard.realtime.socketio.recovery import SHUT, RecoverableClientSession, is_loss

#: What a client is told when it may not come in; the specification's words.
AUTHENTICATION_FAILED: Final = "Authentication failed"
INVALID_NAMESPACE: Final = "Invalid namespace"

_BINARY: Final = malformed("data", "no event takes binary data")
_TOO_MUCH: Final = malformed("data", "an event takes one argument at most")
#: One of a kind for all subscribers: the announcer frames an event once for each wire that it meets.
_PLAIN: Final = (ClientSession, SocketIoEncoder(), SocketIoRowsEncoder())
_RECOVERABLE: Final = (RecoverableClientSession, RecoverableEncoder(), RecoverableRowsEncoder())


class SocketIoServices:
    """What every subscriber needs of the house."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        announcer: Announcer,
        session_store: SessionStore,
        events: Limit,
        clock: IReactorTime,
        new_sid: Callable[[], str],
    ) -> None:
        self.authenticator = authenticator
        self.announcer = announcer
        self.session_store = session_store
        self.events = events
        self.clock = clock
        self.new_sid = new_sid

    def make_client(self, connection: EngineConnection) -> SocketIoClient:
        """A passenger for a new line."""
        return SocketIoClient(connection, self)


class SocketIoClient:
    """Implements line.Passenger."""

    __slots__ = ("_client", "_connection", "_conversation", "_events", "_saved_session", "_services")
    _log = Logger()

    def __init__(self, connection: EngineConnection, services: SocketIoServices) -> None:
        self._connection = connection
        self._services = services
        self._conversation = Conversation(services.new_sid)
        self._events = TokenBucket()
        self._client: ClientSession | None = None
        self._saved_session: SavedSession | None = None  # what is kept of the client if it is lost now

    def message_received(self, message: str | bytes) -> None:
        """A message of the engine came."""
        try:
            said = self._conversation.receive(message)
        except Malformed:
            self._connection.close(BAD_PACKET)
            return
        if said is None:
            return
        services = self._services
        if not self._events.hit(services.events, 1, int(services.clock.seconds() * 1000))[0]:
            self._close(TOO_MANY_EVENTS)
            return
        match said:
            case Entered():
                self._enter(said)
            case Emitted():
                self._emitted(said)
            case Left():
                self._leave()

    def transport_changed(self) -> None:
        """The client is on a WebSocket now."""
        if self._client is not None and self._client.writer is not SHUT:
            self._client.writer = self._connection.writer

    def check_deadlines(self, wall_s: float) -> None:
        """Has the token ended?"""
        if self._client is not None and self._client.has_ended(wall_s):
            self._close(TOKEN_ENDED)

    def disconnected(self) -> None:
        """Nothing reaches the client any more."""
        self._conversation.end()
        if self._client is not None and self._saved_session is not None:
            self._persist(msgspec.structs.replace(self._saved_session, subscriptions=self._client.subscriptions))
        self._leave()

    def _enter(self, said: Entered) -> None:
        if said.namespace != MAIN:
            self._connection.reply(self._conversation.refuse(said.namespace, INVALID_NAMESPACE))
            return
        try:
            auth = read_auth(said.auth)
        except Refused:
            auth = None
        client = None if auth is None else self._visit(auth)
        if auth is None or client is None:
            self._connection.reply(self._conversation.refuse(MAIN, AUTHENTICATION_FAILED))
            return
        self._client = client
        self._connection.stop_connect_timer()
        if not auth.recovery:
            self._accept(client)
        elif auth.pid is None:
            self._begin(client)
        else:
            ensureDeferred(self._recover(client, auth.pid, auth.since)).addErrback(self._failed)

    def _visit(self, auth: Auth) -> ClientSession | None:
        """A visitor that its token proves. Nothing is offered to it before it is let in."""
        kind, encoder, rows_encoder = _RECOVERABLE if auth.recovery else _PLAIN
        client = kind(
            authenticator=self._services.authenticator,
            announcer=self._services.announcer,
            encoder=encoder,
            rows_encoder=rows_encoder,
            writer=SHUT,
            hang_up=self._close,
        )
        return client if client.authenticate(auth.token) is None else None

    async def _recover(self, client: ClientSession, pid: str, since: Cursor) -> None:
        """Let a client that was lost in again, as the one that it was if that is known."""
        saved_session = await self._services.session_store.restore(pid, client.player.user_id)
        if saved_session is None:
            if client is self._client:
                self._begin(client)
            return
        if client is not self._client:  # lost again meanwhile
            self._persist(saved_session)
            return
        self._saved_session = saved_session
        recovery = await client.recover(saved_session.subscriptions, since)
        if client is not self._client:  # kept already, by `gone`
            return
        if recovery.recovered:
            self._accept(client, recovery.events)
        else:
            self._begin(client, recovery.events)

    def _begin(self, client: ClientSession, events: Sequence[Event] = ()) -> None:
        """A new session that can be taken back later."""
        new_sid = self._services.new_sid
        self._saved_session = SavedSession(sid=new_sid(), pid=new_sid(), user_id=client.player.user_id)
        self._accept(client, events)

    def _accept(self, client: ClientSession, events: Sequence[Event] = ()) -> None:
        client.writer = self._connection.writer
        ids, talk = self._saved_session, self._conversation
        accepted = talk.accept(MAIN) if ids is None else talk.accept(MAIN, ids.sid, ids.pid)
        self._connection.reply(accepted + client.frames(events))

    def _persist(self, saved_session: SavedSession) -> None:
        close_reason = self._connection.close_reason
        if close_reason is not None and is_loss(close_reason):
            self._services.session_store.persist(saved_session)

    def _leave(self) -> None:
        client, self._client, self._saved_session = self._client, None, None
        if client is not None:
            client.disconnected()

    def _emitted(self, said: Emitted) -> None:
        client = self._client
        if client is None or not said.name:  # we ask for no acknowledgements, so one means nothing
            return
        if said.attachments or len(said.args) > 1:
            self._answer(_BINARY if said.attachments else _TOO_MUCH, said, client)
            return
        result = ask(client, said.name, msgspec.Raw(said.args[0] if said.args else b""))
        if isinstance(result, Reply | Refusal):
            self._answer(result, said, client)
        else:
            ensureDeferred(result).addCallback(self._answer, said, client).addErrback(self._failed)

    def _answer(self, result: RequestResult, said: Emitted, client: ClientSession) -> None:
        """Acknowledge to whoever wants it; a refusal nobody waits for is an event."""
        data = refusal_payload(result) if isinstance(result, Refusal) else result.data
        frames = self._conversation.acknowledge(said, [data])
        if client is not self._client:  # it has left meanwhile; one that came back asked nothing
            return
        if isinstance(result, Reply):
            frames += client.frames(result.missed if result.event is None else (*result.missed, result.event))
        elif said.number is None:
            frames = self._conversation.emit(MAIN, "error", [data])
        if frames:
            self._connection.reply(frames)

    def _close(self, close_reason: CloseReason) -> None:
        """Close; who must change something before it comes back is put out first, so that it does not come back by itself."""
        put_out = close_reason in (TOKEN_ENDED, TOO_MANY_EVENTS, ACCOUNT_SUSPENDED)
        if put_out and (dismissal := self._conversation.dismiss(MAIN)):
            self._connection.reply(dismissal)
        self._connection.close(close_reason)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("an event could not be answered", failure=failure)
        self._close(SERVER_FAULT)
