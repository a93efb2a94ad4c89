"""Tests of the stores in memory: a test can make them fail and wait, as real stores do by themselves."""

from __future__ import annotations

import pytest

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.players import PlayerSettings
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.awaiting import result_of, started
from tests.storage.claims import award_in, claim


def test_a_broken_ledger_fails_every_call_and_awards_nothing() -> None:
    ledger = MemoryLedger()
    ledger.broken = StoreUnavailable("broken by the test")
    with pytest.raises(StoreUnavailable, match="broken by the test"):
        result_of(ledger.award([claim()], []))
    with pytest.raises(StoreUnavailable, match="broken by the test"):
        result_of(ledger.ping())
    ledger.broken = None
    assert result_of(ledger.board(GLOBAL_BOARD).accounts("", 10)) == []


def test_calls_to_a_paused_ledger_wait_and_run_in_order_after_the_resume() -> None:
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


def test_a_waiting_call_fails_if_the_ledger_breaks_before_the_resume() -> None:
    ledger = MemoryLedger()
    ledger.pause()
    waiting = started(ledger.award([claim()], []))
    ledger.broken = StoreUnavailable("gone")
    ledger.resume()
    failures: list[object] = []
    waiting.addErrback(lambda failure: failures.append(failure.value))
    assert failures == [ledger.broken]


def test_a_broken_player_store_fails_calls_until_it_is_repaired() -> None:
    player_store = MemoryPlayerStore()
    player_store.broken = StoreUnavailable("broken by the test")
    with pytest.raises(StoreUnavailable, match="broken by the test"):
        result_of(player_store.change_settings("amy", PlayerSettings(spectators=False), 0))
    player_store.broken = None
    assert result_of(player_store.revision()) == 0
