"""A connection to Redis that is kept: opened in the background, prepared, checked twice a second, replaced when it is lost.

The check has a deadline, because a connection whose other end went silent (a stopped Redis, a proxy that forgot it, a cable)
looks open for ever. An idle process sends no commands that would show the silence.

We do not use Twisted's ClientService for three reasons. It raises NoTransition for each connection that is lost or refused while
it is prepared (a replica, a wrong password). It logs each attempt. It has no public way to retry at once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import deferLater

from scoreboard.background import run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.named_files import read_regular_file
from scoreboard.storage.redis.errors import RedisUnavailable, RedisUnusable
from scoreboard.storage.redis.protocol import Argument, RedisProtocol, connect

#: How long one command of the handshake may take; then the pauses between attempts: the first one, and each later one.
GREETING_S: Final = 0.25
_RETRY_FIRST_S: Final = 0.05
_RETRY_S: Final = 0.25
_CONNECT_S: Final = 1.0
#: The pause between two checks, and how long a check may take: a silent Redis is noticed within the sum, 1.6 s.
CHECK_PAUSE_S: Final = 0.4
CHECK_S_MAX: Final = 1.2
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Address(NamedTuple):
    """Where a Redis is, and the commands that a new connection sends first."""

    endpoint: IStreamClientEndpoint
    handshake: tuple[tuple[Argument, ...], ...]
    #: The name for a log line, without user and password; the same with TLS and database; and with the setting that names it.
    name: str
    said: str
    label: str


def address(url: str, reactor: Any, ca_file: Path | None = None) -> Address:
    """The address in a redis://, rediss:// (TLS) or unix:// URL, in redis-py's form. Raises ValueError for another scheme.

    With TLS the server's certificate must be signed by ``ca_file``, or by an authority that this machine trusts.
    """
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    password = parts.password or asked.get("password", [""])[0]
    database = asked.get("db", [""])[0]
    if parts.scheme == "unix":
        name = said = unquote(parts.path)
        label = f"REDIS_URL (or SCOREBOARD_DATA_DIR) {name}"  # the embedded Redis listens there
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, name, timeout=_CONNECT_S)
    elif parts.scheme in ("redis", "rediss"):
        host, port = parts.hostname or "127.0.0.1", parts.port or 6379
        endpoint = HostnameEndpoint(reactor, host, port, timeout=_CONNECT_S)
        name = f"{host} port {port}"
        tls = parts.scheme == "rediss"
        said = f"{name}, {'with' if tls else 'without'} TLS"
        label = f"REDIS_URL (or REDIS_HOST) {said}"
        if tls:
            endpoint = wrapClientTLS(optionsForClientTLS(host, trustRoot=_authorities(ca_file)), endpoint)
        database = database or parts.path.strip("/")
    else:
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    handshake: list[tuple[Argument, ...]] = []
    if password:
        user = (unquote(parts.username),) if parts.username else ()
        handshake.append(("AUTH", *user, unquote(password)))
    if database:
        handshake.append(("SELECT", int(database)))
    return Address(endpoint, tuple(handshake), name, f"{said}, database {database or 0}", label)


def _authorities(ca_file: Path | None) -> Any:
    """The certificate authorities to trust: those in the file, or None for the machine's. Raises RedisUnusable."""
    if ca_file is None:
        return None
    try:
        found = _PEM.findall(read_regular_file(ca_file))
        return trustRootFromCertificates([Certificate.loadPEM(one) for one in found] or [Certificate.loadPEM(b"")])
    except OSError as error:
        raise RedisUnusable(f"REDIS_CA_FILE: {ca_file} cannot be read ({(error.strerror or '').lower()})") from None
    except Exception:  # the library has no class of its own for it
        raise RedisUnusable(f"REDIS_CA_FILE: {ca_file} should hold certificates in PEM form") from None


class RedisConnection:
    """Keeps one connection from `start` until `stop`.

    ``on_connect`` prepares each new connection; ``check`` is called again and again while it lasts and raises RedisUnavailable
    when it should be replaced; ``on_down`` gets the reason when an attempt failed or a connection ended.
    Any other failure in these callbacks is logged and counted as one of background work, and the connection is replaced.
    """

    def __init__(
        self,
        reactor: Any,
        meter: Meter,
        where: Address,
        build: Callable[[], RedisProtocol],
        *,
        on_connect: Callable[[Any], Awaitable[None]],
        check: Callable[[Any], Awaitable[None]],
        on_down: Callable[[Exception], None],
    ) -> None:
        self._reactor = reactor
        self._meter = meter
        self._where = where
        self._build = build
        self._on_connect, self._check, self._on_down = on_connect, check, on_down
        self._protocol: RedisProtocol | None = None
        self._stopped = False
        self._pause_s = _RETRY_FIRST_S
        self._keeping: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None

    async def start(self) -> None:
        """Begin to connect."""
        self._keeping = run_in_background("redis_connection", self._keep(), self._meter)

    async def stop(self) -> None:
        """Disconnect for good; returns when the connection is gone."""
        self._stopped = True
        if self._keeping is not None:
            if self._protocol is not None:
                self._protocol.abort()
            else:
                self._keeping.cancel()
            await self._keeping

    def retry_now(self) -> None:
        """Start the next attempt at once, if it waits for its time."""
        if self._pausing is not None:
            self._pausing.cancel()

    def abort(self, why: RedisUnavailable) -> None:
        """Drop the connection, if there is one, and open another."""
        if self._protocol is not None:
            self._protocol.abort(why)

    async def _keep(self) -> None:
        while not self._stopped:
            await run_in_background("redis_connection", self._keep_one(), self._meter)
            self._protocol = None
            if not self._stopped:
                self._pausing = deferLater(self._reactor, self._pause_s)
                with suppress(CancelledError):  # `retry_now`, or stopping
                    await self._pausing
                self._pausing = None
            self._pause_s = _RETRY_S

    async def _keep_one(self) -> None:
        """One connection, from the attempt to its end."""
        try:
            self._protocol = protocol = await connect(self._where.endpoint, self._build)
        except Exception as trouble:  # one of the network's many classes, or `stop` cancelled the attempt
            self._on_down(trouble)
            return
        try:
            for command in self._where.handshake:
                await protocol.ask(command, GREETING_S)
            await self._on_connect(protocol)
        except Exception as trouble:
            self._on_down(protocol.ended or trouble)
            protocol.abort()
            if not isinstance(trouble, RedisUnavailable):
                raise
            return
        self._pause_s = _RETRY_FIRST_S
        checking = run_in_background("redis_check", self._keep_checking(protocol), self._meter)
        await protocol.lost
        checking.cancel()
        self._on_down(protocol.ended or RedisUnavailable("LOST", "the connection was lost"))

    async def _keep_checking(self, protocol: RedisProtocol) -> None:
        try:
            while True:
                await deferLater(self._reactor, CHECK_PAUSE_S)
                await self._check(protocol)
        except CancelledError:  # the connection is gone
            pass
        except RedisUnavailable as trouble:
            protocol.abort(trouble)
        except Exception as fault:
            protocol.abort(RedisUnavailable("ERR", f"its check failed: {fault}"))
            raise
