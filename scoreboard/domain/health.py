"""Health: the condition of each dependency of a process."""

from __future__ import annotations

from scoreboard.domain.value import Value


class Condition(Value, frozen=True, kw_only=True):
    """The condition of one dependency of this process.

    ``ok``: it works. ``serving``: this process can serve players nevertheless; if not, a load balancer should not use it.
    ``detail``: the reason why it is not ok, as one plain sentence without secrets; empty if it is ok.
    """

    name: str
    ok: bool
    serving: bool
    detail: str = ""
