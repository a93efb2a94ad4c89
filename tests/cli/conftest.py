from __future__ import annotations

import pytest
from twisted.internet import task

from scoreboard.storage.memory_board import MemoryBoard
from scoreboard.storage.memory_ledger import MemoryLedger
from scoreboard.storage.memory_register import MemoryRegister
from tests.cli.harness import NOW_MS, House, TwinRoot


@pytest.fixture
def house() -> House:
    clock = task.Clock()
    clock.advance(NOW_MS / 1000)
    server = MemoryBoard(lambda: NOW_MS)
    server.canvas.begin(1)
    ledger = MemoryLedger()
    root = TwinRoot(ledger, MemoryRegister(ledger.achievements), MemoryBoard(lambda: NOW_MS, server.canvas))
    return House(root, clock, {"USER": "ada"}, server)
