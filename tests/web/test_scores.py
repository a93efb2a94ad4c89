"""Scores: the specification's examples, the limits and the caches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.logger import capturedLogs

from scoreboard.domain.actions import ClientInfo, Receipt
from scoreboard.domain.board_pages import PlayerRank, Row
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.refusals import ACTION_EXPIRED, Reason, Refusal, unavailable
from tests.web.harness import NOW_S, Harness, Reply

SUBMIT = "/api/v1/scores/submit"
BOARD = "/api/v1/scores/leaderboard"
ME = "/api/v1/scores/me"


def submit(harness: Harness, submission: dict[str, Any], **more: Any) -> Reply:
    return harness.ask("POST", SUBMIT, body=submission, **more)


def row(rank: int, user_id: str, username: str, points: int, minutes_ago: int, avatar: str | None = None) -> Row:
    at_ms = (NOW_S - 60 * minutes_ago) * 1000
    return Row(rank=rank, user_id=user_id, username=username, avatar=avatar, points=points, updated_at_ms=at_ms)


def test_a_submission_is_answered_as_specified() -> None:
    harness = Harness()
    reply = submit(harness, harness.initialized())
    assert reply.status == 200
    assert reply.json == {
        "success": True,
        "data": {"scoreAwarded": 100, "newTotalScore": 1250, "currentRank": 5, "previousRank": 7},
        "message": "Score updated successfully",
    }
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"


def test_a_forged_signature_is_counted_and_logged_with_who_sent_it() -> None:
    harness = Harness()
    with capturedLogs() as events:
        assert submit(harness, harness.initialized() | {"signature": "v1.a.b.c"}).status == 400
        assert submit(harness, harness.initialized() | {"timestamp": "never"}).status == 400
    assert [(event["log_level"].name, event["user_id"]) for event in events] == [("info", "user-123")]
    assert events[0]["address"]
    assert harness.meter.counts["submissions_refused_total", "forged"] == 1


def test_a_first_score_has_no_previous_rank() -> None:
    harness = Harness()
    harness.scorekeeper.answer = Receipt(points=100, total=100, rank=9, previous_rank=None)
    assert submit(harness, harness.initialized()).json["data"]["previousRank"] is None


def test_a_receipt_without_ranks_says_that_it_is_degraded() -> None:
    harness = Harness()
    harness.scorekeeper.answer = Receipt(points=100, total=100, rank=None, previous_rank=None, degraded=True)
    assert submit(harness, harness.initialized()).json["data"] == {
        "scoreAwarded": 100,
        "newTotalScore": 100,
        "currentRank": None,
        "previousRank": None,
        "degraded": True,
    }


def test_the_scorekeeper_gets_the_grant_the_submission_and_the_client() -> None:
    harness = Harness()
    submission = harness.initialized()
    submission["metadata"]["difficulty"] = "hard"  # added after initialization, as in the specification
    submit(harness, submission, headers={"User-Agent": "a" * 300})
    [(player, read, grant, origin)] = harness.scorekeeper.kept
    assert (player.user_id, grant.points, grant.user_id) == ("user-123", 100, "user-123")
    assert read.metadata == (("difficulty", b'"hard"'), ("questId", b'"quest-123"'))
    assert grant.metadata == (("questId", b'"quest-123"'),)
    assert origin == ClientInfo(address="203.0.113.9", agent="a" * 256)


def test_a_refused_submission_is_answered_as_specified() -> None:
    harness = Harness()
    reply = submit(harness, harness.initialized() | {"signature": "server-generated-signature"})
    assert reply.status == 400
    assert reply.json == {
        "success": False,
        "error": "INVALID_ACTION",
        "message": "Action signature verification failed",
        "code": 4001,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"actionId": "9b2f6f0e-4a52-4c1d-8f5e-2f1f1d0a7c11"},
        {"actionType": "RAID"},
        {"actionType": "NO_SUCH_ACTION"},
        {"timestamp": NOW_S * 1000 + 1},
        {"timestamp": 1},
        {"metadata": {}},
        {"metadata": {"questId": "quest-124"}},
        {"metadata": {"questId": ["quest-123"]}},
        {"signature": "x"},
        {"signature": "v1.a.b.c"},
        {"signature": "é\u0000"},
    ],
    ids=repr,
)
def test_each_mismatch_gets_invalid_action_and_counts_as_five_submissions(changes: dict[str, Any]) -> None:
    harness = Harness()
    reply = submit(harness, harness.initialized() | changes)
    assert (reply.status, reply.json["code"]) == (400, 4001)
    assert harness.rate_limiter.asked[-1][0][-1].cost == 5
    assert harness.scorekeeper.kept == []


def test_another_users_action_is_a_mismatch() -> None:
    harness = Harness()
    assert submit(harness, harness.initialized(), token=harness.token("user-456")).json["code"] == 4001


def test_a_valid_or_unreadable_submission_costs_one() -> None:
    harness = Harness()
    submit(harness, harness.initialized())
    submit(harness, {})
    assert [asked[0][-1].cost for asked in harness.rate_limiter.asked[1:]] == [1, 1]


def test_an_action_issued_by_a_clock_ahead_is_too_early_and_counts_as_one_submission() -> None:
    harness = Harness()
    begun = harness.initialized()
    harness.clock.rightNow -= 5
    reply = submit(harness, begun)
    assert (reply.status, reply.json["code"], reply.json["retryAfter"]) == (409, 4004, 5)
    assert reply.headers["retry-after"] == "5"
    assert harness.rate_limiter.asked[-1][0][-1].cost == 1
    assert harness.meter.counts["submissions_refused_total", "issued_ahead"] == 1
    assert harness.scorekeeper.kept == []
    harness.clock.rightNow += 5
    assert submit(harness, begun).status == 200


def test_metadata_may_come_back_in_another_spelling_of_the_same_value() -> None:
    harness = Harness()
    submission = harness.initialized(level=7)
    raw = json.dumps(submission).replace('"level": 7', '"level": 7.0').encode()
    assert harness.ask("POST", SUBMIT, raw=raw).status == 200


def test_a_retry_is_answered_with_the_original_receipt() -> None:
    harness = Harness()
    harness.scorekeeper.answer = Refusal(
        reason=Reason.ACTION_ALREADY_USED,
        message="This action was already awarded; here is its receipt",
        receipt=Receipt(points=100, total=1250, rank=5, previous_rank=7),
    )
    reply = submit(harness, harness.initialized())
    assert (reply.status, reply.headers["idempotent-replayed"]) == (409, "true")
    assert reply.json == {
        "success": False,
        "error": "ACTION_ALREADY_USED",
        "message": "This action was already awarded; here is its receipt",
        "code": 4003,
        "data": {"scoreAwarded": 100, "newTotalScore": 1250, "currentRank": 5, "previousRank": 7},
    }


def test_the_refusals_of_the_scorekeeper_are_passed_on() -> None:
    harness = Harness()
    harness.scorekeeper.answer = ACTION_EXPIRED
    assert submit(harness, harness.initialized()).json["code"] == 4002
    harness.scorekeeper.answer = unavailable(retry_after_s=3)
    reply = submit(harness, harness.initialized())
    assert (reply.status, reply.json["retryAfter"], reply.headers["retry-after"]) == (503, 3, "3")


def test_a_submission_is_timed() -> None:
    harness = Harness()
    submit(harness, harness.initialized())
    assert harness.meter.durations == {"score_update_duration_seconds": [0.0]}


def test_the_leaderboard_is_answered_as_specified() -> None:
    harness = Harness()
    harness.ranking.rows = (
        row(1, "user-123", "player_one", 9500, 0, "https://cdn.example.com/avatars/user-123.jpg"),
        row(2, "user-456", "pro_gamer", 8700, 5),
    )
    reply = harness.ask("GET", BOARD + "?limit=10")
    assert reply.status == 200
    assert reply.json == {
        "success": True,
        "data": {
            "leaderboard": [
                {
                    "rank": 1,
                    "userId": "user-123",
                    "username": "player_one",
                    "score": 9500,
                    "lastUpdated": "2025-10-22T10:30:00Z",
                    "avatar": "https://cdn.example.com/avatars/user-123.jpg",
                },
                {
                    "rank": 2,
                    "userId": "user-456",
                    "username": "pro_gamer",
                    "score": 8700,
                    "lastUpdated": "2025-10-22T10:25:00Z",
                    "avatar": None,
                },
            ],
            "total": 2,
            "timestamp": "2025-10-22T10:30:15Z",
        },
    }
    assert reply.headers["cache-control"] == "private, no-cache"
    assert reply.headers["etag"] == '"1-5-10-0"'


def test_the_leaderboard_is_read_once_while_nothing_changes() -> None:
    harness = Harness()
    bodies = {harness.ask("GET", BOARD).body for _ in range(3)}
    assert (len(bodies), harness.ranking.reads) == (1, 1)
    harness.ranking.cursor = Cursor(epoch=1, seq=6)
    assert harness.ask("GET", BOARD).headers["etag"] == '"1-6-10-0"'
    assert harness.ranking.reads == 2
    harness.ranking.cursor = Cursor(epoch=2, seq=0)
    assert harness.ask("GET", BOARD + "?offset=5&limit=3").headers["etag"] == '"2-0-3-5"'


def test_a_client_that_has_the_board_gets_304() -> None:
    harness = Harness()
    tag = harness.ask("GET", BOARD).headers["etag"]
    for held in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        reply = harness.ask("GET", BOARD, headers={"If-None-Match": held})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    for held in ('"1-5-10-1"', '"1-5-100-0"', "1-5-10-0", ""):
        assert harness.ask("GET", BOARD, headers={"If-None-Match": held}).status == 200
    harness.ranking.cursor = Cursor(epoch=1, seq=6)
    assert harness.ask("GET", BOARD, headers={"If-None-Match": tag}).status == 200


def test_a_degraded_board_says_so_and_is_not_cached() -> None:
    harness = Harness()
    harness.ranking.degraded = True
    for reads in (1, 2):
        reply = harness.ask("GET", BOARD)
        assert reply.json["data"]["degraded"] is True
        assert "etag" not in reply.headers
        assert reply.headers["cache-control"] == "no-store"
        assert harness.ranking.reads == reads


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-5", "limit=101", "limit=ten", "offset=-1", "offset=10001", "limit=1&limit=2"]
)
def test_a_range_beyond_the_limits_is_refused(query: str) -> None:
    reply = Harness().ask("GET", f"{BOARD}?{query}")
    assert (reply.status, reply.json["code"], reply.json["field"]) == (400, 4000, query.partition("=")[0])


def test_a_players_own_rank_is_answered_as_specified() -> None:
    harness = Harness()
    harness.ranking.place_now = PlayerRank(
        cursor=harness.ranking.cursor, total=310, points=1250, rank=45, updated_at_ms=(NOW_S - 600) * 1000
    )
    reply = harness.ask("GET", ME, token=harness.token("user-789", "current_user"))
    assert reply.json == {
        "success": True,
        "data": {
            "userId": "user-789",
            "username": "current_user",
            "score": 1250,
            "rank": 45,
            "percentile": 85.5,
            "lastUpdated": "2025-10-22T10:20:00Z",
        },
    }
    assert reply.headers["cache-control"] == "private, no-store"


def test_a_player_without_a_score_has_no_rank() -> None:
    data = Harness().ask("GET", ME).json["data"]
    assert (data["score"], data["rank"], data["percentile"], data["lastUpdated"]) == (0, None, None, None)
    assert "degraded" not in data


def test_milliseconds_are_shown_when_there_are_any() -> None:
    harness = Harness()
    harness.ranking.place_now = PlayerRank(
        cursor=harness.ranking.cursor, total=1, points=1, rank=1, updated_at_ms=NOW_S * 1000 + 7
    )
    assert harness.ask("GET", ME).json["data"]["lastUpdated"] == "2025-10-22T10:30:00.007Z"


def test_a_rank_is_read_once_while_nothing_changes_and_never_shown_to_another_player() -> None:
    harness = Harness()
    first, second = harness.token("user-1", "one"), harness.token("user-2", "two")
    for _ in range(2):
        assert harness.ask("GET", ME, token=first).json["data"]["userId"] == "user-1"
        assert harness.ask("GET", ME, token=second).json["data"]["username"] == "two"
    assert harness.ranking.reads == 2
    assert harness.ask("GET", ME, token=harness.token("user-1", "renamed")).json["data"]["username"] == "renamed"
    harness.ranking.cursor = Cursor(epoch=1, seq=6)
    harness.ask("GET", ME, token=first)
    assert harness.ranking.reads == 4


def test_a_degraded_rank_says_so_and_is_not_cached() -> None:
    harness = Harness()
    harness.ranking.degraded = True
    for reads in (1, 2):
        assert harness.ask("GET", ME).json["data"]["degraded"] is True
        assert harness.ranking.reads == reads


@pytest.mark.parametrize("path", [BOARD, ME])
def test_a_response_from_before_the_ledger_was_ahead_is_not_reused(path: str) -> None:
    """The board cannot be updated, so its cursor does not change, but the award is in the ledger."""
    harness = Harness()
    tag = harness.ask("GET", path).headers.get("etag", "none")
    harness.ranking.ledger_ahead_count += 1
    harness.ranking.degraded = True
    reply = harness.ask("GET", path, headers={"If-None-Match": tag})
    assert (reply.status, reply.json["data"]["degraded"], harness.ranking.reads) == (200, True, 2)


@pytest.mark.parametrize("path", [BOARD, ME])
def test_a_read_is_503_while_the_store_is_away(path: str) -> None:
    harness = Harness()
    harness.ranking.fault = StoreUnavailable("gone")
    reply = harness.ask("GET", path)
    assert (reply.status, reply.json["error"], reply.headers["retry-after"]) == (503, "UNAVAILABLE", "1")


def test_a_byte_order_mark_before_json_is_ignored_and_one_of_utf_16_is_named() -> None:
    harness = Harness()
    body = json.dumps(harness.initialized())
    assert harness.ask("POST", "/api/v1/scores/submit", raw=body.encode("utf-8-sig")).status == 200
    for encoding in ("utf-16", "utf-16-be"):
        raw = ("\ufeff" + body if encoding == "utf-16-be" else body).encode(encoding)
        reply = harness.ask("POST", "/api/v1/scores/submit", raw=raw)
        assert (reply.status, reply.json["message"]) == (400, "body: begins with a byte order mark of UTF-16; JSON is UTF-8")
