"""Mailbox of an actor: a bounded queue of letters, and one coroutine that handles them.

The coroutine takes all letters that wait, up to a batch, and nothing else changes the actor's state. A letter waits for a limited
time. A *tell* gets no answer, an *ask* gets one. An error in a batch is logged and goes to the callers that asked, and the actor
continues. A stop handles the letters that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from scoreboard.background import report_failure
from scoreboard.boundaries.health import Meter

Letter = TypeVar("Letter")
Answer = TypeVar("Answer")


class MailboxFull(Exception):
    """The mailbox is full."""


class MailboxLate(Exception):
    """The letter waited for too long. It was not handled and will not be."""


class MailboxClosed(Exception):
    """The actor is stopping or has stopped."""


class Envelope(Generic[Letter, Answer]):
    """A letter with the time of its arrival and, for an ask, the caller. It is answered at most once."""

    __slots__ = ("_caller", "came_s", "letter")

    def __init__(self, letter: Letter, caller: Deferred[Answer] | None, came_s: float) -> None:
        self.letter = letter
        self.came_s = came_s
        self._caller = caller

    def answer(self, answer: Answer | Failure) -> None:
        """Answer the caller; with a Failure, the ask fails."""
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.callback(answer)


class Mailbox(Generic[Letter, Answer]):
    """Gives ``handle`` batches of at most ``batch_max`` envelopes, in order of arrival, one batch at a time.

    A letter that has waited ``wait_s_max`` for its batch is answered with MailboxLate.
    """

    def __init__(
        self,
        handle: Callable[[list[Envelope[Letter, Answer]]], Awaitable[None]],
        *,
        letters_max: int,
        batch_max: int,
        wait_s_max: float,
        clock: IReactorTime,
        meter: Meter,
    ) -> None:
        self._handle = handle
        self._meter = meter
        self._wait_s_max = wait_s_max
        self._clock = clock
        self._expiry: IDelayedCall | None = None
        self._letters_max = letters_max
        self._batch_max = batch_max
        self._waiting: deque[Envelope[Letter, Answer]] = deque()
        self._draining = False
        #: Kept, and not waited for: `_drain` itself logs and counts what fails, which costs an award less than an errback.
        self._drain_call: Deferred[None] | None = None
        self._closed = False
        self._idle: list[Deferred[None]] = []

    @property
    def busy(self) -> bool:
        """Whether a batch is being handled."""
        return self._draining

    def tell(self, letter: Letter) -> None:
        """Queue a letter. Raises MailboxFull or MailboxClosed."""
        self._put(letter, None)

    def ask(self, letter: Letter) -> Deferred[Answer]:
        """Queue a letter and return its answer to come. Raises MailboxFull or MailboxClosed at once."""
        caller: Deferred[Answer] = Deferred()
        self._put(letter, caller)
        return caller

    async def close(self) -> None:
        """Take no more letters, and return when those that wait are handled."""
        self._closed = True
        if self._draining:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _put(self, letter: Letter, caller: Deferred[Answer] | None) -> None:
        if self._closed:
            raise MailboxClosed
        if len(self._waiting) >= self._letters_max:
            raise MailboxFull
        self._waiting.append(Envelope(letter, caller, self._clock.seconds()))
        if not self._draining:
            self._draining = True
            self._drain_call = ensureDeferred(self._drain())
        elif self._expiry is None:
            self._expiry = self._clock.callLater(self._wait_s_max, self._expire)

    def _expire(self) -> None:
        """Answer the letters that are late. One timer serves all: it is due when the first letter is late, or earlier."""
        self._expiry = None
        now_s = self._clock.seconds()
        late: list[Envelope[Letter, Answer]] = []
        while self._waiting and now_s - self._waiting[0].came_s >= self._wait_s_max:
            late.append(self._waiting.popleft())
        if self._waiting:
            self._expiry = self._clock.callLater(self._waiting[0].came_s + self._wait_s_max - now_s, self._expire)
        for envelope in late:
            envelope.answer(Failure(MailboxLate()))

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            try:
                await self._handle(batch)
            except Exception:
                failure = Failure()
                said = "a batch of {letters} letters could not be handled"
                report_failure("mailbox", self._meter, failure, said, letters=len(batch))
                for envelope in batch:
                    envelope.answer(failure)
        self._draining = False
        if self._closed and self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)
