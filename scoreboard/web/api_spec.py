"""OpenAPI operations: method, path, examples and refusals of each. A route of web/app.py is declared with one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from scoreboard.domain.actions import Receipt
from scoreboard.domain.board_pages import LIMIT_DEFAULT, LIMIT_MAX, OFFSET_MAX
from scoreboard.domain.boards import DEFAULT_BOARD
from scoreboard.domain.health import Condition
from scoreboard.domain.refusals import ACTION_EXPIRED, INVALID_ACTION, SUSPENDED, Reason, Refusal, malformed, unavailable
from scoreboard.domain.rules import ActionRule, FieldRule
from scoreboard.domain.value import Value
from scoreboard.net.http.bearer import INVALID_TOKEN, UNAUTHORIZED
from scoreboard.net.http.refusals import NOT_FOUND
from scoreboard.web import action_schemas, schemas
from scoreboard.web.board_schemas import BoardInfo, BoardsData
from scoreboard.web.query_params import WAIT_S_DEFAULT, WAIT_S_MAX
from scoreboard.web.request_bodies import InitializeRequest, SettingsRequest, SubmitRequest
from scoreboard.web.schemas import Shape, Success

_ACTION_ID: Final = "9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11"
_TICKET: Final = "LQOxD9ZlIwtULkzDBlKj_4dYT-tvnFru"
_LEDGER_OK: Final = Condition(name="ledger", ok=True, serving=True)
_LEDGER_BAD: Final = Condition(name="ledger", ok=False, serving=False, detail="The ledger cannot commit")
_REDIS_OK: Final = Condition(name="redis", ok=True, serving=True)
_QUEST: Final = ActionRule(
    action_type="COMPLETE_QUEST",
    points=100,
    points_field="difficulty",
    points_by=(("easy", 50), ("normal", 100), ("hard", 250)),
    fields=(
        FieldRule(name="questId", kind="string", required=True, pattern="[A-Za-z0-9_-]+", length_max=64),
        FieldRule(name="difficulty", kind="string", choices=("easy", "normal", "hard")),
    ),
)
_RECEIPT: Final = Receipt(points=100, total=1250, rank=5, previous_rank=7)


def _sample(reason: Reason, message: str, **more: Any) -> Refusal:
    return Refusal(reason=reason, message=message, **more)


REFUSALS: Final[Mapping[Reason, Refusal]] = {
    refusal.reason: refusal
    for refusal in (
        malformed("actionId", "must be of type string"),
        INVALID_ACTION,
        ACTION_EXPIRED,
        _sample(Reason.ACTION_ALREADY_USED, "This action was already awarded; here is its receipt", receipt=_RECEIPT),
        _sample(Reason.ACTION_TOO_EARLY, "This action cannot have been completed yet; submit it again later", retry_after_s=12),
        _sample(Reason.REQUIREMENT_NOT_MET, "Complete first: COMPLETE_QUEST", field="actionType"),
        _sample(Reason.DAILY_LIMIT, "DAILY_LOGIN counts 1 times a day (UTC)", retry_after_s=43_200),
        _sample(Reason.SCORE_LIMIT, "The total would exceed 9007199254740991 points"),
        UNAUTHORIZED,
        INVALID_TOKEN,
        SUSPENDED,
        _sample(Reason.NOT_FOUND, NOT_FOUND.message),
        _sample(Reason.METHOD_NOT_ALLOWED, "This path takes only GET, HEAD, OPTIONS"),
        _sample(Reason.BODY_TOO_LARGE, "The body may have at most 16384 bytes"),
        _sample(Reason.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json, not compressed"),
        _sample(Reason.RATE_LIMIT_EXCEEDED, "Too many score submissions. Please try again later.", retry_after_s=60),
        unavailable(),
    )
}

_EVERYWHERE: Final = (Reason.MALFORMED_REQUEST, Reason.METHOD_NOT_ALLOWED, Reason.BODY_TOO_LARGE)
_COUNTED: Final = (*_EVERYWHERE, Reason.RATE_LIMIT_EXCEEDED)
_VIEWED: Final = (*_COUNTED, Reason.UNAUTHORIZED, Reason.INVALID_TOKEN, Reason.FORBIDDEN, Reason.UNAVAILABLE)
_PLAYED: Final = (*_VIEWED, Reason.UNSUPPORTED_MEDIA_TYPE)
_JUDGED: Final = (
    Reason.INVALID_ACTION,
    Reason.ACTION_EXPIRED,
    Reason.ACTION_ALREADY_USED,
    Reason.ACTION_TOO_EARLY,
    Reason.REQUIREMENT_NOT_MET,
    Reason.DAILY_LIMIT,
    Reason.SCORE_LIMIT,
)


#: The parameters that choose a board and one of its buckets.
_BOARD_NAMES: Final = (("query", "board", "daily"), ("query", "period", "daily"), ("query", "bucket", "2025-10-22"))


class Operation(Value, frozen=True, kw_only=True):
    """One operation: its parameters, its response, and all reasons with which it refuses."""

    method: str
    path: str
    name: str
    summary: str
    answer: Shape | str
    refusals: tuple[Reason, ...]
    body: msgspec.Struct | None = None
    query: tuple[tuple[str, int, int, int], ...] = ()
    #: Parameters of text: location, name and example.
    texts: tuple[tuple[str, str, str], ...] = ()
    #: The media type of a 200 that is text.
    media: str = "text/plain"
    secured: bool = True
    tagged: bool = False
    #: The body of a 503 that has more members than a refusal.
    unready: schemas.NotReadyAnswer | None = None


def _row(rank: int, user_id: str, username: str, score: int, minute: int) -> schemas.RowData:
    return schemas.RowData(
        rank=rank,
        user_id=user_id,
        username=username,
        score=score,
        last_updated=f"2025-10-22T10:{minute}:00Z",
        avatar=f"https://cdn.example.com/avatars/{user_id}.jpg",
    )


ACTIONS: Final = Operation(
    method="get",
    path="/api/v1/actions",
    name="actions",
    summary="The action types of the catalogue: points, limits and metadata; with If-None-Match, 304 while they are the same",
    answer=Success(data=action_schemas.action_types_data({rule.action_type: rule for rule in (_QUEST,)}, 600_000, 50)),
    refusals=_VIEWED,
    tagged=True,
)

INITIALIZE: Final = Operation(
    method="post",
    path="/api/v1/actions/initialize",
    name="initialize",
    summary="Begin an action: the server signs how many points it will bring",
    body=InitializeRequest(action_type="COMPLETE_QUEST", metadata={"questId": "quest-123"}),
    answer=Success(
        data=schemas.GrantData(
            action_id=_ACTION_ID,
            timestamp=1_698_012_345_678,
            signature="v1.1f0c2d3e.WyJnbG9iYWwiXQ.c2lnbmF0dXJl",
            expires_at=1_698_012_945_678,
            expected_score=100,
        )
    ),
    refusals=_PLAYED,
)

SUBMIT: Final = Operation(
    method="post",
    path="/api/v1/scores/submit",
    name="submit",
    summary="Submit a completed action for its award",
    body=SubmitRequest(
        action_id=_ACTION_ID,
        action_type="COMPLETE_QUEST",
        timestamp=1_698_012_345_678,
        metadata={"questId": "quest-123", "difficulty": "hard"},
        signature="v1.1f0c2d3e.WyJnbG9iYWwiXQ.c2lnbmF0dXJl",
    ),
    answer=schemas.ReceiptAnswer(
        data=schemas.ReceiptData(score_awarded=100, new_total_score=1250, current_rank=5, previous_rank=7)
    ),
    refusals=(*_PLAYED, *_JUDGED),
)

LEADERBOARD: Final = Operation(
    method="get",
    path="/api/v1/scores/leaderboard",
    name="leaderboard",
    summary="A range of a board, the global one by default; with If-None-Match, 304 while it reads the same",
    query=(("limit", 1, LIMIT_MAX, LIMIT_DEFAULT), ("offset", 0, OFFSET_MAX, 0)),
    texts=_BOARD_NAMES,
    answer=Success(
        data=schemas.BoardData(
            leaderboard=[_row(1, "user-123", "player_one", 9500, 30), _row(2, "user-456", "pro_gamer", 8700, 25)],
            total=310,
            timestamp="2025-10-22T10:30:15Z",
        )
    ),
    refusals=_VIEWED,
    tagged=True,
)

CHANGES: Final = Operation(
    method="get",
    path="/api/v1/scores/changes",
    name="changes",
    summary="The changes since a cursor, at once or as soon as there is one; the top where they are no longer known",
    query=(("wait", 0, WAIT_S_MAX, WAIT_S_DEFAULT),),
    texts=(("query", "since", "1761120000123.16"), ("query", "ticket", _TICKET)),
    answer=Success(
        data=schemas.ChangesData(
            cursor="1761120000123.17",
            reset=False,
            changes=[
                schemas.ChangeData(
                    user_id="user-789",
                    username="current_user",
                    new_score=1250,
                    new_rank=45,
                    previous_rank=47,
                    timestamp="2025-10-22T10:30:15Z",
                )
            ],
            leaderboard=[_row(1, "user-123", "player_one", 9500, 30)],
            total=310,
            timestamp="2025-10-22T10:30:15Z",
        )
    ),
    refusals=_VIEWED,
)

STREAM: Final = Operation(
    method="get",
    path="/api/v1/scores/stream",
    name="stream",
    summary="The board's events as server-sent events, from a cursor on",
    texts=(
        ("query", "since", "1761120000123.16"),
        ("query", "ticket", _TICKET),
        ("query", "lastEventId", "1761120000123.16"),
        ("header", "Last-Event-ID", "1761120000123.16"),
    ),
    media="text/event-stream",
    answer='retry: 2000\n\nid: 1761120000123.17\nevent: score:update\ndata: {"type":"SCORE_CHANGED","data":{}}\n\n',
    refusals=_VIEWED,
)

BOARDS: Final = Operation(
    method="get",
    path="/api/v1/boards",
    name="boards",
    summary="All boards: what counts on them, their present buckets, and how many players are on them",
    answer=Success(
        data=BoardsData(
            boards=[
                BoardInfo(board=DEFAULT_BOARD, title="All time", score="sum", keep_closed=0, players=310),
                BoardInfo(
                    board="daily",
                    title="Today",
                    score="sum",
                    period="daily",
                    zone="UTC",
                    bucket="2025-10-22",
                    begins_at="2025-10-22T00:00:00Z",
                    ends_at="2025-10-23T00:00:00Z",
                    keep_closed=7,
                    players=42,
                ),
            ]
        )
    ),
    refusals=_VIEWED,
)

ME: Final = Operation(
    method="get",
    path="/api/v1/scores/me",
    name="me",
    summary="The player's own score and rank on a board, the global one by default",
    texts=_BOARD_NAMES,
    answer=Success(
        data=schemas.RankData(
            user_id="user-789", username="current_user", score=1250, rank=45, percentile=85.5, last_updated="2025-10-22T10:20:00Z"
        )
    ),
    refusals=_VIEWED,
)

ACHIEVEMENTS: Final = Operation(
    method="get",
    path="/api/v1/me/achievements",
    name="achievements",
    summary="The player's own achievements, oldest first",
    answer=Success(
        data=schemas.AchievementsData(
            achievements=[
                schemas.AchievementData(milestone=100, unlocked_at="2025-10-21T18:04:40Z"),
                schemas.AchievementData(milestone=500, unlocked_at="2025-10-22T10:20:00Z"),
            ]
        )
    ),
    refusals=_VIEWED,
)

SETTINGS: Final = Operation(
    method="get",
    path="/api/v1/me/settings",
    name="settings",
    summary="The player's own settings, or the defaults",
    answer=Success(data=schemas.SettingsData(spectators=True)),
    refusals=_VIEWED,
)

CHANGE_SETTINGS: Final = Operation(
    method="put",
    path="/api/v1/me/settings",
    name="change_settings",
    summary="Change whether others may follow the player's actions as they happen",
    body=SettingsRequest(spectators=False),
    answer=Success(data=schemas.SettingsData(spectators=False)),
    refusals=_PLAYED,
)

TICKET: Final = Operation(
    method="post",
    path="/api/v1/auth/ticket",
    name="ticket",
    summary="A ticket in place of a token, for one use within 30 seconds where no header can be sent",
    answer=Success(data=schemas.TicketData(ticket=_TICKET, expires_at=1_698_012_375_678)),
    refusals=_VIEWED,
)

SPECTATOR: Final = Operation(
    method="post",
    path="/api/v1/auth/spectator",
    name="spectator",
    summary="A spectator's token, if the operator opened the board; else 404",
    answer=Success(data=schemas.TokenData(token="eyJhbGciOiJIUzI1NiJ9.e30.c2ln", expires_at=1_698_012_945_678)),  # noqa: S106 -- an example
    refusals=(*_COUNTED, Reason.NOT_FOUND),
    secured=False,
)

HEALTHZ: Final = Operation(
    method="get",
    path="/healthz",
    name="healthz",
    summary="Whether the process lives",
    answer=schemas.AliveAnswer(),
    refusals=_EVERYWHERE,
    secured=False,
)

READYZ: Final = Operation(
    method="get",
    path="/readyz",
    name="readyz",
    summary="Whether this server can serve, also degraded; ?strict: whether all is well; 503 says what is not",
    answer=Success(data=schemas.ready_data((_LEDGER_OK, _REDIS_OK))),
    unready=schemas.not_ready(
        unavailable(f"Not ready: ledger: {_LEDGER_BAD.detail}"), schemas.ready_data((_LEDGER_BAD, _REDIS_OK))
    ),
    texts=(("query", "strict", ""),),
    refusals=(*_EVERYWHERE, Reason.UNAVAILABLE),
    secured=False,
)

METRICS: Final = Operation(
    method="get",
    path="/metrics",
    name="metrics",
    summary="Metrics in the text format of Prometheus",
    answer="score_updates_total 42.0\n",
    refusals=(*_EVERYWHERE, Reason.UNAUTHORIZED, Reason.INVALID_TOKEN, Reason.NOT_FOUND),
    secured=False,
)
