"""What the house keeps of players besides their points: what they unlocked, what they wish, whether they are suspended."""

from __future__ import annotations

import re
import zlib
from typing import Final, Literal

from scoreboard.domain.value import Value

#: What a user id may look like, wherever it comes from.
USER_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)

TICKET_LIFE_S: Final = 30

Role = Literal["user", "admin", "service", "spectator"]


class Player(Value, frozen=True, kw_only=True):
    """Who a verified token says is asking; ``expires_at_s`` is the token's own end, in Unix seconds."""

    user_id: str
    username: str
    role: Role
    expires_at_s: int
    avatar: str | None = None

    @property
    def may_play(self) -> bool:
        """Whether this role may initialize and submit actions."""
        return self.role != "spectator"


#: What kind of achievement a milestone of one's total is.
SCORE_MILESTONE: Final[Literal["SCORE_MILESTONE"]] = "SCORE_MILESTONE"


#: Into how many shards the ledger is cut. Written into every row, so it never changes.
LEDGER_SHARDS: Final = 64


def ledger_shard(user_id: str) -> int:
    """The shard of the ledger that holds all rows of a player: CRC-32 of the id's UTF-8 bytes, modulo 64.

    It stands at the head of every key that holds a player, so that a distributed database can keep a player's rows together.
    """
    return zlib.crc32(user_id.encode()) % LEDGER_SHARDS


class PlayerSettings(Value, frozen=True, kw_only=True):
    """What a player decides: whether others may follow each of the player's actions as it happens."""

    spectators: bool = True


class Achievement(Value, frozen=True, kw_only=True):
    """A milestone that a player's total reached for the first time, by which action and when."""

    milestone: int
    action_id: str
    at_ms: int


class SuspensionOrder(Value, frozen=True, kw_only=True):
    """Suspend a player, or (not ``suspended``) lift it again; who orders it and why is kept for good."""

    suspension_id: str
    user_id: str
    suspended: bool
    operator: str
    reason: str
    at_ms: int


class PlayerChange(Value, frozen=True, kw_only=True):
    """One change of the register, numbered in the order of commits: what it left of what it was about (None: not about that)."""

    revision: int
    user_id: str
    suspended: bool | None = None
    spectators: bool | None = None
