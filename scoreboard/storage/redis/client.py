"""The one place that talks to Redis: connected in the background, never queued on, never waited for beyond a deadline.

States: *down* (every call fails at once) and *up*. It is up when a connection was made and the Redis at its other end said
that it is a master and ready. It is down again when the connection is lost, when three calls in a row or one check were not
answered in time (a stopped Redis keeps its connections open), or when Redis says that it may no longer be written to. While
down it tries to connect every 250 ms: that is the probe of a circuit breaker whose open state is *down*.

Twice a second the connection is checked by INFO: that it answers, is a master, and is the run that it was. So an idle process
notices what a busy one does, and a failover is noticed by those who only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from scoreboard.background import run_in_background
from scoreboard.boundaries.health import Meter
from scoreboard.storage.redis.connection import CHECK_S_MAX, GREETING_S, RedisConnection, address
from scoreboard.storage.redis.errors import RECONNECT, RedisMisconfigured, RedisUnavailable, describe
from scoreboard.storage.redis.failures import RedisFailures
from scoreboard.storage.redis.info import Condition, RedisInfo, read_info
from scoreboard.storage.redis.protocol import Argument, RedisProtocol
from scoreboard.storage.redis.subscription import RedisSubscription


class Script(NamedTuple):
    """A Lua script: asked for by its digest, and sent in full to a Redis that does not know it."""

    text: str
    sha: str


def script(*names: str) -> Script:
    """A script of ours by its file name, without ``.lua``; of several, each is put before the next."""
    scripts = resources.files("scoreboard.storage.redis").joinpath("scripts")
    text = "".join(scripts.joinpath(f"{name}.lua").read_text() for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisClient:
    """A Redis to call. ``url`` is redis://, rediss:// (TLS) or unix://, with user, password and database where needed.

    ``refuse_eviction`` makes a Redis that may evict keys an error, and a condition that does not hold; else it is one warning.
    """

    _log = Logger()

    def __init__(self, url: str, reactor: Any, meter: Meter, *, deadline_ms: int = 400, refuse_eviction: bool = False) -> None:
        self._reactor = reactor
        self.meter = meter
        self._deadline_s = deadline_ms / 1000
        self._refuse_eviction = refuse_eviction
        self._where = address(url, reactor)
        self._protocol: RedisProtocol | None = None
        self._run_id = ""
        self._trouble = "not connected yet"
        self._misconfigured: RedisMisconfigured | None = None
        #: One clause that says how the Redis that answered last may evict keys, or "".
        self.eviction = ""
        self._failures = RedisFailures(meter, reactor)
        self._started = False
        self._connection = RedisConnection(
            reactor,
            meter,
            self._where,
            lambda: RedisProtocol(reactor, self._on_unawaited_error),
            on_connect=self._on_connect,
            check=self._check,
            on_down=self._on_down,
        )
        self._subscriptions: list[RedisSubscription] = []
        self._when_up: list[Callable[[], None]] = []

    @property
    def up(self) -> bool:
        """Whether a call has a chance now."""
        return self._protocol is not None and bool(self._protocol.connected)

    @property
    def run_id(self) -> str:
        """Names the run of the Redis that answers now; RedisUnavailable when none does."""
        if not self.up:
            raise RedisUnavailable("AWAY", self._why_down())
        return self._run_id

    def conditions(self) -> tuple[Condition, ...]:
        """What a server needs of Redis, for a report on readiness: from memory, nothing is asked.

        ``redis`` (commands are answered), ``redis_writes`` (none was refused in the last two seconds for lack of memory, disk or
        replicas), ``redis_eviction``, and ``redis_subscription`` for each subscription.
        """
        refused = self._failures.refused_write
        evicts = self.eviction if self._refuse_eviction else ""
        return (
            Condition("redis", True) if self.up else Condition("redis", False, f"Redis cannot be asked: {self._why_down()}"),
            Condition("redis_writes", not refused, refused and f"Redis takes no writes: {refused}"),
            Condition("redis_eviction", not evicts, evicts),
            *[subscription.condition() for subscription in self._subscriptions],
        )

    @property
    def misconfigured(self) -> bool:
        """Whether Redis answers and refuses what REDIS_URL says."""
        return self._misconfigured is not None

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time that Redis can be asked (again)."""
        self._when_up.append(callback)

    async def start(self) -> None:
        """Begin to connect, and stay connected until `stop`."""
        self._started = True
        await self._connection.start()
        for subscription in self._subscriptions:
            await subscription.start()

    async def reached(self, within_ms: int) -> None:
        """Return as soon as Redis can be asked; raise RedisUnavailable if that takes too long (the link goes on trying).

        RedisMisconfigured if Redis refused what REDIS_URL says, at the latest attempt.
        """
        if self.up:
            return
        risen: Deferred[None] = Deferred()
        callback = partial(risen.callback, None)
        self._when_up.append(callback)
        try:
            await risen.addTimeout(within_ms / 1000, self._reactor)
        except TimeoutError:
            raise self._away() from None
        finally:
            self._when_up.remove(callback)

    async def stop(self) -> None:
        """Disconnect for good."""
        self._started = False
        await self._connection.stop()
        for subscription in self._subscriptions:
            await subscription.stop()

    def call(self, *command: Argument, deadline_ms: int | None = None) -> Deferred[Any]:
        """The reply to one command, strings as bytes; RedisUnavailable (a StoreUnavailable) if there is none in time."""
        return self._ask(command, deadline_ms)

    def run(
        self, what: Script, keys: Sequence[str], arguments: Sequence[Argument], deadline_ms: int | None = None
    ) -> Deferred[Any]:
        """The reply of a script, as `call` gives it."""
        rest = (len(keys), *keys, *arguments)

        def unknown(failure: Failure) -> Failure | Deferred[Any]:
            trouble = failure.value
            if isinstance(trouble, RedisUnavailable) and trouble.kind == "NOSCRIPT":  # it was restarted, or flushed
                return self._ask(("EVAL", what.text, *rest), deadline_ms, what.text)
            return failure

        return self._ask(("EVALSHA", what.sha, *rest), deadline_ms, what.text).addErrback(unknown)

    def tell(self, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Have a script run soon, without waiting for its reply: its failure is only counted; nothing happens while down.

        Sent in full: no caller would learn that Redis does not know it by its digest.
        """
        if self._protocol is not None:
            self._protocol.tell(("EVAL", what.text, len(keys), *keys, *arguments))

    async def ping(self) -> None:
        """Return if Redis answers; raise RedisUnavailable if not."""
        await self.call("PING")

    def subscribe(self, channel: str, on_message: Callable[[bytes], None], missed: Callable[[], None] | None = None) -> None:
        """Hand every message on a channel to ``hear``, from `start` until `stop`, on a connection of its own.

        What is published while that connection is down is never heard: ``missed`` is called each time that it stands (again),
        the first time as well, so that its owner can read what it may have missed.
        """
        subscription = RedisSubscription(self, self._reactor, self.meter, self._where, channel, on_message, missed)
        self._subscriptions.append(subscription)
        if self._started:
            run_in_background("redis_subscription", subscription.start(), self.meter)

    async def _on_connect(self, protocol: RedisProtocol) -> None:
        info = read_info(await protocol.ask(("INFO",), GREETING_S))
        info.require_master()
        self._run_id = info.run_id
        self._protocol, self._trouble, self._misconfigured = protocol, "", None
        self._log.info("Redis can be asked")
        self.meter.gauge("redis_up", 1)
        self._judge_eviction(info)
        for callback in list(self._when_up):
            callback()
        for subscription in self._subscriptions:
            subscription.follow(self._run_id)

    async def _check(self, protocol: RedisProtocol) -> None:
        try:
            info = read_info(await protocol.ask(("INFO",), CHECK_S_MAX))
        except RedisUnavailable as trouble:
            if trouble.kind == "BUSY":  # a script runs long: it answers, and there is no other to ask
                return
            raise
        info.require_master()
        if info.run_id != self._run_id:
            raise RedisUnavailable("ELSEWHERE", "another run of Redis answers on the same connection")
        self._judge_eviction(info)

    def _judge_eviction(self, info: RedisInfo) -> None:
        self.eviction = info.eviction
        if info.eviction:
            self._failures.once(info.eviction, LogLevel.error if self._refuse_eviction else LogLevel.warn)

    def _on_down(self, trouble: Exception) -> None:
        if self._protocol is not None:
            self._protocol = None
            self.meter.gauge("redis_up", 0)
        said = describe(trouble)
        self._misconfigured = trouble if isinstance(trouble, RedisMisconfigured) else None
        if self._started and said != self._trouble:  # once, not four times a second
            self._trouble = said
            self._log.warn("Redis cannot be asked: {trouble} ({where})", trouble=said, where=self._where.label)

    def _away(self) -> RedisUnavailable:
        return self._misconfigured or RedisUnavailable("AWAY", f"{self._trouble} ({self._where.label})")

    def _why_down(self) -> str:
        ended = self._protocol and self._protocol.ended  # hung up, and the transport has not said so yet
        return describe(ended) if ended else self._trouble

    def _ask(self, command: tuple[Argument, ...], deadline_ms: int | None, script_text: str = "") -> Deferred[Any]:
        if self._protocol is None:
            return fail(RedisUnavailable("AWAY", self._trouble))
        deadline_s = self._deadline_s if deadline_ms is None else deadline_ms / 1000
        return self._protocol.ask(command, deadline_s).addErrback(self._failed, script_text)

    def _failed(self, failure: Failure, script_text: str) -> Failure:
        trouble = failure.value
        if isinstance(trouble, RedisUnavailable) and trouble.kind != "NOSCRIPT":
            self._failures.note(trouble, script_text)
            if trouble.kind in RECONNECT and self._protocol is not None:
                self._protocol.abort(trouble)  # a failover made a replica of it: look for the master
        return failure

    def _on_unawaited_error(self, trouble: RedisUnavailable, command: tuple[Argument, ...]) -> None:
        self._failures.note(trouble, str(command[1]))
