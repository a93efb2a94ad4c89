"""The reply to INFO: the run of a Redis, whether it is a master that is ready, and whether it may evict keys."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from scoreboard.storage.redis.errors import RedisUnavailable

_FIELD: Final = re.compile(rb"^(run_id|role|loading|maxmemory|maxmemory_policy):([^\r\n]*)", re.MULTILINE)


class RedisInfo(NamedTuple):
    """The fields of INFO that decide whether a Redis can be used. ``maxmemory_bytes`` is 0 for no limit."""

    run_id: str
    role: str
    loading: bool
    maxmemory_bytes: int
    maxmemory_policy: str

    def require_master(self) -> None:
        """Raise RedisUnavailable unless this Redis takes writes."""
        if self.loading:
            raise RedisUnavailable("LOADING", "Redis reads its file")
        if self.role != "master":
            raise RedisUnavailable("READONLY", "a replica answers")

    @property
    def eviction(self) -> str:
        """One clause: how this Redis may evict keys; "" when it never does.

        Every policy but noeviction counts: the volatile ones evict rate limits, tickets and a board that is being rebuilt.
        """
        if self.maxmemory_bytes == 0 or self.maxmemory_policy in ("", "noeviction"):
            return ""
        return (
            f"Redis may evict keys (maxmemory {self.maxmemory_bytes} bytes, maxmemory-policy {self.maxmemory_policy}): "
            "set maxmemory-policy noeviction"
        )


def read_info(reply: bytes) -> RedisInfo:
    """The fields of an INFO reply. Raises RedisUnavailable when it names no run."""
    fields = {name.decode(): value.decode("utf-8", "replace").strip() for name, value in _FIELD.findall(reply)}
    if not fields.get("run_id"):
        raise RedisUnavailable("ERR", "INFO names no run_id")
    return RedisInfo(
        run_id=fields["run_id"],
        role=fields.get("role", "master"),
        loading=fields.get("loading") == "1",
        maxmemory_bytes=int(fields.get("maxmemory") or 0),
        maxmemory_policy=fields.get("maxmemory_policy", ""),
    )


class Condition(NamedTuple):
    """Whether one thing that the server needs of Redis is there now; if not, one sentence says why."""

    name: str
    ok: bool
    reason: str = ""
