"""Redis subscription: messages of one channel, over a connection of its own that is tested twice a second.

The test is a probe: a message that is published over the command connection and must come back over the subscribed one. A PING
tests only the connection, and a Redis that became a replica, or lost its master, still answers it. While commands cannot be sent,
the PING is the only test.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries.health import Meter
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.storage.redis.connection import CHECK_S_MAX, GREETING_S, Address, RedisConnection
from scoreboard.storage.redis.errors import UNANSWERED, RedisUnavailable, describe
from scoreboard.storage.redis.info import Condition, read_info
from scoreboard.storage.redis.protocol import RedisSubscriptionProtocol

#: The probe channel is named: the channel's name, this text, a random name. So an ACL pattern "name*" permits both.
_PROBE: Final = ":probe:"


class RedisSubscription:
    """One channel. ``on_message`` gets every message; ``missed`` is called each time that the subscription comes up.

    It is up only at the run of Redis that answers the commands (``run_id``), and follows them when they move to another one.
    ``publish`` sends an empty message on a channel over the command connection.
    """

    _log = Logger()

    def __init__(
        self,
        run_id: Callable[[], str],
        publish: Callable[[str], Deferred[Any]],
        reactor: Any,
        meter: Meter,
        where: Address,
        channel: str,
        on_message: Callable[[bytes], None],
        missed: Callable[[], None] | None,
    ) -> None:
        self._commands_run_id, self._publish = run_id, publish
        self._reactor = reactor
        self._meter = meter
        self._channel = channel
        self._probe_channel = channel + _PROBE + secrets.token_hex(8)
        self._on_message = on_message
        self._missed = missed or (lambda: None)
        self._run_id = ""
        self._was_up = False
        self._unreadable = False
        self._warned = False
        self._trouble = "not subscribed yet"
        self._down_since_s: float | None = reactor.seconds()
        self._connection = RedisConnection(
            reactor, meter, where, self._build, on_connect=self._on_connect, check=self._check, on_down=self._on_down
        )

    async def start(self) -> None:
        """Begin to subscribe."""
        await self._connection.start()

    async def stop(self) -> None:
        """Unsubscribe for good, and disconnect."""
        self._trouble = "closed"
        await self._connection.stop()

    def condition(self) -> Condition:
        """Whether messages arrive."""
        if self._down_since_s is None:
            return Condition("redis_subscription", True)
        return Condition("redis_subscription", False, f"Redis' messages do not arrive: {self._trouble}")

    def follow(self, run_id: str) -> None:
        """Called each time that the command connection is made, with the run of Redis that it leads to."""
        if self._down_since_s is not None:
            self._connection.retry_now()
        elif run_id != self._run_id:
            self._connection.abort(RedisUnavailable("ELSEWHERE", "the commands moved to another Redis"))

    def _build(self) -> RedisSubscriptionProtocol:
        return RedisSubscriptionProtocol(self._reactor, self._message_received, self._probe_channel.encode())

    async def _on_connect(self, connection: RedisSubscriptionProtocol) -> None:
        run_id = self._commands_run_id()
        if read_info(await connection.ask(("INFO",), GREETING_S)).run_id != run_id:
            raise RedisUnavailable("ELSEWHERE", "another Redis answers than the one that takes the commands")
        for channel in (self._channel, self._probe_channel):
            await connection.ask(("SUBSCRIBE", channel), GREETING_S)
        await self._check(connection)
        self._run_id, self._unreadable = run_id, False
        for_s = self._reactor.seconds() - (self._down_since_s or 0.0)
        self._down_since_s = None
        self._meter.gauge("redis_subscription_up", 1)
        if self._was_up:
            self._meter.count("redis_subscription_restarts_total")
        if self._warned:
            self._log.info("Redis' messages arrive again after {for_s:.1f} s", for_s=for_s)
        self._was_up, self._warned = True, False
        self._trouble = ""
        self._missed()

    async def _check(self, connection: RedisSubscriptionProtocol) -> None:
        """Ping and probe at the same time. A probe that could not be published is not counted."""
        ping = connection.ask(("PING",), CHECK_S_MAX)
        publish = self._publish(self._probe_channel)
        probe = connection.probed().addTimeout(CHECK_S_MAX, self._reactor)
        results = await DeferredList([ping, publish, probe], consumeErrors=True)
        for _, result in results:
            if isinstance(result, Failure):
                result.trap(StoreUnavailable, TimeoutError)  # raises any other error, such as that of a cancellation
        (_, pong), (published, _), (probed, _) = results
        if isinstance(pong, Failure) and getattr(pong.value, "kind", "") in UNANSWERED:  # an error (MISCONF) is an answer
            raise RedisUnavailable("SILENT", "the subscribed connection did not answer in time")
        if published and not probed:
            raise RedisUnavailable("SILENT", "what was published did not come back in time")

    def _message_received(self, message: bytes) -> None:
        try:
            self._on_message(message)
        except Exception:  # a message of another release or program
            self._meter.count("redis_messages_unreadable_total")
            if not self._unreadable:
                self._unreadable = True
                self._log.failure("a message on {channel} cannot be read", channel=self._channel)

    def _commands_up(self) -> bool:
        try:
            return bool(self._commands_run_id())
        except RedisUnavailable:
            return False

    def _on_down(self, trouble: Exception) -> None:
        if self._down_since_s is None:
            self._down_since_s = self._reactor.seconds()
            self._meter.gauge("redis_subscription_up", 0)
        kind = trouble.kind if isinstance(trouble, RedisUnavailable) else ""
        said = describe(trouble)
        if self._trouble in ("closed", said):
            return
        self._trouble = said
        if kind != "AWAY" and self._commands_up():  # otherwise the client logs why commands cannot be sent
            self._warned = True
            self._log.warn("Redis' messages do not arrive: {trouble}", trouble=said)
