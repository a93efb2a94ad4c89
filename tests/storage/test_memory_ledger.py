"""The twin can be told to break and to wait, which the real ones do by themselves."""

from __future__ import annotations

import pytest

from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerSettings
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.awaiting import result_of, started
from tests.storage.claims import award_in, claim


def test_while_broken_every_call_fails_and_nothing_is_awarded() -> None:
    ledger = MemoryLedger()
    ledger.broken = StoreUnavailable("out for lunch")
    with pytest.raises(StoreUnavailable, match="out for lunch"):
        result_of(ledger.award([claim()], []))
    with pytest.raises(StoreUnavailable, match="out for lunch"):
        result_of(ledger.ping())
    ledger.broken = None
    assert result_of(ledger.accounts("", 10)) == []


def test_while_paused_calls_wait_and_go_on_in_the_order_of_their_coming() -> None:
    ledger = MemoryLedger()
    ledger.pause()
    results: list[int] = []
    for _ in range(3):
        waiting = started(ledger.award([claim("amy", 10)], []))
        waiting.addCallback(lambda verdicts: results.append(award_in(verdicts[0]).score_after))
    assert results == []
    ledger.resume()
    assert results == [10, 20, 30]
    assert award_in(result_of(ledger.award([claim("amy", 10)], []))[0]).score_after == 40


def test_one_who_waited_meets_a_ledger_that_broke_meanwhile() -> None:
    ledger = MemoryLedger()
    ledger.pause()
    waiting = started(ledger.award([claim()], []))
    ledger.broken = StoreUnavailable("gone")
    ledger.resume()
    failures: list[object] = []
    waiting.addErrback(lambda failure: failures.append(failure.value))
    assert failures == [ledger.broken]


def test_the_registers_twin_breaks_likewise() -> None:
    player_store = MemoryPlayerStore()
    player_store.broken = StoreUnavailable("out for lunch")
    with pytest.raises(StoreUnavailable, match="out for lunch"):
        result_of(player_store.change_settings("amy", PlayerSettings(spectators=False), 0))
    player_store.broken = None
    assert result_of(player_store.revision()) == 0
