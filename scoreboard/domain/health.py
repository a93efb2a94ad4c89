"""Health: the condition of each thing that a process depends on."""

from __future__ import annotations

from scoreboard.domain.value import Value


class Condition(Value, frozen=True, kw_only=True):
    """How one thing that this process depends on fares.

    ``ok``: all is well. ``serving``: this process can do its share all the same; if not, a balancer sends players elsewhere.
    ``detail``: why it is not ok, one plain sentence that strangers may read; empty when it is.
    """

    name: str
    ok: bool
    serving: bool
    detail: str = ""
