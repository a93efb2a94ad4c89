"""One connection to Redis that is kept: made in the background, introduced, checked twice a second, and made anew when lost.

A connection whose other end went silent (a stopped Redis, a proxy that forgot it, a cable) looks open for ever, and an idle
process asks nothing: only a check with a deadline notices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scoreboard.storage.redis.errors import RedisUnavailable
from scoreboard.storage.redis.protocol import Argument, RedisProtocol

#: How long one word of an introduction may take; and, while Redis is away, how often we knock.
GREETING_S: Final = 0.25
_RETRY_FIRST_S: Final = 0.05
_RETRY_S: Final = 0.25
_CONNECT_S: Final = 1.0
#: How long after a check the next one begins, and how long it may take: silence is noticed within the sum, 1.6 s.
CHECK_PAUSE_S: Final = 0.4
CHECK_S_MAX: Final = 1.2


class Address(NamedTuple):
    """Where a Redis is, and what it must hear before it listens to us."""

    endpoint: IStreamClientEndpoint
    introduction: tuple[tuple[Argument, ...], ...]
    #: The same for a log line: no user, no password.
    words: str


def address(url: str, reactor: Any) -> Address:
    """The address in a redis://, rediss:// (TLS) or unix:// URL; user, password and database as redis-py writes them."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    password = parts.password or asked.get("password", [""])[0]
    database = asked.get("db", [""])[0]
    if parts.scheme == "unix":
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, unquote(parts.path), timeout=_CONNECT_S)
        words = unquote(parts.path)
    elif parts.scheme in ("redis", "rediss"):
        host = parts.hostname or "127.0.0.1"
        endpoint = HostnameEndpoint(reactor, host, parts.port or 6379, timeout=_CONNECT_S)
        words = f"REDIS_URL (or REDIS_HOST) {host} port {parts.port or 6379}"
        if parts.scheme == "rediss":
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        database = database or parts.path.strip("/")
    else:
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    said: list[tuple[Argument, ...]] = []
    if password:
        user = (unquote(parts.username),) if parts.username else ()
        said.append(("AUTH", *user, unquote(password)))
    if database:
        said.append(("SELECT", int(database)))
    return Address(endpoint, tuple(said), words)


class RedisConnection:
    """Keeps a connection.

    ``rise`` has each new one to itself and makes it useful; ``check`` is called again and again while it lasts and raises
    RedisUnavailable when it should be replaced; ``sink`` gets the reason when a useful one is gone, ``complain`` the reason
    why there is none.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        where: Address,
        build: Callable[[], RedisProtocol],
        *,
        on_connect: Callable[[Any], Awaitable[None]],
        check: Callable[[Any], Awaitable[None]],
        on_disconnect: Callable[[RedisUnavailable], None],
        complain: Callable[[Exception], None],
    ) -> None:
        self._reactor = reactor
        self._where = where
        self._factory = Factory.forProtocol(build)
        self._factory.noisy = False
        self._on_connect, self._check, self._on_disconnect, self._complain = on_connect, check, on_disconnect, complain
        self._protocol: RedisProtocol | None = None
        self._stopped = False
        self._keeping: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._keeping = ensureDeferred(self._keep())

    def retry_now(self) -> None:
        """Try at once if the next attempt waits for its time."""
        if self._pausing is not None:
            self._pausing.cancel()

    def hang_up(self, why: RedisUnavailable) -> None:
        """Drop the connection, if there is one, and make another."""
        if self._protocol is not None:
            self._protocol.hang_up(why)

    async def stop(self) -> None:
        """Hang up for good; returns when the connection is gone."""
        self._stopped = True
        if self._keeping is None:
            return
        if self._protocol is not None:
            self._protocol.hang_up()
        else:
            self._keeping.cancel()
        with suppress(CancelledError):
            await self._keeping

    async def _keep(self) -> None:
        pause_s = _RETRY_FIRST_S
        while not self._stopped:
            try:
                self._protocol = protocol = cast(RedisProtocol, await self._where.endpoint.connect(self._factory))
                for word in self._where.introduction:
                    await protocol.ask(word, GREETING_S)
                await self._on_connect(protocol)
            except Exception as trouble:  # whatever it was: say so and try again
                if self._protocol is not None:
                    self._protocol.hang_up()
                self._complain(trouble)
            else:
                pause_s = _RETRY_FIRST_S
                checking = ensureDeferred(self._keep_checking(protocol))
                await protocol.lost
                checking.cancel()
                self._on_disconnect(protocol.ended or RedisUnavailable("LOST", "the connection was lost"))
            self._protocol = None
            if not self._stopped:
                await self._pause(pause_s)
            pause_s = _RETRY_S

    async def _keep_checking(self, protocol: RedisProtocol) -> None:
        try:
            while True:
                await deferLater(self._reactor, CHECK_PAUSE_S)
                await self._check(protocol)
        except CancelledError:  # the connection is gone
            pass
        except RedisUnavailable as trouble:
            protocol.hang_up(trouble)
        except Exception as fault:
            self._log.failure("the check of a connection to Redis failed")
            protocol.hang_up(RedisUnavailable("ERR", f"its check failed: {fault}"))

    async def _pause(self, seconds: float) -> None:
        self._pausing = deferLater(self._reactor, seconds)
        try:
            with suppress(CancelledError):  # `retry_now`, or stopping
                await self._pausing
        finally:
            self._pausing = None
