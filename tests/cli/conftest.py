from __future__ import annotations

import pytest
from twisted.internet import task

from scoreboard.domain.boards import GLOBAL_BOARD
from scoreboard.storage.memory.board import MemoryBoard
from scoreboard.storage.memory.ledger import MemoryLedger
from scoreboard.storage.memory.players import MemoryPlayerStore
from tests.cli.harness import NOW_MS, CliHarness, FakeAdminApi


@pytest.fixture
def cli() -> CliHarness:
    clock = task.Clock()
    clock.advance(NOW_MS / 1000)
    server_board = MemoryBoard(GLOBAL_BOARD, lambda: NOW_MS)
    server_board.shared_state.begin(1)
    ledger = MemoryLedger()
    admin = FakeAdminApi(
        ledger, MemoryPlayerStore(ledger.achievements), MemoryBoard(GLOBAL_BOARD, lambda: NOW_MS, server_board.shared_state)
    )
    return CliHarness(admin, clock, {"USER": "ada"}, server_board)
