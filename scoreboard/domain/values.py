"""The nouns that every room speaks of, as frozen values.

Times are whole milliseconds since the Unix epoch (``_ms``), points are whole numbers within ±(2⁵³−1).
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

POINTS_MAX: Final = 2**53 - 1
DAY_MS: Final = 86_400_000
#: How much of the board one may look at, whichever door one asks at.
LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 100
OFFSET_MAX: Final = 10_000
BOARD_ID: Final = "global"

Role = Literal["user", "admin", "service", "spectator"]

#: What a user id may look like, wherever it comes from.
USER_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
#: The one spelling of a version-4 UUID that is accepted.
ACTION_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)

#: How clients write a cursor: two whole numbers as we would write them, neither beyond 15 digits.
_CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})", re.ASCII)

#: What a client said of an action: (key, canonical JSON of the value), sorted by key, no key twice.
Metadata = tuple[tuple[str, bytes], ...]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value: keyword-only, compared by what it holds."""


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


class ClientInfo(Value, frozen=True, kw_only=True):
    """Where a request came from: the client's address and what it calls itself (cut to 256 characters)."""

    address: str
    agent: str


class Submission(Value, frozen=True, kw_only=True):
    """A player's word that an action is done, shape-checked but not yet believed."""

    action_id: str
    action_type: str
    issued_at_ms: int
    metadata: Metadata
    signature: str


class Receipt(Value, frozen=True, kw_only=True):
    """What an award brought. Ranks are null when the board could not be asked (``degraded``)."""

    points: int
    total: int
    rank: int | None
    previous_rank: int | None
    degraded: bool = False


#: A receipt whose ranks are known, with whose action it is for: (user id, action id, receipt).
PlacedReceipt = tuple[str, str, Receipt]


class AwardSummary(Value, frozen=True, kw_only=True):
    """One award as anybody may know it: what was done, what it brought, where that led. No address, metadata or signature."""

    action_type: str
    points: int
    total: int
    at_ms: int


class Standing(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A player's total as the ledger has it, complete enough to draw.

    ``version`` rises by one with every ledger entry of the player. ``reached_at_ms`` is when the total was
    reached; null means the player is not on the board (never scored, or was reset). ``deeds`` led here and ``unlocked`` these
    milestones, as far as whoever tells the standing knows: both are news, told once and never read back.
    """

    user_id: str
    username: str
    avatar: str | None
    points: int
    version: int
    reached_at_ms: int | None
    updated_at_ms: int
    awards: tuple[AwardSummary, ...] = ()
    unlocked: tuple[int, ...] = ()

    def row(self, rank: int) -> Row:
        """The line that this player has on the board at a rank."""
        return Row(
            rank=rank,
            user_id=self.user_id,
            username=self.username,
            avatar=self.avatar,
            points=self.points,
            updated_at_ms=self.updated_at_ms,
        )

    def score_changed(self, cursor: Cursor, rank: int | None, previous_rank: int | None) -> ScoreChanged:
        """What screens are told when this became the player's total."""
        return ScoreChanged(
            cursor=cursor,
            user_id=self.user_id,
            username=self.username,
            points=self.points,
            rank=rank,
            previous_rank=previous_rank,
            at_ms=self.updated_at_ms,
            awards=self.awards,
            unlocked=self.unlocked,
        )


class Row(Value, frozen=True, kw_only=True):
    """One line of the board, rank counted from 1."""

    rank: int
    user_id: str
    username: str
    avatar: str | None
    points: int
    updated_at_ms: int


class Cursor(Value, frozen=True, kw_only=True, order=True):
    """Which state of the board: ``epoch`` rises when the board is rebuilt or Redis was restarted, ``seq`` with every change."""

    epoch: int
    seq: int

    @property
    def text(self) -> str:
        """``<epoch>.<seq>``, as clients bring it back."""
        return f"{self.epoch}.{self.seq}"

    @staticmethod
    def read(text: str) -> Cursor | None:
        """The cursor that the text writes, or None if it writes none."""
        found = _CURSOR.fullmatch(text)
        return None if found is None else Cursor(epoch=int(found[1]), seq=int(found[2]))


class RankRange(Value, frozen=True, kw_only=True, tag="stretch"):
    """A view of the board: ``limit`` rows from beyond the first ``offset``."""

    offset: int
    limit: int


class Around(Value, frozen=True, kw_only=True, tag="around"):
    """A view of the board: a player with ``rows`` neighbours above and below; nothing while the player is not on the board."""

    user_id: str
    rows: int


View = RankRange | Around


class Page(Value, frozen=True, kw_only=True):
    """A stretch of the board at one cursor; ``total`` counts every player on the board."""

    cursor: Cursor
    total: int
    rows: tuple[Row, ...]
    read_at_ms: int
    degraded: bool = False


class PlayerRank(Value, frozen=True, kw_only=True):
    """Where one player stands among ``total``; a player without a score has points 0 and neither rank nor time."""

    cursor: Cursor
    total: int
    points: int
    rank: int | None
    updated_at_ms: int | None
    degraded: bool = False


class ScoreChanged(Value, frozen=True, kw_only=True):
    """A player's total moved and the board shows it: what screens are told. See Standing for deeds and unlocked."""

    cursor: Cursor
    user_id: str
    username: str
    points: int
    rank: int | None
    previous_rank: int | None
    at_ms: int
    awards: tuple[AwardSummary, ...] = ()
    unlocked: tuple[int, ...] = ()


class BoardChanged(Value, frozen=True, kw_only=True):
    """The top of the board. ``before`` is what the room was told last, or None in a snapshot, which replaces whatever was seen.

    ``reset`` says that news may have been missed which nobody will tell any more.
    """

    page: Page
    before: tuple[Row, ...] | None = None
    reset: bool = False


class RankAchieved(Value, frozen=True, kw_only=True):
    """A player entered the top ``milestone`` (100, 50, 10, 3 or 1)."""

    cursor: Cursor
    user_id: str
    milestone: int
    rank: int
    previous_rank: int | None
    at_ms: int


class ViewChanged(Value, frozen=True, kw_only=True):
    """A view of the board. ``before`` is what the viewer was told last, or None in a snapshot, which replaces it."""

    view: View
    page: Page
    before: tuple[Row, ...] | None = None


class PlayerActed(Value, frozen=True, kw_only=True):
    """A spectated player was awarded something; the ranks are those before and after all that one tick tells."""

    cursor: Cursor
    user_id: str
    username: str
    award: AwardSummary
    rank: int | None
    previous_rank: int | None


class AchievementUnlocked(Value, frozen=True, kw_only=True):
    """A player's total reached a milestone for the first time ever; ``points`` is the total now."""

    cursor: Cursor
    user_id: str
    milestone: int
    points: int
    at_ms: int


class SpectatingEnded(Value, frozen=True, kw_only=True):
    """The spectated player wants no spectators any more."""

    user_id: str


class TokenExpiring(Value, frozen=True, kw_only=True):
    """The token of whoever hears this ends soon, at ``expires_at_s``."""

    expires_at_s: int


class PlayerSuspended(Value, frozen=True, kw_only=True):
    """The account of whoever hears this was suspended."""

    user_id: str


#: What a state of the board is told by; each has a cursor.
News = ScoreChanged | BoardChanged | ViewChanged | RankAchieved | PlayerActed | AchievementUnlocked
#: What concerns one client and no state of the board.
Notice = SpectatingEnded | TokenExpiring | PlayerSuspended
Event = News | Notice


def cursor_of(event: Event) -> Cursor | None:
    """The state of the board that an event tells, if it tells one."""
    match event:
        case BoardChanged(page=page) | ViewChanged(page=page):
            return page.cursor
        case ScoreChanged() | RankAchieved() | PlayerActed() | AchievementUnlocked():
            return event.cursor
        case SpectatingEnded() | TokenExpiring() | PlayerSuspended():
            return None


def metadata_json(metadata: Metadata) -> bytes:
    """The metadata as one JSON object, keys in their canonical order."""
    return b"{" + b",".join(msgspec.json.encode(key) + b":" + value for key, value in metadata) + b"}"
