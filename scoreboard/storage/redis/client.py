"""Redis client: connects in the background, queues no command while it is down, and gives every call a deadline.

The client is *up* when it has a connection to a Redis that is a master and ready. It becomes *down* in one of three cases: the
connection is lost; three calls in a row, or one check, get no answer in time (a stopped Redis keeps its connections open); Redis
says that it is a replica now. While it is down, every call fails at once, and the client tries to connect every 250 ms: it is a
circuit breaker whose open state is *down*.

Twice a second INFO checks that Redis answers, is a master, and is the same run as before. So a process that is idle or only
reads notices a failover as soon as a process that writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import resources
from pathlib import Path
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
    """A Lua script. EVALSHA names it by its digest; a Redis that does not know the digest gets the text."""

    text: str
    sha: str


def script(*names: str) -> Script:
    """The script in ``scripts/<name>.lua``; several names give one script, joined in this order."""
    scripts = resources.files("scoreboard.storage.redis").joinpath("scripts")
    text = "".join(scripts.joinpath(f"{name}.lua").read_text() for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def keys_of(command: Sequence[Argument]) -> list[str]:
    """The keys of a script's call, or the first argument of any other command."""
    if str(command[0]).startswith("EVAL"):
        return [str(key) for key in command[3 : 3 + int(command[2])]]
    return [str(argument) for argument in command[1:2]]


class RedisClient:
    """A client of one Redis. ``url`` is redis://, rediss:// (TLS) or unix://, with user, password and database where needed.

    A Redis that may evict keys is logged as a warning; with ``refuse_eviction`` it is an error, and ``redis_eviction`` fails.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        reactor: Any,
        meter: Meter,
        *,
        deadline_ms: int = 400,
        refuse_eviction: bool = False,
        ca_file: Path | None = None,
        in_operators_words: Callable[[str], str] = str,
    ) -> None:
        self._reactor = reactor
        self._in_operators_words = in_operators_words
        self.meter = meter
        self._deadline_s = deadline_ms / 1000
        self._refuse_eviction = refuse_eviction
        self._where = address(url, reactor, ca_file)
        self._protocol: RedisProtocol | None = None
        self._run_id = ""
        self._trouble = "not connected yet"
        self._misconfigured: RedisMisconfigured | None = None
        #: One clause: how the Redis that answered last may evict keys; "" when it never does.
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
        """Whether commands can be sent now."""
        return self._protocol is not None and bool(self._protocol.connected)

    @property
    def run_id(self) -> str:
        """The run_id of the Redis that answers now. Raises RedisUnavailable when none does."""
        if not self.up:
            raise RedisUnavailable("AWAY", self._why_down())
        return self._run_id

    def conditions(self) -> tuple[Condition, ...]:
        """What a server needs of Redis, from memory.

        ``redis``: commands are answered. ``redis_writes``: no write was refused in the last two seconds for lack of memory, disk
        or replicas. ``redis_calls``: no call was forbidden in the last minute, and no key had another type. ``redis_eviction``:
        Redis does not evict keys. ``redis_subscription``, once for each subscription.
        """
        refused = self._failures.refused_write
        evicts = self.eviction if self._refuse_eviction else ""
        return (
            Condition("redis", True) if self.up else Condition("redis", False, f"Redis cannot be asked: {self._why_down()}"),
            Condition("redis_writes", not refused, refused and f"Redis takes no writes: {refused}"),
            Condition("redis_calls", not self._failures.refuses_calls),
            Condition("redis_eviction", not evicts, evicts),
            *[subscription.condition() for subscription in self._subscriptions],
        )

    @property
    def misconfigured(self) -> bool:
        """Whether Redis answers, and refuses the user, password or database in REDIS_URL."""
        return self._misconfigured is not None

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time that the client comes up."""
        self._when_up.append(callback)

    async def start(self) -> None:
        """Begin to connect, and stay connected until `stop`."""
        self._started = True
        await self._connection.start()
        for subscription in self._subscriptions:
            await subscription.start()

    async def reached(self, within_ms: int) -> None:
        """Return as soon as the client is up. Raises RedisUnavailable after ``within_ms``; the client goes on trying.

        Raises RedisMisconfigured instead when Redis refused what REDIS_URL says at the latest attempt.
        """
        if self.up:
            return
        up: Deferred[None] = Deferred()
        callback = partial(up.callback, None)
        self._when_up.append(callback)
        try:
            await up.addTimeout(within_ms / 1000, self._reactor)
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
        """The reply to one command, with strings as bytes. Fails with RedisUnavailable on an error or a late reply."""
        return self._ask(command, deadline_ms)

    def run(
        self, what: Script, keys: Sequence[str], arguments: Sequence[Argument], deadline_ms: int | None = None
    ) -> Deferred[Any]:
        """The reply of a script; it fails as `call` does."""
        rest = (len(keys), *keys, *arguments)

        def unknown(failure: Failure) -> Failure | Deferred[Any]:
            trouble = failure.value
            if isinstance(trouble, RedisUnavailable) and trouble.kind == "NOSCRIPT":  # restarted, or flushed
                return self._ask(("EVAL", what.text, *rest), deadline_ms, what.text)
            return failure

        return self._ask(("EVALSHA", what.sha, *rest), deadline_ms, what.text).addErrback(unknown)

    def together(self) -> AbstractContextManager[None]:
        """Send what is called and run within it in one write. It holds no ``await``."""
        return nullcontext() if self._protocol is None else self._protocol.together()

    def tell(self, what: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Run a script soon, and wait for no reply. An error is counted; while the client is down nothing is sent.

        The text is sent in full, because nothing here waits for the reply that Redis does not know the digest.
        """
        if self._protocol is not None:
            self._protocol.tell(("EVAL", what.text, len(keys), *keys, *arguments))

    async def ping(self) -> None:
        """Return if Redis answers. Raises RedisUnavailable if not."""
        await self.call("PING")

    def subscribe(self, channel: str, on_message: Callable[[bytes], None], missed: Callable[[], None] | None = None) -> None:
        """Call ``on_message`` with every message on a channel, from `start` until `stop`, over a connection of its own.

        Messages that are published while that connection is down are lost. ``missed`` is called each time that the subscription
        comes up, the first time as well: its owner then reads what it may have missed.
        """
        subscription = RedisSubscription(
            lambda: self.run_id, self._publish, self._reactor, self.meter, self._where, channel, on_message, missed
        )
        self._subscriptions.append(subscription)
        if self._started:
            run_in_background("redis_subscription", subscription.start(), self.meter)

    def _publish(self, channel: str) -> Deferred[Any]:
        if not self.up:
            return fail(self._away())
        return self.call("PUBLISH", channel, "", deadline_ms=int(CHECK_S_MAX * 1000))

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
            if trouble.kind == "BUSY":  # a script runs for long: this Redis answers, and there is no other one
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
        if self._started and said != self._trouble:  # one line, and not four a second
            self._trouble = said
            where = self._where.label if self._misconfigured is None else self._where.name
            trouble_text = self._in_operators_words(f"{said} ({where})")
            log = self._log.warn if self._misconfigured is None else self._log.error
            log("Redis cannot be asked: {trouble}", trouble=trouble_text)

    def _away(self) -> RedisUnavailable:
        return self._misconfigured or RedisUnavailable("AWAY", f"{self._trouble} ({self._where.label})")

    def _why_down(self) -> str:
        ended = self._protocol and self._protocol.ended  # aborted, and the transport has not reported it yet
        return describe(ended) if ended else self._trouble

    def _ask(self, command: tuple[Argument, ...], deadline_ms: int | None, script_text: str = "") -> Deferred[Any]:
        if self._protocol is None:
            return fail(RedisUnavailable("AWAY", "it cannot be asked"))  # why was logged when it went away
        deadline_s = self._deadline_s if deadline_ms is None else deadline_ms / 1000
        return self._protocol.ask(command, deadline_s).addErrback(self._failed, command, script_text)

    def _failed(self, failure: Failure, command: tuple[Argument, ...], script_text: str) -> Failure:
        trouble = failure.value
        if isinstance(trouble, RedisUnavailable) and trouble.kind != "NOSCRIPT":
            self._failures.note(trouble, keys_of(command), script_text)
            if trouble.kind in RECONNECT and self._protocol is not None:
                self._protocol.abort(trouble)  # after a failover this is a replica: a new connection finds the master
        return failure

    def _on_unawaited_error(self, trouble: RedisUnavailable, command: tuple[Argument, ...]) -> None:
        self._failures.note(trouble, keys_of(command), str(command[1]))
