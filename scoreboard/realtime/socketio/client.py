"""Socket.IO clients of the board: their packets become calls on a client session (docs/protocol-socketio.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scoreboard.boundaries.sessions import SessionStore
from scoreboard.domain.close_reasons import ACCOUNT_SUSPENDED, BAD_PACKET, SERVER_FAULT, TOKEN_ENDED, TOO_MANY_EVENTS, CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import Event
from scoreboard.domain.limits import TokenBucket
from scoreboard.domain.refusals import Refusal, Refused, malformed
from scoreboard.domain.saved_session import SavedSession
from scoreboard.domain.token_faults import TokenFault
from scoreboard.realtime.client_session import ClientSession
from scoreboard.realtime.engineio.connection import EngineConnection
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.payloads import refusal_payload
from scoreboard.realtime.requests import Reply, RequestResult, ask
from scoreboard.realtime.services import LiveServices
from scoreboard.realtime.socketio.auth import Auth, read_auth
from scoreboard.realtime.socketio.conversation import Conversation, Emitted, Entered, Left
from scoreboard.realtime.socketio.encoders import SocketIoEncoder
from scoreboard.realtime.socketio.packets import MAIN
from scoreboard.realtime.socketio.recovery import NO_WRITER, is_loss

#: Messages of a refused CONNECT; the specification's words.
AUTHENTICATION_FAILED: Final = "Authentication failed"
INVALID_NAMESPACE: Final = "Invalid namespace"

_BINARY: Final = malformed("data", "no event takes binary data")
_TOO_MUCH: Final = malformed("data", "an event takes one argument at most")
#: Shared by all clients: the announcer encodes an event once for each encoder.
_PLAIN: Final = (SocketIoEncoder(), SocketIoEncoder(rows=True))
_RECOVERABLE: Final = (SocketIoEncoder(recoverable=True), SocketIoEncoder(rows=True, recoverable=True))


@dataclass(slots=True, kw_only=True)
class ClientFactory:
    """Makes clients, and holds what all of them use."""

    services: LiveServices
    session_store: SessionStore
    new_sid: Callable[[], str]

    def make_client(self, connection: EngineConnection) -> SocketIoClient:
        """Make the handler of a new Engine.IO session."""
        return SocketIoClient(connection, self)


class SocketIoClient:
    """Implements connection.MessageHandler."""

    __slots__ = ("_client", "_connection", "_conversation", "_events", "_factory", "_saved_session")

    def __init__(self, connection: EngineConnection, factory: ClientFactory) -> None:
        self._connection = connection
        self._factory = factory
        self._conversation = Conversation(factory.new_sid)
        self._events = TokenBucket()
        self._client: ClientSession | None = None
        self._saved_session: SavedSession | None = None  # it is saved if the connection is lost from now on

    def message_received(self, message: str | bytes) -> None:
        """Handle a message of the Engine.IO session."""
        try:
            received = self._conversation.receive(message)
        except Malformed:
            self._connection.close(BAD_PACKET)
            return
        if received is None:
            return
        services = self._factory.services
        if not self._events.hit(services.limits.events, 1, int(services.clock.seconds() * 1000))[0]:
            self._close(TOO_MANY_EVENTS)
            return
        match received:
            case Entered():
                self._enter(received)
            case Emitted():
                self._emitted(received)
            case Left():
                self._leave()
                self._connection.start_connect_timer()

    def transport_changed(self) -> None:
        """Write to the WebSocket from now on."""
        if self._client is not None and self._client.writer is not NO_WRITER:
            self._client.writer = self._connection.writer

    def check_deadlines(self, wall_s: float) -> None:
        """Close the connection if the token has ended."""
        if self._client is not None and self._client.has_ended(wall_s):
            self._close(TOKEN_ENDED)

    def disconnected(self) -> None:
        """Save the session if it can be recovered, and forget the client."""
        self._conversation.end()
        if self._client is not None and self._saved_session is not None:
            self._persist(msgspec.structs.replace(self._saved_session, subscriptions=self._client.subscriptions))
        self._leave()

    def _enter(self, received: Entered) -> None:
        if received.namespace != MAIN:
            self._connection.reply(self._conversation.refuse(received.namespace, INVALID_NAMESPACE))
            return
        try:
            auth = read_auth(received.auth)
        except Refused as error:
            self._factory.services.authenticator.note_refusal(TokenFault.NO_TOKEN)
            self._refuse(error.refusal)
            return
        client = self._new_session(auth)
        if isinstance(client, Refusal):
            self._refuse(client)
            return
        self._client = client
        self._connection.stop_connect_timer()
        if not auth.recovery:
            self._accept(client)
        elif auth.pid is None:
            self._begin(client)
        else:
            self._run("socketio_recover", self._recover(client, auth.pid, auth.since))

    def _new_session(self, auth: Auth) -> ClientSession | Refusal:
        """Return a session for the token's player. Nothing is offered to it before it is accepted."""
        encoder, rows_encoder = _RECOVERABLE if auth.recovery else _PLAIN
        client = ClientSession(
            authenticator=self._factory.services.authenticator,
            announcer=self._factory.services.announcer,
            encoder=encoder,
            rows_encoder=rows_encoder,
            writer=NO_WRITER,
            close=self._close,
        )
        return client.authenticate(auth.token) or client

    def _refuse(self, refusal: Refusal) -> None:
        self._connection.reply(self._conversation.refuse(MAIN, AUTHENTICATION_FAILED, refusal.reason.value))

    async def _recover(self, client: ClientSession, pid: str, since: Cursor) -> None:
        """Accept a client that had a session before: with that session, if it was saved."""
        saved_session = await self._factory.session_store.restore(pid, client.player.user_id)
        if saved_session is None:
            if client is self._client:
                self._begin(client)
            return
        if client is not self._client:  # the connection was lost again meanwhile
            self._persist(saved_session)
            return
        self._saved_session = saved_session
        recovery = await client.recover(saved_session.subscriptions, since)
        if client is not self._client:  # saved again by `disconnected`
            return
        if recovery.recovered:
            self._accept(client, recovery.events)
        else:
            self._begin(client, recovery.events)

    def _begin(self, client: ClientSession, events: Sequence[Event] = ()) -> None:
        """Accept a client with a new session that it can recover later."""
        new_sid = self._factory.new_sid
        self._saved_session = SavedSession(sid=new_sid(), pid=new_sid(), user_id=client.player.user_id)
        self._accept(client, events)

    def _accept(self, client: ClientSession, events: Sequence[Event] = ()) -> None:
        client.writer = self._connection.writer
        ids, talk = self._saved_session, self._conversation
        accepted = talk.accept(MAIN) if ids is None else talk.accept(MAIN, ids.sid, ids.pid)
        self._connection.reply(accepted + client.encoder.encode(events))

    def _persist(self, saved_session: SavedSession) -> None:
        close_reason = self._connection.close_reason
        if close_reason is not None and is_loss(close_reason):
            self._factory.session_store.persist(saved_session)

    def _leave(self) -> None:
        client, self._client, self._saved_session = self._client, None, None
        if client is not None:
            client.disconnected()

    def _emitted(self, received: Emitted) -> None:
        client = self._client
        if client is None or received.name is None:  # the server asks for no acknowledgements, so one is ignored
            return
        if received.attachments or len(received.args) > 1:
            self._answer(_BINARY if received.attachments else _TOO_MUCH, received, client)
            return
        result = ask(client, received.name, msgspec.Raw(received.args[0] if received.args else b""))
        if isinstance(result, Reply | Refusal):
            self._answer(result, received, client)
        else:
            self._run("socketio_event", self._answer_later(result, received, client))

    async def _answer_later(self, result: Awaitable[RequestResult], received: Emitted, client: ClientSession) -> None:
        self._answer(await result, received, client)

    def _answer(self, result: RequestResult, received: Emitted, client: ClientSession) -> None:
        """Acknowledge a request if the client asked for it. A refusal without an acknowledgement is an event."""
        data = refusal_payload(result) if isinstance(result, Refusal) else result.data
        frames = self._conversation.acknowledge(received, [data])
        if client is not self._client:  # it left meanwhile; a client that joined since then did not ask
            return
        if isinstance(result, Reply):
            frames += client.encoder.encode(result.events)
        elif received.number is None:
            frames = self._conversation.emit(MAIN, "error", [data])
        if frames:
            self._connection.reply(frames)

    def _close(self, close_reason: CloseReason) -> None:
        """Close the connection. After DISCONNECT, sent where a new try would fail, a client does not reconnect by itself."""
        disconnects = close_reason in (TOKEN_ENDED, TOO_MANY_EVENTS, ACCOUNT_SUSPENDED)
        if disconnects and (packet := self._conversation.disconnect(MAIN)):
            self._connection.reply(packet)
        self._connection.close(close_reason)

    def _run(self, task: str, work: Coroutine[Any, Any, None]) -> None:
        self._factory.services.run(task, work, lambda: self._close(SERVER_FAULT))
