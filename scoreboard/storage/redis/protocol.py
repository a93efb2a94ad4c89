"""Redis protocol: sends commands, and answers each with its reply, or with an error after its deadline.

This is txredisapi's protocol over hiredis with three slow parts replaced. Commands are packed in C. Replies are passed on as they
are read (bytes stay bytes). Writes go to the socket first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import txredisapi
from hiredis import pack_command
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from scoreboard.socket_first import is_bare, write_socket_first
from scoreboard.storage.redis.errors import RedisUnavailable as RedisUnavailable
from scoreboard.storage.redis.errors import connection_error, reply_error

#: After this many calls in a row without an answer the connection is aborted: later calls then fail at once and do not wait.
SILENT_CALLS_MAX: Final = 3

#: How long an unawaited command may wait for another one to share its write, and how many may wait.
UNAWAITED_WAIT_S: Final = 0.01
UNAWAITED_MAX: Final = 1_024

Argument = str | bytes | int | float
OnUnawaitedError = Callable[[RedisUnavailable, tuple[Any, ...]], None]
P = TypeVar("P", bound="RedisProtocol")


class _PendingReply:
    """The reply that a command waits for. An unawaited command has no ``answer``; its ``command`` is kept to report an error."""

    __slots__ = ("answer", "command", "timer")

    def __init__(self, answer: Deferred[Any] | None, command: tuple[Any, ...] | None = None) -> None:
        self.answer = answer
        self.timer: IDelayedCall | None = None
        self.command = command


class RedisProtocol(txredisapi.HiredisProtocol):
    """A connection. ``lost`` fires when it is gone, and ``ended`` is the reason; every `ask` is answered or failed by then.

    A command of `tell` is sent with the next `ask`, or by itself 10 ms later, which saves a write and a wake-up.
    ``on_unawaited_error`` gets the error of such a command, and the command.
    """

    def __init__(self, reactor: IReactorTime, on_unawaited_error: OnUnawaitedError = lambda *_: None) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.lost: Deferred[None] = Deferred()
        self.ended: RedisUnavailable | None = None
        self._on_unawaited_error = on_unawaited_error
        self._reactor = reactor
        self._pending: deque[_PendingReply] = deque()
        self._silent = 0
        self._socket_first = False
        self._held: list[bytes] | None = None
        self._unawaited: list[tuple[tuple[Any, ...], bytes]] = []
        self._unawaited_timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Twisted: connected. RedisConnection sends the handshake."""
        self._socket_first = is_bare(self.transport)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def ask(self, command: tuple[Any, ...], deadline_s: float) -> Deferred[Any]:
        """The reply to a command. Fails with RedisUnavailable on an error or a late reply (it may be executed then)."""
        if not self.connected:
            return fail(RedisUnavailable("LOST", "the connection is closing"))
        packed = pack_command(command)  # may raise, so it comes before any change
        packed = self._take_unawaited() + packed
        answer: Deferred[Any] = Deferred()
        pending = _PendingReply(answer)
        self._pending.append(pending)
        pending.timer = self._reactor.callLater(deadline_s, self._overdue, pending)
        self._write(packed)
        return answer

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the commands that are asked within it in one write when it ends. It holds no ``await``."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held and self.connected:
                self._write(b"".join(held))

    def tell(self, command: tuple[Any, ...]) -> None:
        """Send a command soon, before any later `ask`, and wait for no reply. It is dropped when 1,024 commands wait already."""
        if self.connected and len(self._unawaited) < UNAWAITED_MAX:
            self._unawaited.append((command, pack_command(command)))
            if self._unawaited_timer is None:
                self._unawaited_timer = self._reactor.callLater(UNAWAITED_WAIT_S, self._send_unawaited)

    def _send_unawaited(self) -> None:
        unawaited = self._take_unawaited()
        if unawaited and self.connected:
            self._write(unawaited)

    def _take_unawaited(self) -> bytes:
        if not self._unawaited:
            return b""
        unawaited, self._unawaited = self._unawaited, []
        self._pending.extend([_PendingReply(None, command) for command, _ in unawaited])
        if self._unawaited_timer is not None and self._unawaited_timer.active():
            self._unawaited_timer.cancel()
        self._unawaited_timer = None
        return b"".join([packed for _, packed in unawaited])

    def abort(self, why: RedisUnavailable | None = None) -> None:
        """Close the connection at once, whatever is under way. ``why`` becomes the reason of its end, if it has none."""
        self.connected = 0
        self.ended = self.ended or why
        self.transport.abortConnection()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Twisted: bytes came."""
        try:
            self._reader.feed(data)
            reply = self._reader.gets()
            while reply is not False:
                self.replyReceived(reply)
                reply = self._reader.gets()
        except txredisapi.InvalidData:
            self.abort(RedisUnavailable("PROTOCOL", "what answers does not speak Redis' protocol"))

    def replyReceived(self, reply: Any) -> None:
        """txredisapi: one whole reply."""
        if not self._pending:  # without a command, Redis says only why it refuses the connection
            self.abort(
                reply_error(str(reply)) if isinstance(reply, Exception) else RedisUnavailable("PROTOCOL", "an answer too many")
            )
            return
        pending = self._pending.popleft()
        answer = pending.answer
        if answer is None:
            if pending.command and isinstance(reply, Exception):
                self._on_unawaited_error(reply_error(str(reply)), pending.command)
            return
        self._silent = 0
        assert pending.timer is not None
        pending.timer.cancel()
        if isinstance(reply, Exception):
            answer.errback(reply_error(str(reply)))
        else:
            answer.callback(reply)

    def connectionLost(self, why: Failure) -> None:
        """Twisted: the connection is gone. Every command that waits fails."""
        self.connected = 0
        self.ended = ended = self.ended or connection_error(why.value)
        if self._unawaited_timer is not None and self._unawaited_timer.active():
            self._unawaited_timer.cancel()
        all_pending, self._pending = self._pending, deque()
        for pending in all_pending:
            if pending.answer is not None:
                if pending.timer is not None:
                    pending.timer.cancel()
                pending.answer.errback(RedisUnavailable("LOST", ended.detail))
        self.lost.callback(None)

    def _write(self, packed: bytes) -> None:
        if self._held is not None:
            self._held.append(packed)
        elif self._socket_first:
            write_socket_first(self.transport, packed)
        else:
            self.transport.write(packed)

    def _overdue(self, pending: _PendingReply) -> None:
        # The reactor runs timers before it reads sockets. If the reactor was late, the reply may be in the socket already.
        pending.timer = self._reactor.callLater(0, self._give_up, pending)

    def _give_up(self, pending: _PendingReply) -> None:
        answer, pending.answer = pending.answer, None
        assert answer is not None
        self._silent += 1
        if self._silent >= SILENT_CALLS_MAX:
            self.abort(RedisUnavailable("SILENT", f"{SILENT_CALLS_MAX} calls in a row had no answer in time"))
        answer.errback(RedisUnavailable("SILENT", "no answer in time"))


class RedisSubscriptionProtocol(RedisProtocol):
    """A subscribed connection: messages go to ``on_message``, those on ``probe_channel`` to `probed`; the rest are replies."""

    def __init__(self, reactor: IReactorTime, on_message: Callable[[bytes], None], probe_channel: bytes = b"") -> None:
        super().__init__(reactor)
        self._on_message = on_message
        self._probe_channel = probe_channel
        self._probed: Deferred[None] | None = None

    def probed(self) -> Deferred[None]:
        """Fires with the next message on the probe channel; the Deferred of an earlier call never fires any more."""
        self._probed = Deferred()
        return self._probed

    def replyReceived(self, reply: Any) -> None:
        """txredisapi: a reply, or a message (["message", channel, payload])."""
        if reply.__class__ is not list or reply[0] != b"message":
            super().replyReceived(reply)
        elif reply[1] != self._probe_channel:
            self._on_message(reply[2])
        elif self._probed is not None:
            probed, self._probed = self._probed, None
            probed.callback(None)


async def connect(endpoint: IStreamClientEndpoint, build: Callable[[], P]) -> P:
    """A connected protocol that ``build`` made. Raises what the endpoint raises."""
    factory = Factory.forProtocol(build)
    factory.noisy = False
    return cast(P, await endpoint.connect(factory))
