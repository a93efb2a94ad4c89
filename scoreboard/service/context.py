"""Context of the composition root: what every step of building the server needs, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from scoreboard.domain.rules import Catalogue
from scoreboard.failpoints import Failpoint
from scoreboard.metrics import Metrics
from scoreboard.service.descriptors import Capacity
from scoreboard.service.lifecycle import Lifecycle


@dataclass(frozen=True, kw_only=True)
class ServerContext:
    """The settings and what was made from them before the start, the reactor, the metrics and the lifecycle."""

    settings: Settings
    catalogue: Catalogue
    capacity: Capacity
    failpoint: Failpoint
    reactor: Any
    metrics: Metrics
    lifecycle: Lifecycle
