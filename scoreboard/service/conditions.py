"""Conditions for `/readyz`: the state of Redis and of the board, in sentences that any client may read.

The log says more (addresses, runs of Redis, paths of ledgers); a client without a token gets the kind of the trouble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scoreboard.actors.projector import Projector
from scoreboard.domain.health import Condition
from scoreboard.storage.redis.client import RedisClient

_REDIS: Final[Mapping[str, str]] = {
    "redis": "Redis cannot be asked: limits are each process's own, and the board is read from the ledger",
    "redis_writes": "Redis takes no writes: the board is read from the ledger",
    "redis_eviction": "Redis may evict keys: its maxmemory-policy should be noeviction",
    "redis_subscription": "What other servers award is not heard: this server's screens may be a second late",
}

_REFUSED: Final = (
    "Redis refuses what REDIS_URL says (the log says what): limits are each process's own, the board is the ledger's"
)


def redis_conditions(client: RedisClient) -> Sequence[Condition]:
    """The conditions of Redis. Without Redis all processes serve alike; a process that only lost its subscription does not."""
    return [
        Condition(
            name=name,
            ok=ok,
            serving=ok or name != "redis_subscription" or not client.up,
            detail="" if ok else _REFUSED if name == "redis" and client.misconfigured else _REDIS[name],
        )
        for name, ok, _ in client.conditions()
    ]


def board_conditions(projector: Projector) -> Sequence[Condition]:
    """Whether the board follows the ledger. While it does not, submissions are awarded and reads come from the ledger."""
    return [Condition(name="board", ok=projector.in_sync, serving=True, detail=projector.condition)]
