"""The one place that talks to Redis: connected in the background, never queued on, never waited for beyond a deadline.

States: *down* (every call fails at once) and *up*. It is up when a connection was made and the Redis at its other end said
that it is a master and ready. It is down again when the connection is lost, when three calls in a row were not answered in
time (a stopped Redis keeps its connections open: hardening 68), or when Redis says that it may no longer be written to. While
down it knocks every 250 ms: that is the probe of a circuit breaker whose open state is *down*.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from scoreboard.boundaries import Meter
from scoreboard.storage.redis_line import GREETING_S, RedisLine, address
from scoreboard.storage.redis_wire import RedisEar, RedisUnavailable, RedisWire, Word


class Script(NamedTuple):
    """A Lua script: asked for by its digest, and sent in full to a Redis that does not know it."""

    text: str
    sha: str


def script(*names: str) -> Script:
    """A script of ours by its file name, without ``.lua``; of several, each is put before the next."""
    scripts = resources.files("scoreboard.storage").joinpath("scripts")
    text = "".join(scripts.joinpath(f"{name}.lua").read_text() for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class RedisLink:
    """A Redis to call. ``url`` is redis://, rediss:// (TLS) or unix://, with user, password and database where needed."""

    _log = Logger()

    def __init__(self, url: str, reactor: Any, meter: Meter, *, deadline_ms: int = 400) -> None:
        self._reactor = reactor
        self._meter = meter
        self._deadline_s = deadline_ms / 1000
        self._where = address(url, reactor)
        self._wire: RedisWire | None = None
        self._run_id = ""
        self._trouble = "not connected yet"
        self._opened = False
        self._lines = [self._line(lambda: RedisWire(reactor), self._rise, self._sink)]
        self._when_up: list[Callable[[], None]] = []
        self._when_down: list[Callable[[], None]] = []

    @property
    def up(self) -> bool:
        """Whether a call has a chance now."""
        return self._wire is not None and bool(self._wire.connected)

    @property
    def run_id(self) -> str:
        """Names the run of the Redis that answers now; RedisUnavailable when none does."""
        if not self.up:
            raise RedisUnavailable("AWAY", self._trouble)
        return self._run_id

    def on_up(self, told: Callable[[], None]) -> None:
        """Call ``told`` each time that Redis can be asked (again)."""
        self._when_up.append(told)

    def on_down(self, told: Callable[[], None]) -> None:
        """Call ``told`` each time that Redis can be asked no more."""
        self._when_down.append(told)

    def open(self) -> None:
        """Begin to connect, and stay connected until `close`."""
        self._opened = True
        for line in self._lines:
            line.start()

    async def reached(self, within_ms: int) -> None:
        """Return as soon as Redis can be asked; raise RedisUnavailable if that takes too long (the link goes on trying)."""
        if self.up:
            return
        risen: Deferred[None] = Deferred()

        def told() -> None:
            risen.callback(None)

        self._when_up.append(told)
        timer = self._reactor.callLater(within_ms / 1000, lambda: risen.errback(RedisUnavailable("AWAY", self._trouble)))
        try:
            await risen
        finally:
            self._when_up.remove(told)
            if timer.active():
                timer.cancel()

    async def close(self) -> None:
        """Hang up for good."""
        self._opened = False
        for line in self._lines:
            await line.stop()

    def call(self, *command: Word, deadline_ms: int | None = None) -> Deferred[Any]:
        """The reply to one command, strings as bytes; RedisUnavailable (a StoreUnavailable) if there is none in time."""
        if self._wire is None:
            return fail(RedisUnavailable("AWAY", self._trouble))
        deadline_s = self._deadline_s if deadline_ms is None else deadline_ms / 1000
        return self._wire.ask(command, deadline_s).addErrback(self._failed)

    def run(self, what: Script, keys: Sequence[str], arguments: Sequence[Word], deadline_ms: int | None = None) -> Deferred[Any]:
        """The reply of a script, as `call` gives it."""
        rest = (len(keys), *keys, *arguments)

        def unknown(failure: Failure) -> Failure | Deferred[Any]:
            if _kind(failure) == "NOSCRIPT":  # a Redis that was restarted, or told to forget
                return self.call("EVAL", what.text, *rest, deadline_ms=deadline_ms)
            return failure

        return self.call("EVALSHA", what.sha, *rest, deadline_ms=deadline_ms).addErrback(unknown)

    def tell(self, what: Script, keys: Sequence[str], arguments: Sequence[Word]) -> None:
        """Have a script run soon, without waiting for its reply or knowing of its failure; nothing happens while down.

        Sent in full: nobody would hear that Redis does not know it by its digest.
        """
        if self._wire is not None:
            self._wire.tell(("EVAL", what.text, len(keys), *keys, *arguments))

    async def ping(self) -> None:
        """Return if Redis answers; raise RedisUnavailable if not."""
        await self.call("PING")

    def subscribe(self, channel: str, hear: Callable[[bytes], None]) -> None:
        """Hand every message on a channel to ``hear``, from `open` until `close`, on a connection of its own.

        What is published while that connection is down is never heard.
        """

        async def tune_in(ear: RedisWire) -> None:
            await ear.ask(("SUBSCRIBE", channel), GREETING_S)

        line = self._line(lambda: RedisEar(self._reactor, hear), tune_in, lambda: None)
        self._lines.append(line)
        if self._opened:
            line.start()

    def _line(self, build: Callable[[], RedisWire], rise: Any, sink: Callable[[], None]) -> RedisLine:
        return RedisLine(self._reactor, self._where, build, rise=rise, sink=sink, complain=self._complain)

    async def _rise(self, wire: RedisWire) -> None:
        await wire.ask(("PING",), GREETING_S)  # refused while Redis still loads its file
        role = await wire.ask(("ROLE",), GREETING_S)
        if role[0] != b"master":
            raise RedisUnavailable("READONLY", "a replica answers")
        about = await wire.ask(("INFO", "server"), GREETING_S)
        self._run_id = re.findall(rb"run_id:(\w+)", about)[0].decode()
        self._wire, self._trouble = wire, ""
        self._log.info("Redis can be asked")
        for told in list(self._when_up):
            told()

    def _sink(self) -> None:
        self._wire = None
        self._complain(RedisUnavailable("AWAY", "the connection was lost"))
        for told in list(self._when_down):
            told()

    def _complain(self, trouble: Exception) -> None:
        if isinstance(trouble, RedisUnavailable):
            said = f"{trouble.kind}: {trouble.detail}"
        else:
            said = str(trouble) or type(trouble).__name__
        if self._opened and said != self._trouble:  # once, not four times a second
            self._trouble = said
            self._log.warn("Redis cannot be asked: {trouble}", trouble=said)

    def _failed(self, failure: Failure) -> Failure:
        kind = _kind(failure)
        if kind != "NOSCRIPT":
            self._meter.count("redis_failures_total", kind=kind)
        if kind == "READONLY" and self._wire is not None:
            self._wire.hang_up()  # a failover made a replica of it: look for the master
        return failure


def _kind(failure: Failure) -> str:
    trouble = failure.value
    return trouble.kind if isinstance(trouble, RedisUnavailable) else type(trouble).__name__
