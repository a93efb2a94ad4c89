"""One connection to Redis: commands out, replies back in their order, each waited for no longer than its deadline.

txredisapi's protocol over hiredis, with its three slow spots replaced: commands are packed in C, replies are handed over as
they are read (bytes stay bytes, numbers are not guessed), and the socket is tried before the reactor is asked to write.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import txredisapi
from hiredis import pack_command
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.python.failure import Failure

from scoreboard.boundaries import StoreUnavailable

#: So many calls in a row without an answer, and we hang up: what follows fails at once instead of waiting as long again.
SILENT_CALLS_MAX: Final = 3

#: How long what is told may wait for company, and how many may wait.
TOLD_WAITS_S: Final = 0.01
TOLD_WAITING_MAX: Final = 1_024

Word = str | bytes | int | float
#: The class of an error, also where Redis buries it in what a script said (6.2: "ERR Error running script … -READONLY …").
_KINDS: Final = "READONLY|OOM|LOADING|MISCONF|NOAUTH|WRONGPASS|NOPERM|BUSY|MASTERDOWN|NOREPLICAS|NOSCRIPT|WRONGTYPE"
_KIND: Final = re.compile(rf"\b({_KINDS})\b")


class RedisUnavailable(StoreUnavailable):
    """Redis did not do it. ``kind`` is its class of error, or AWAY (not connected), SILENT (no answer in time), LOST (cut)."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"Redis ({kind}): {detail}")
        self.kind = kind
        self.detail = detail


class _Question:
    """A command that was sent. Without ``answer`` nobody waits for its reply any more."""

    __slots__ = ("answer", "timer")

    def __init__(self) -> None:
        self.answer: Deferred[Any] | None = Deferred()
        self.timer: IDelayedCall | None = None


class RedisWire(txredisapi.HiredisProtocol):
    """A connection. ``lost`` fires when it is gone; every question is answered or failed by then.

    What is only told travels with the next question, or by itself 10 ms later: one write and one wake-up less for each.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.lost: Deferred[None] = Deferred()
        self._reactor = reactor
        self._questions: deque[_Question] = deque()
        self._silent = 0
        self._socket_first = False
        self._told: list[bytes] = []
        self._telling: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Twisted: connected. Who we are is said by `RedisLink`."""
        self._socket_first = isinstance(self.transport, FileDescriptor)  # a TLS transport must see every byte itself
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)

    def ask(self, command: tuple[Any, ...], deadline_s: float) -> Deferred[Any]:
        """The reply to a command; RedisUnavailable if it is an error or does not come in time (it may still be done then)."""
        question = _Question()
        answer = question.answer
        assert answer is not None
        if not self.connected:
            answer.errback(RedisUnavailable("LOST", "the connection is closing"))
            return answer
        told = self._take_told()
        self._questions.append(question)
        question.timer = self._reactor.callLater(deadline_s, self._overdue, question)
        self._write(told + pack_command(command))
        return answer

    def tell(self, command: tuple[Any, ...]) -> None:
        """Send a command soon, before any later question; nobody waits for its reply. Dropped when too much waits already."""
        if self.connected and len(self._told) < TOLD_WAITING_MAX:
            self._told.append(pack_command(command))
            if self._telling is None:
                self._telling = self._reactor.callLater(TOLD_WAITS_S, self._send_told)

    def _send_told(self) -> None:
        told = self._take_told()
        if told and self.connected:
            self._write(told)

    def _take_told(self) -> bytes:
        if not self._told:
            return b""
        told, self._told = self._told, []
        for _ in told:
            unheard = _Question()
            unheard.answer = None
            self._questions.append(unheard)
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._telling = None
        return b"".join(told)

    def hang_up(self) -> None:
        """Drop the connection without waiting for what is under way."""
        self.connected = 0
        self.transport.abortConnection()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Twisted: bytes came."""
        self._reader.feed(data)
        reply = self._reader.gets()
        while reply is not False:
            self.replyReceived(reply)
            reply = self._reader.gets()

    def replyReceived(self, reply: Any) -> None:
        """txredisapi: one whole reply."""
        question = self._questions.popleft()
        answer = question.answer
        if answer is None:
            return
        self._silent = 0
        assert question.timer is not None
        question.timer.cancel()
        if isinstance(reply, Exception):
            answer.errback(_refused(str(reply)))
        else:
            answer.callback(reply)

    def connectionLost(self, why: Failure) -> None:
        """Twisted: gone. Whoever waits is told."""
        self.connected = 0
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        questions, self._questions = self._questions, deque()
        for question in questions:
            if question.answer is not None:
                if question.timer is not None:
                    question.timer.cancel()
                question.answer.errback(RedisUnavailable("LOST", why.getErrorMessage()))
        self.lost.callback(None)

    def _write(self, packed: bytes) -> None:
        # Two epoll_ctl calls and a turn of the reactor less than transport.write, as long as nothing waits there already.
        transport = self.transport
        if self._socket_first and not transport.dataBuffer and not transport._tempDataBuffer:
            sent = transport.writeSomeData(packed)
            if sent.__class__ is int:
                if sent < len(packed):
                    transport.write(packed[sent:])
                return
        transport.write(packed)

    def _overdue(self, question: _Question) -> None:
        # The reactor runs timers before it reads sockets: when we ourselves were late, the reply may lie there already.
        question.timer = self._reactor.callLater(0, self._give_up, question)

    def _give_up(self, question: _Question) -> None:
        answer, question.answer = question.answer, None
        assert answer is not None
        self._silent += 1
        if self._silent >= SILENT_CALLS_MAX:
            self.hang_up()
        answer.errback(RedisUnavailable("SILENT", "no answer in time"))


class RedisEar(RedisWire):
    """A connection that is subscribed to a channel: messages go to ``hear``, all else is a reply."""

    def __init__(self, reactor: IReactorTime, hear: Callable[[bytes], None]) -> None:
        super().__init__(reactor)
        self._hear = hear

    def replyReceived(self, reply: Any) -> None:
        """txredisapi: a reply, or a message (["message", channel, payload])."""
        if reply.__class__ is list and reply[0] == b"message":
            self._hear(reply[2])
        else:
            super().replyReceived(reply)


def _refused(said: str) -> RedisUnavailable:
    found = _KIND.search(said)
    return RedisUnavailable(found[0] if found else "ERR", said)
