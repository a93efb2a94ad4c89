"""Schemas of the responses, and the functions that fill them from values. camelCase is made here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from scoreboard.domain.actions import BoardRank, Receipt
from scoreboard.domain.board_pages import Page, PlayerRank
from scoreboard.domain.board_state import History
from scoreboard.domain.boards import BoardBucket
from scoreboard.domain.grants import Grant
from scoreboard.domain.health import Condition
from scoreboard.domain.players import SCORE_MILESTONE, Achievement, Player
from scoreboard.domain.refusals import Refusal
from scoreboard.domain.standings import percentile
from scoreboard.net.http.refusals import RefusalBody, refusal_body

Time = Annotated[str, Meta(examples=["2025-10-22T10:30:00Z"])]
#: Present when ranks and reads come from the ledger instead of the board.
Degraded = Literal[True] | UnsetType

encode: Final = msgspec.json.Encoder().encode


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of a response."""


Data = TypeVar("Data", bound=Shape)


class Success(Shape, Generic[Data], frozen=True, kw_only=True):
    """The response to a request that succeeded."""

    success: Literal[True] = True
    data: Data


class BoardRankData(Shape, frozen=True, kw_only=True):
    """The ranks on a board beside the global one, after and before an award that moved it."""

    board: str
    bucket: str | UnsetType = UNSET
    rank: int
    previous_rank: int | None


class ReceiptData(Shape, frozen=True, kw_only=True):
    """The points, total and ranks of an award. ``boards`` are the ranks on other boards that it moved."""

    score_awarded: int
    new_total_score: int
    current_rank: int | None
    previous_rank: int | None
    boards: list[BoardRankData] | UnsetType = UNSET
    degraded: Degraded = UNSET


class ReceiptAnswer(Success[ReceiptData], frozen=True, kw_only=True):
    """The response to a submission that was awarded."""

    message: str = "Score updated successfully"


class GrantData(Shape, frozen=True, kw_only=True):
    """A signed action. The submission echoes ``timestamp``."""

    action_id: str
    timestamp: int
    signature: str
    expires_at: int
    expected_score: int


class RowData(Shape, frozen=True, kw_only=True):
    """One row of the board."""

    rank: int
    user_id: str
    username: str
    score: int
    last_updated: Time
    avatar: str | None


class BoardData(Shape, frozen=True, kw_only=True):
    """A range of a board; ``total`` counts all players on it. ``board`` and ``bucket`` are absent for the global board."""

    board: str | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    leaderboard: list[RowData]
    total: int
    timestamp: Time
    degraded: Degraded = UNSET


class ChangeData(Shape, frozen=True, kw_only=True):
    """A player's latest score. A rank is null when the player is or was not on the board."""

    user_id: str
    username: str
    new_score: int
    new_rank: int | None
    previous_rank: int | None
    timestamp: Time


class ChangesData(Shape, frozen=True, kw_only=True):
    """The changes up to ``cursor``. With ``reset`` they are not known, and the top replaces what the client has."""

    cursor: Annotated[str, Meta(examples=["1761120000123.17"])]
    reset: bool
    changes: list[ChangeData]
    leaderboard: list[RowData] | UnsetType = UNSET
    total: int
    timestamp: Time


class RankData(Shape, frozen=True, kw_only=True):
    """One player's rank. Without a score, rank, percentile and time are null. ``board`` and ``bucket`` as in BoardData."""

    board: str | UnsetType = UNSET
    bucket: str | UnsetType = UNSET
    user_id: str
    username: str
    score: int
    rank: int | None
    percentile: float | None
    last_updated: Time | None
    degraded: Degraded = UNSET


class AchievementData(Shape, frozen=True, kw_only=True):
    """An achievement, unlocked once for ever: the milestone, in points."""

    type: Literal["SCORE_MILESTONE"] = SCORE_MILESTONE
    milestone: int
    unlocked_at: Time


class AchievementsData(Shape, frozen=True, kw_only=True):
    """All achievements of a player, oldest first."""

    achievements: list[AchievementData]


class SettingsData(Shape, frozen=True, kw_only=True):
    """A player's settings. ``spectators``: whether others may follow the player's actions as they happen."""

    spectators: bool


class TokenData(Shape, frozen=True, kw_only=True):
    """A spectator's token."""

    token: str
    expires_at: int


class TicketData(Shape, frozen=True, kw_only=True):
    """A ticket in place of a token, for one use within 30 seconds."""

    ticket: str
    expires_at: int


class AliveAnswer(Shape, frozen=True, kw_only=True):
    """The response to a liveness probe."""

    success: Literal[True] = True
    message: str = "Alive"


class ConditionData(Shape, frozen=True, kw_only=True):
    """One condition of the server; ``detail`` says why it is not ok."""

    name: str
    ok: bool
    serving: bool
    detail: str


class ReadyData(Shape, frozen=True, kw_only=True):
    """Whether each condition is ok, by name, and the conditions in full."""

    stores: dict[str, bool]
    conditions: list[ConditionData]


class RefusalAnswer(RefusalBody, frozen=True, kw_only=True):
    """A refusal; with the original receipt when the action was already awarded."""

    data: ReceiptData | UnsetType = UNSET


class NotReadyAnswer(RefusalBody, frozen=True, kw_only=True):
    """The response of a server that cannot serve; with ``?strict``: that is not well. ``data`` is that of a 200."""

    data: ReadyData


def iso(at_ms: int) -> str:
    """A time in ISO 8601 and UTC; milliseconds only when there are any."""
    time_utc = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return time_utc.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds")[:-6] + "Z"


def receipt_data(receipt: Receipt) -> ReceiptData:
    """The data of a receipt."""
    return ReceiptData(
        score_awarded=receipt.points,
        new_total_score=receipt.total,
        current_rank=receipt.rank,
        previous_rank=receipt.previous_rank,
        boards=[_board_rank_data(rank) for rank in receipt.boards] or UNSET,
        degraded=receipt.degraded or UNSET,
    )


def _board_rank_data(one: BoardRank) -> BoardRankData:
    return BoardRankData(board=one.board_id, bucket=one.bucket or UNSET, rank=one.rank, previous_rank=one.previous_rank)


def grant_data(grant: Grant, signature: str) -> GrantData:
    """The data of a grant, with its signature."""
    return GrantData(
        action_id=grant.action_id,
        timestamp=grant.issued_at_ms,
        signature=signature,
        expires_at=grant.expires_at_ms,
        expected_score=grant.points,
    )


def board_data(page: Page, bucket: BoardBucket) -> BoardData:
    """The data of a page."""
    return BoardData(
        **_named(bucket),
        leaderboard=_rows(page),
        total=page.total,
        timestamp=iso(page.read_at_ms),
        degraded=page.degraded or UNSET,
    )


def _named(bucket: BoardBucket) -> dict[str, str]:
    """The names of a bucket; none for the global board."""
    if bucket.is_global:
        return {}
    return {"board": bucket.board_id, "bucket": bucket.bucket} if bucket.bucket else {"board": bucket.board_id}


def changes_data(history: History) -> ChangesData:
    """The data of a history: with the top, unless nothing changed."""
    page, changes = history.page, history.changes
    return ChangesData(
        cursor=page.cursor.text,
        reset=changes is None,
        changes=[
            ChangeData(
                user_id=change.user_id,
                username=change.username,
                new_score=change.points,
                new_rank=change.rank,
                previous_rank=change.previous_rank,
                timestamp=iso(change.at_ms),
            )
            for change in changes or ()
        ],
        leaderboard=UNSET if changes == () else _rows(page),
        total=page.total,
        timestamp=iso(page.read_at_ms),
    )


def _rows(page: Page) -> list[RowData]:
    return [
        RowData(
            rank=row.rank,
            user_id=row.user_id,
            username=row.username,
            score=row.points,
            last_updated=iso(row.updated_at_ms),
            avatar=row.avatar,
        )
        for row in page.rows
    ]


def rank_data(player: Player, player_rank: PlayerRank, bucket: BoardBucket) -> RankData:
    """The data of a player's rank, with the name that the token gives."""
    return RankData(
        **_named(bucket),
        user_id=player.user_id,
        username=player.username,
        score=player_rank.points,
        rank=player_rank.rank,
        percentile=None if player_rank.rank is None else percentile(player_rank.rank, player_rank.total),
        last_updated=None if player_rank.updated_at_ms is None else iso(player_rank.updated_at_ms),
        degraded=player_rank.degraded or UNSET,
    )


def achievements_data(achievements: Iterable[Achievement]) -> AchievementsData:
    """The data of achievements."""
    return AchievementsData(
        achievements=[AchievementData(milestone=one.milestone, unlocked_at=iso(one.at_ms)) for one in achievements]
    )


def ready_data(conditions: Sequence[Condition]) -> ReadyData:
    """The data of the conditions."""
    return ReadyData(
        stores={one.name: one.ok for one in conditions},
        conditions=[ConditionData(name=one.name, ok=one.ok, serving=one.serving, detail=one.detail) for one in conditions],
    )


def not_ready(refusal: Refusal, data: ReadyData) -> NotReadyAnswer:
    """The response of a server that is not ready, with all conditions."""
    return NotReadyAnswer(**msgspec.structs.asdict(refusal_body(refusal)), data=data)


def already_used(refusal: Refusal) -> RefusalAnswer:
    """The response to an action that was awarded already, with the original receipt if the refusal has it."""
    data = UNSET if refusal.receipt is None else receipt_data(refusal.receipt)
    return RefusalAnswer(**msgspec.structs.asdict(refusal_body(refusal)), data=data)
