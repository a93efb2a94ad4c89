"""One connection to Redis that is kept: made in the background, introduced, and made anew whenever it is lost."""

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

from scoreboard.storage.redis_wire import RedisWire, Word

#: How long one word of an introduction may take; and, while Redis is away, how often we knock.
GREETING_S: Final = 0.25
_RETRY_FIRST_S: Final = 0.05
_RETRY_S: Final = 0.25
_CONNECT_S: Final = 1.0


class Address(NamedTuple):
    """Where a Redis is, and what it must hear before it listens to us."""

    endpoint: IStreamClientEndpoint
    introduction: tuple[tuple[Word, ...], ...]


def address(url: str, reactor: Any) -> Address:
    """The address in a redis://, rediss:// (TLS) or unix:// URL; user, password and database as redis-py writes them."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    password = parts.password or asked.get("password", [""])[0]
    database = asked.get("db", [""])[0]
    if parts.scheme == "unix":
        endpoint: IStreamClientEndpoint = UNIXClientEndpoint(reactor, unquote(parts.path), timeout=_CONNECT_S)
    elif parts.scheme in ("redis", "rediss"):
        host = parts.hostname or "127.0.0.1"
        endpoint = HostnameEndpoint(reactor, host, parts.port or 6379, timeout=_CONNECT_S)
        if parts.scheme == "rediss":
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        database = database or parts.path.strip("/")
    else:
        raise ValueError("a Redis URL begins with redis://, rediss:// or unix://")
    said: list[tuple[Word, ...]] = []
    if password:
        user = (unquote(parts.username),) if parts.username else ()
        said.append(("AUTH", *user, unquote(password)))
    if database:
        said.append(("SELECT", int(database)))
    return Address(endpoint, tuple(said))


class RedisLine:
    """Keeps a connection. ``rise`` has each new one to itself and makes it useful; ``sink`` is told when it is gone again."""

    def __init__(
        self,
        reactor: Any,
        where: Address,
        build: Callable[[], RedisWire],
        *,
        rise: Callable[[RedisWire], Awaitable[None]],
        sink: Callable[[], None],
        complain: Callable[[Exception], None],
    ) -> None:
        self._reactor = reactor
        self._where = where
        self._factory = Factory.forProtocol(build)
        self._factory.noisy = False
        self._rise, self._sink, self._complain = rise, sink, complain
        self._wire: RedisWire | None = None
        self._stopped = False
        self._keeping: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._keeping = ensureDeferred(self._keep())

    async def stop(self) -> None:
        """Hang up for good; returns when the connection is gone."""
        self._stopped = True
        if self._keeping is None:
            return
        if self._wire is not None:
            self._wire.hang_up()
        else:
            self._keeping.cancel()
        with suppress(CancelledError):
            await self._keeping

    async def _keep(self) -> None:
        pause_s = _RETRY_FIRST_S
        while not self._stopped:
            try:
                self._wire = wire = cast(RedisWire, await self._where.endpoint.connect(self._factory))
                for word in self._where.introduction:
                    await wire.ask(word, GREETING_S)
                await self._rise(wire)
            except Exception as trouble:  # whatever it was: say so and try again
                if self._wire is not None:
                    self._wire.hang_up()
                self._complain(trouble)
            else:
                pause_s = _RETRY_FIRST_S
                await wire.lost
                self._sink()
            self._wire = None
            if not self._stopped:
                await deferLater(self._reactor, pause_s)
            pause_s = _RETRY_S
