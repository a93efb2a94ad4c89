"""Table of internals: every private or undocumented name of a dependency that the code uses, and what for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import txredisapi
from autobahn.twisted.websocket import WebSocketServerProtocol
from klein import Klein
from twisted.internet.abstract import FileDescriptor
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock, LoopingCall
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web import http, server
from twisted.web.test.requesthelper import DummyChannel

from scoreboard.net.websocket.slim import HANDSHAKE_NOTES


@dataclass(frozen=True)
class Internal(ABC):
    """A name of a dependency's class that is not part of its documented interface."""

    owner: type
    name: str
    #: What we use it for: the rest of a sentence that begins with "We use it".
    use: str

    @abstractmethod
    def fault(self) -> str | None:
        """What is no longer as we rely on it, or None."""

    @property
    def full_name(self) -> str:
        """The name as a failing test shows it."""
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"


@dataclass(frozen=True)
class Method(Internal):
    """A method that we call or override with these parameters."""

    parameters: tuple[str, ...] = ()

    def fault(self) -> str | None:
        method = getattr(self.owner, self.name, None)
        if not callable(method):
            return "is no method any more"
        now = tuple(inspect.signature(method).parameters)[1:]
        return None if now == self.parameters else f"has the parameters {now}, not {self.parameters}"


@dataclass(frozen=True)
class Attribute(Internal):
    """An attribute of an instance, with the value that a new instance has."""

    value: object = None

    def fault(self) -> str | None:
        missing = object()
        now = getattr(_instance(self.owner), self.name, missing)
        if now is missing:
            return "is no attribute of a new instance any more"
        same = now == self.value and isinstance(now, type(self.value))
        return None if same else f"is {now!r} on a new instance, not {self.value!r}"


@dataclass(frozen=True)
class Present(Internal):
    """An attribute of an instance, whose value does not matter."""

    def fault(self) -> str | None:
        return None if hasattr(_instance(self.owner), self.name) else "is no attribute of a new instance any more"


@dataclass(frozen=True)
class Read(Internal):
    """An attribute that we set, and that the dependency's own code reads."""

    def fault(self) -> str | None:
        return None if self.name in _named_in_code(self.owner, ast.Load) else "is not read in the code of the class any more"


@dataclass(frozen=True)
class Written(Internal):
    """An attribute that the dependency's own code sets."""

    def fault(self) -> str | None:
        return None if self.name in _named_in_code(self.owner, ast.Store) else "is not set in the code of the class any more"


_MAKERS: Final[dict[type, Callable[[], Any]]] = {
    FileDescriptor: lambda: FileDescriptor(MemoryReactor()),
    LoopingCall: lambda: LoopingCall(lambda: None),
    ProtocolWrapper: lambda: ProtocolWrapper(WrappingFactory(http.HTTPFactory()), http.HTTPChannel()),
    http.HTTPChannel: http.HTTPChannel,
    http.HTTPFactory: lambda: http.HTTPFactory(reactor=Clock()),
    server.Request: lambda: server.Request(DummyChannel(), parsePOSTFormSubmission=False),
    txredisapi.HiredisProtocol: lambda: txredisapi.HiredisProtocol(charset=None, convertNumbers=False),
    Klein: Klein,
}


def _instance(owner: type) -> Any:
    return _MAKERS[owner]()


@cache
def _named_in_code(owner: type, context: type[ast.expr_context]) -> frozenset[str]:
    """The names of the attributes of self that the source of a class and of its bases reads or sets."""
    return frozenset(
        node.attr
        for base in owner.__mro__
        for node in ast.walk(_source(base))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and isinstance(node.ctx, context)
    )


def _source(of: type) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(of)))
    except (OSError, TypeError):  # it is written in C
        return ast.Module(body=[], type_ignores=[])


def _autobahn() -> Iterator[Internal]:
    """What SlimWebSocketProtocol sets on the class so that no connection needs it, and what it deletes after the handshake."""
    on_class = """
        log CONFIG_ATTRS logOctets logFrames trackTimings webStatus maskServerFrames serveFlashSocketPolicy utf8validateIncoming
        requireMaskedClientFrames applyMask failByDrop echoCloseCodeReason failedByMe wasClean openHandshakeTimeout
        closeHandshakeTimeout autoPingInterval maxConnections trustXForwardedFor openHandshakeTimeoutCall
        closeHandshakeTimeoutCall autoPingTimeoutCall autoPingPending trackedTimings wasNotCleanReason _perMessageCompress
        is_open trafficStats _transport_details allowedOriginsPatterns versions websocket_version peer
        perMessageCompressionAccept
    """
    for name in on_class.split():
        yield Read(WebSocketServerProtocol, name, "as a class attribute, in place of one on each connection")
    for name in HANDSHAKE_NOTES:
        yield Written(WebSocketServerProtocol, name, "no more after the handshake: it is deleted")


def _request() -> Iterator[Internal]:
    for name in ("method", "uri", "path", "clientproto", "requestHeaders", "content"):
        yield Written(server.Request, name, "to make a request from a head that we read ourselves")


_REFUSES: Final = "to refuse or to close in our own way"

INTERNALS: Final[tuple[Internal, ...]] = (
    # Transports of Twisted
    Attribute(FileDescriptor, "dataBuffer", "to see whether a transport holds bytes that its socket has not taken", b""),
    Attribute(FileDescriptor, "_tempDataBuffer", "to see whether a transport holds bytes that its socket has not taken", []),
    Method(Connection, "writeSomeData", "to write to the socket before the reactor is asked", ("data",)),
    Read(Connection, "TLS", "to see whether a write to the socket would bypass TLS"),
    Attribute(FileDescriptor, "disconnecting", "to see whether a transport is closing", 0),
    Read(Connection, "protocol", "to give a connection from HTTP to a WebSocket"),
    Present(ProtocolWrapper, "wrappedProtocol", "to give a TLS connection from HTTP to a WebSocket"),
    Present(LoopingCall, "clock", "to run a loop by the clock that we were given"),
    Read(ReactorBase, "seconds", "to give all timers the monotonic clock: we replace this method"),
    # HTTP connections of Twisted
    Attribute(http.HTTPChannel, "requests", "for the requests that are read or answered", []),
    Attribute(http.HTTPChannel, "_handlingRequest", "to keep the bytes of the next request until this one is answered", False),
    Attribute(http.HTTPChannel, "_transferDecoder", "to read a body with the decoder that we choose", None),
    Attribute(http.HTTPChannel, "_buffer", "to see whether bytes of the next request are here", b""),
    Attribute(http.HTTPChannel, "paused", "to keep bytes while the client does not read", False),
    Attribute(http.HTTPChannel, "persistent", "to close the connection after a response", 1),
    Method(http.HTTPChannel, "_finishRequestBody", "as the callback of a decoder at the end of a body", ("data",)),
    Method(http.HTTPChannel, "_send100Continue", "to ask for the body of a request with Expect: 100-continue"),
    Attribute(http.HTTPChannel, "_busyReceiving", "to see whether more requests of the same bytes follow", False),
    Method(http.HTTPChannel, "allContentReceived", "to hand a whole request over"),
    Method(http.HTTPChannel, "requestDone", "to go on to the next request", ("request",)),
    Method(http.HTTPChannel, "lineReceived", "for a whole head, which is one line by our delimiter", ("line",)),
    Method(http.HTTPChannel, "rawDataReceived", "for the bytes of a body", ("data",)),
    Method(
        http._IdentityTransferDecoder,
        "__init__",
        "to read a body of a known length",
        ("contentLength", "dataCallback", "finishCallback"),
    ),
    # Requests and the listener
    *_request(),
    Attribute(server.Request, "code", "for the status that is counted", 200),
    Attribute(server.Request, "site", "for the resource tree that a mounted resource may ask for"),
    Attribute(server.Request, "_disconnected", "to see whether the client has left", False),
    Attribute(server.Request, "startedWriting", "to let Twisted know that the head of the response is written", 0),
    Method(server.Request, "handleContentChunk", "to keep a body in memory, without Twisted's temporary file", ("data",)),
    Method(server.Request, "process", "to begin a request without Twisted's own look at it"),
    Method(http.HTTPFactory, "log", "to count requests in place of an access log", ("request",)),
    Method(http.HTTPFactory, "startFactory", "without Twisted's timer for the date of its access log"),
    Present(http.HTTPFactory, "reactor", "as the clock of deadlines"),
    # Autobahn
    *_autobahn(),
    Read(WebSocketServerProtocol, "state", "to say that a connection is open or closed"),
    Read(WebSocketServerProtocol, "data", "for bytes that are not read yet"),
    Method(WebSocketServerProtocol, "consumeData", "to read all frames that are here"),
    Method(WebSocketServerProtocol, "failHandshake", _REFUSES, ("reason", "code", "responseHeaders")),
    Method(WebSocketServerProtocol, "dropConnection", _REFUSES, ("abort",)),
    Method(WebSocketServerProtocol, "_fail_connection", _REFUSES, ("code", "reason")),
    Method(WebSocketServerProtocol, "sendData", "to write through our own writer", ("data", "sync", "chopsize")),
    Method(WebSocketServerProtocol, "onFrameBegin", "to count frames of any kind"),
    # txredisapi and Klein
    Present(txredisapi.HiredisProtocol, "_reader", "to read replies without txredisapi's conversions"),
    Attribute(txredisapi.HiredisProtocol, "connected", "to send nothing on a connection that is closing", 0),
    Method(txredisapi.HiredisProtocol, "dataReceived", "to read replies without txredisapi's conversions", ("data", "unpause")),
    Method(txredisapi.HiredisProtocol, "replyReceived", "to give each reply to its command", ("reply",)),
    Method(Klein, "execute_endpoint", "to call a handler that our own table found", ("endpoint", "request", "args", "kwargs")),
    Present(Klein, "url_map", "to make our own table of routes"),
)

#: Names that Python or a dependency documents as ones to set.
DOCUMENTED: Final = frozenset(
    {
        "daemon",
        "stdin",
        "stdout",
        "stderr",
        "argv",
        "prepare_threshold",
        "isLeaf",
        "protocol",
        "noisy",
        "delimiter",
        "MAX_LENGTH",
        "impl",
        "cache_ok",
        "help",  # of a command of Click, and so of Typer
        "model_config",
    }
)
