from __future__ import annotations

import pytest

from scoreboard.storage.sql import ledger


@pytest.fixture(autouse=True)
def patient_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk or a pause of the machine fails no probe here. A probe that waits for a lock is refused long before."""
    monkeypatch.setattr(ledger, "PROBE_SECONDS_MAX", 10.0)
