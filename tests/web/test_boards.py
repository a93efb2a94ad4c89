"""Reads of boards beside the global one over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from scoreboard.domain.actions import BoardRank, Receipt
from scoreboard.domain.board_pages import PlayerRank
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.periods import AllTime, Bucket, CalendarPeriod, Period, Seasons, Slots
from scoreboard.web.board_schemas import board_info
from scoreboard.zones import zone_named
from tests.web.harness import NOW_S, Harness
from tests.web.test_scores import BOARD, ME, row, submit

BOARDS = "/api/v1/boards"


def with_rows() -> Harness:
    harness = Harness()
    harness.ranking.rows = (row(1, "user-1", "Ada", 900, 3),)
    harness.boards.daily.rows = (row(1, "user-2", "Bob", 20, 2),)
    return harness


@pytest.mark.parametrize(
    ("query", "asked", "first"),
    [
        ("", ("global", None), "user-1"),
        ("?board=global", ("global", None), "user-1"),
        ("?period=alltime", ("global", None), "user-1"),
        ("?board=daily", ("daily", None), "user-2"),
        ("?period=daily&limit=5", ("daily", None), "user-2"),
        ("?board=daily&bucket=2026-11-28", ("daily", "2026-11-28"), "user-2"),
    ],
)
def test_the_board_is_the_one_that_the_query_names(query: str, asked: tuple[str, str | None], first: str) -> None:
    harness = with_rows()
    data = harness.ask("GET", BOARD + query).json["data"]
    assert [one["userId"] for one in data["leaderboard"]] == [first]
    assert harness.boards.asked == [asked]
    named = {name: data[name] for name in ("board", "bucket") if name in data}
    assert named == ({} if asked[0] == "global" else {"board": "daily", "bucket": "2026-11-28"})


def test_boards_at_one_cursor_do_not_share_a_response_or_a_tag() -> None:
    harness = with_rows()
    harness.boards.daily.cursor = harness.ranking.cursor = Cursor(epoch=7, seq=3)
    for _ in range(2):
        tags = [harness.ask("GET", BOARD + query).headers["etag"] for query in ("", "?board=daily")]
        assert tags == ['"7-3-10-0"', '"daily:2026-11-28-7-3-10-0"']
    assert (harness.ranking.reads, harness.boards.daily.reads) == (1, 1)
    not_modified = harness.ask("GET", BOARD + "?board=daily", headers={"If-None-Match": tags[1]})
    assert not_modified.status == 304
    assert harness.ask("GET", BOARD + "?board=daily", headers={"If-None-Match": tags[0]}).status == 200


def test_own_ranks_on_two_boards_do_not_share_a_response() -> None:
    harness = with_rows()
    for ranking, rank in ((harness.ranking, 12), (harness.boards.daily, 1)):
        ranking.place_now = PlayerRank(cursor=ranking.cursor, total=20, points=50, rank=rank, updated_at_ms=NOW_S * 1000)
    for _ in range(2):
        found = [harness.ask("GET", ME + query).json["data"] for query in ("", "?board=daily")]
        assert [(one.get("board"), one.get("bucket"), one["rank"]) for one in found] == [
            (None, None, 12),
            ("daily", "2026-11-28", 1),
        ]


@pytest.mark.parametrize("path", [BOARD, ME])
@pytest.mark.parametrize(
    ("query", "name"),
    [("?board=hourly", "board"), ("?board=", "board"), ("?period=yearly", "period"), ("?board=daily&board=daily", "board")],
)
def test_a_board_that_there_is_not_is_refused(path: str, query: str, name: str) -> None:
    reply = Harness().ask("GET", path + query)
    assert (reply.status, reply.json["error"], reply.json["field"]) == (400, "MALFORMED_REQUEST", name)


def test_the_list_names_each_board_with_its_present_bucket() -> None:
    reply = with_rows().ask("GET", BOARDS)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "private, no-store"
    assert reply.json["data"]["boards"] == [
        {"board": "global", "title": "All time", "score": "sum", "keepClosed": 0, "players": 1},
        {
            "board": "daily",
            "title": "Today",
            "score": "sum",
            "period": "daily",
            "zone": "UTC",
            "bucket": "2025-10-22",
            "beginsAt": "2025-10-22T00:00:00Z",
            "endsAt": "2025-10-23T00:00:00Z",
            "keepClosed": 7,
            "players": 1,
        },
    ]


def test_a_board_that_cannot_be_read_is_listed_without_its_players() -> None:
    harness = with_rows()
    harness.boards.daily.fault = StoreUnavailable("away")
    assert [one["players"] for one in harness.ask("GET", BOARDS).json["data"]["boards"]] == [1, None]


@pytest.mark.parametrize("path", [BOARDS, BOARD + "?board=daily", ME + "?board=daily"])
def test_boards_need_a_token(path: str) -> None:
    assert Harness().ask("GET", path, headers={"Authorization": ""}).status == 401


def test_a_receipt_has_the_ranks_on_other_boards() -> None:
    harness = Harness()
    harness.scorekeeper.answer = Receipt(
        points=100,
        total=1_250,
        rank=5,
        previous_rank=7,
        boards=(
            BoardRank(board_id="daily", bucket="2026-11-28", rank=1, previous_rank=None),
            BoardRank(board_id="runs", bucket="", rank=4, previous_rank=5),
        ),
    )
    assert submit(harness, harness.initialized()).json["data"]["boards"] == [
        {"board": "daily", "bucket": "2026-11-28", "rank": 1, "previousRank": None},
        {"board": "runs", "rank": 4, "previousRank": 5},
    ]


@pytest.mark.parametrize("path", ["/api/v1/scores/changes", "/api/v1/scores/stream"])
@pytest.mark.parametrize("query", ["board=daily", "board=global", "board=", "period=daily", "bucket=2026-11-28"])
def test_what_is_live_has_only_the_global_board_and_says_so(path: str, query: str) -> None:
    reply = Harness().ask("GET", f"{path}?{query}")
    assert (reply.status, reply.json["error"], reply.json["field"]) == (400, "MALFORMED_REQUEST", query.partition("=")[0])
    assert reply.json["message"].endswith("only the global board is live")


@pytest.mark.parametrize(
    ("period", "named"),
    [
        (AllTime(), {}),
        (Slots(length_ms=3 * 3_600_000), {"period": "every 3h"}),
        (Slots(length_ms=2 * 86_400_000), {"period": "every 2d"}),
        (Slots(length_ms=90 * 60_000), {"period": "every 90m"}),
        (Seasons(seasons=(Bucket(name="autumn", begins_ms=0, ends_ms=9),)), {"period": "seasons"}),
        (CalendarPeriod(unit="weekly", zone=zone_named("Asia/Tokyo")), {"period": "weekly", "zone": "Asia/Tokyo"}),
    ],
)
def test_the_list_names_each_kind_of_period(period: Period, named: dict[str, str]) -> None:
    info = board_info(BoardDefinition(board_id="one", title="One", period=period), None, None)
    written = msgspec.to_builtins(info)
    assert {name: written[name] for name in ("period", "zone") if name in written} == named
    assert "bucket" not in written
