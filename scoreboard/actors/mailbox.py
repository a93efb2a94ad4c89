"""The mailbox: the only concurrency code in the house.

Letters wait in a bounded line; one coroutine takes them out, as many as have come up to a batch, and nothing else touches
the state behind it. A *tell* wants no answer, an *ask* gets one. An error in handling goes to those who asked; whoever
told hears nothing, the log does, and the actor lives on. A stop answers everyone who waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

Letter = TypeVar("Letter")
Answer = TypeVar("Answer")


class MailboxFull(Exception):
    """No room for another letter; whoever knocks is told at once."""


class MailboxClosed(Exception):
    """The actor has stopped, or is stopping and takes no more."""


class Envelope(Generic[Letter, Answer]):
    """A letter and, if it was asked, whom to answer. Answered at most once."""

    __slots__ = ("_asker", "letter")

    def __init__(self, letter: Letter, asker: Deferred[Answer] | None) -> None:
        self.letter = letter
        self._asker = asker

    def answer(self, answer: Answer) -> None:
        """Give the asker what was asked for."""
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.callback(answer)

    def fail(self, failure: Failure) -> None:
        """Tell the asker that it could not be done."""
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.errback(failure)


class Mailbox(Generic[Letter, Answer]):
    """Hands batches of at most ``batch_max`` envelopes, in order of arrival, to ``handle``, one batch at a time."""

    _log = Logger()

    def __init__(
        self,
        handle: Callable[[list[Envelope[Letter, Answer]]], Awaitable[None]],
        *,
        letters_max: int,
        batch_max: int,
    ) -> None:
        self._handle = handle
        self._letters_max = letters_max
        self._batch_max = batch_max
        self._waiting: deque[Envelope[Letter, Answer]] = deque()
        self._draining = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def tell(self, letter: Letter) -> None:
        """Put a letter in line; raises MailboxFull or MailboxClosed."""
        self._put(Envelope(letter, None))

    def ask(self, letter: Letter) -> Deferred[Answer]:
        """Put a letter in line and wait for its answer; raises MailboxFull or MailboxClosed at once."""
        asker: Deferred[Answer] = Deferred()
        self._put(Envelope(letter, asker))
        return asker

    async def close(self) -> None:
        """Take no more letters, and return when those in line have been handled."""
        self._closed = True
        if self._draining:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def abandon(self) -> None:
        """Take no more letters and answer everyone in line with MailboxClosed; the batch in hand goes on."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().fail(Failure(MailboxClosed()))

    def _put(self, envelope: Envelope[Letter, Answer]) -> None:
        if self._closed:
            raise MailboxClosed
        if len(self._waiting) >= self._letters_max:
            raise MailboxFull
        self._waiting.append(envelope)
        if not self._draining:
            self._draining = True
            ensureDeferred(self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            try:
                await self._handle(batch)
            except Exception:
                self._log.failure("a batch of {letters} letters could not be handled", letters=len(batch))
                failure = Failure()
                for envelope in batch:
                    envelope.fail(failure)
        self._draining = False
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)
