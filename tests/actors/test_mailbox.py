"""Mailbox: order, batches, limits, and an answer for every caller."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from scoreboard.actors.mailbox import Envelope, Mailbox, MailboxClosed, MailboxFull, MailboxLate
from tests.actors.fakes import FakeMeter
from tests.awaiting import result_of, started


class Echo:
    """An actor that answers each letter with the letter, batch by batch. `hold` stops it until `let_go`."""

    def __init__(self, *, letters_max: int = 100, batch_max: int = 10) -> None:
        self.batches: list[list[int]] = []
        self.step: Deferred[None] | None = None
        self.clock = Clock()
        self.mailbox: Mailbox[int, int] = Mailbox(
            self._handle, letters_max=letters_max, batch_max=batch_max, wait_s_max=3.0, clock=self.clock, meter=FakeMeter()
        )

    async def _handle(self, batch: list[Envelope[int, int]]) -> None:
        self.batches.append([envelope.letter for envelope in batch])
        if self.step is not None:
            await self.step
        for envelope in batch:
            if envelope.letter < 0:
                raise ValueError(envelope.letter)
            envelope.answer(envelope.letter)

    def hold(self) -> Deferred[None]:
        self.step = Deferred()
        return self.step

    def let_go(self) -> None:
        held, self.step = self.step, None
        assert held is not None
        held.callback(None)


async def answer(d: Deferred[int]) -> int:
    return await d


def failed_with(d: Deferred[int]) -> type[BaseException] | None:
    caught: list[Failure] = []
    d.addErrback(caught.append)
    return caught[0].type if caught else None


def test_a_single_letter_is_handled_at_once() -> None:
    assert result_of(answer(Echo().mailbox.ask(5))) == 5


def test_letters_that_arrive_during_a_batch_are_the_next_batch() -> None:
    echo = Echo(batch_max=3)
    echo.hold()
    answers = [echo.mailbox.ask(n) for n in range(6)]
    echo.let_go()
    assert [result_of(answer(d)) for d in answers] == list(range(6))
    assert echo.batches == [[0], [1, 2, 3], [4, 5]]


def test_five_thousand_letters_are_answered_in_order_without_recursion() -> None:
    echo = Echo(letters_max=5_000, batch_max=1)
    echo.hold()
    answers = [echo.mailbox.ask(n) for n in range(5_000)]
    echo.let_go()
    assert [result_of(answer(d)) for d in answers] == list(range(5_000))


def test_a_full_mailbox_raises_at_once() -> None:
    echo = Echo(letters_max=2)
    echo.hold()
    for n in range(3):  # one is handled, two wait
        echo.mailbox.ask(n)
    with pytest.raises(MailboxFull):
        echo.mailbox.ask(3)


def test_an_error_goes_to_the_callers_and_the_actor_continues() -> None:
    echo = Echo()
    assert failed_with(echo.mailbox.ask(-1)) is ValueError
    echo.mailbox.tell(-2)
    assert result_of(answer(echo.mailbox.ask(1))) == 1


def test_a_closed_mailbox_handles_the_waiting_letters_and_takes_no_more() -> None:
    echo = Echo()
    echo.hold()
    answers = [echo.mailbox.ask(1), echo.mailbox.ask(2)]
    closed = started(echo.mailbox.close())
    with pytest.raises(MailboxClosed):
        echo.mailbox.ask(3)
    assert not closed.called
    echo.let_go()
    assert closed.called
    assert [result_of(answer(d)) for d in answers] == [1, 2]


def test_a_letter_that_waited_too_long_is_answered_and_never_handled() -> None:
    echo = Echo()
    echo.hold()
    in_hand, early = echo.mailbox.ask(1), echo.mailbox.ask(2)
    echo.clock.advance(1)
    later = echo.mailbox.ask(3)
    echo.clock.advance(1.9)
    assert not early.called
    echo.clock.advance(0.1)
    assert failed_with(early) is MailboxLate
    assert not later.called
    echo.clock.advance(1)
    assert failed_with(later) is MailboxLate
    last = echo.mailbox.ask(4)
    echo.let_go()
    assert [result_of(answer(d)) for d in (in_hand, last)] == [1, 4]
    assert echo.batches == [[1], [4]]
    echo.clock.advance(3)  # the timer of the last letter has nothing to do
    assert result_of(answer(echo.mailbox.ask(5))) == 5
    assert echo.clock.getDelayedCalls() == []


def test_a_closed_mailbox_leaves_no_timer() -> None:
    echo = Echo()
    echo.hold()
    answers = [echo.mailbox.ask(n) for n in range(2)]
    closed = started(echo.mailbox.close())
    echo.let_go()
    assert closed.called
    assert [result_of(answer(d)) for d in answers] == [0, 1]
    assert echo.clock.getDelayedCalls() == []
