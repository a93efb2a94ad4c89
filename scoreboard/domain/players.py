"""What the server keeps about players besides their points: achievements, settings and suspensions."""

from __future__ import annotations

import re
import zlib
from typing import Final, Literal

from scoreboard.domain.value import Value

#: The form of a user id, whatever its source.
USER_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)

TICKET_LIFE_S: Final = 30

Role = Literal["user", "admin", "service", "spectator"]


class Player(Value, frozen=True, kw_only=True):
    """The player of a verified token, which was issued at ``issued_at_s`` and ends at ``expires_at_s``, in Unix seconds."""

    user_id: str
    username: str
    role: Role
    expires_at_s: int
    avatar: str | None = None
    issued_at_s: int = 0

    @property
    def may_play(self) -> bool:
        """Whether this role may initialize and submit actions."""
        return self.role != "spectator"


#: The kind of an achievement: a milestone of the total.
SCORE_MILESTONE: Final[Literal["SCORE_MILESTONE"]] = "SCORE_MILESTONE"

#: The number of shards of the ledger. The shard is written into every row, so this number never changes.
LEDGER_SHARDS: Final = 64


def ledger_shard(user_id: str) -> int:
    """The shard of the ledger that holds all rows of a player: CRC-32 of the id's UTF-8 bytes, modulo 64.

    Every key with a player begins with it, so that a distributed database can keep the rows of a player together.
    """
    return zlib.crc32(user_id.encode()) % LEDGER_SHARDS


def player_key(user_id: str) -> tuple[int, str]:
    """What orders the players in pages of the ledger; the key of "" is before all of them."""
    return (ledger_shard(user_id), user_id) if user_id else (-1, "")


class PlayerSettings(Value, frozen=True, kw_only=True):
    """The settings of a player: whether others may spectate the player's actions."""

    spectators: bool = True


class Achievement(Value, frozen=True, kw_only=True):
    """A milestone that a player's total reached for the first time, with the action and the time."""

    milestone: int
    action_id: str
    at_ms: int


class SuspensionOrder(Value, frozen=True, kw_only=True):
    """An order to suspend a player, or to end a suspension (``suspended`` False). Its operator and reason are kept for ever."""

    suspension_id: str
    user_id: str
    suspended: bool
    operator: str
    reason: str
    at_ms: int


class PlayerChange(Value, frozen=True, kw_only=True):
    """One change of a player's settings or suspension, with its number in the order of commits. An unchanged field is None."""

    revision: int
    user_id: str
    suspended: bool | None = None
    spectators: bool | None = None
