"""Events as frames: the specification's payloads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.boundaries.announcer import EventEncoder
from scoreboard.domain.board_pages import Page
from scoreboard.domain.close_reasons import CloseReason
from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import BoardChanged, Event, RankAchieved, ScoreChanged
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.websocket.frames import close_frame, text_frame
from scoreboard.realtime.native import NativeEncoder
from scoreboard.realtime.payloads import time_text

AT_MS = 1_761_129_015_080
CURSOR = Cursor(epoch=3, seq=18)
_conforms: type[EventEncoder] = NativeEncoder


def unframed(data: bytes) -> bytes:
    """Return the payload of one unmasked text frame, whose length must be encoded as short as RFC 6455 allows."""
    assert data[0] == 0x81
    size, at = data[1], 2
    if size == 126:
        size, at = int.from_bytes(data[2:4], "big"), 4
        assert size > 125
    elif size == 127:
        size, at = int.from_bytes(data[2:10], "big"), 10
        assert size > 65_535
    assert len(data) == at + size
    return data[at:]


@pytest.mark.parametrize(
    ("event", "name", "kind", "data"),
    [
        (
            ScoreChanged(
                cursor=CURSOR, user_id="user-123", username="plåyer_one", points=1250, rank=5, previous_rank=7, at_ms=AT_MS
            ),
            "score:update",
            "SCORE_CHANGED",
            {"userId": "user-123", "username": "plåyer_one", "newScore": 1250, "newRank": 5, "previousRank": 7},
        ),
        (
            ScoreChanged(cursor=CURSOR, user_id="u", username="u", points=0, rank=None, previous_rank=1, at_ms=AT_MS),
            "score:update",
            "SCORE_CHANGED",
            {"userId": "u", "username": "u", "newScore": 0, "newRank": None, "previousRank": 1},
        ),
        (
            RankAchieved(cursor=CURSOR, user_id="user-123", milestone=10, rank=5, previous_rank=None, at_ms=AT_MS),
            "rank:achieved",
            "RANK_ACHIEVED",
            {"userId": "user-123", "milestone": 10, "newRank": 5, "previousRank": None},
        ),
        (
            BoardChanged(page=Page(cursor=CURSOR, total=0, rows=(), read_at_ms=AT_MS)),
            "leaderboard:update",
            "LEADERBOARD_REFRESH",
            {"leaderboard": [], "total": 0},
        ),
    ],
)
def test_an_event_has_the_form_of_the_specification_and_its_cursor(
    event: Event, name: str, kind: str, data: dict[str, Any]
) -> None:
    assert json.loads(unframed(NativeEncoder().encode((event,)))) == {
        "event": name,
        "data": {"type": kind, "data": {**data, "timestamp": "2025-10-22T10:30:15.080Z", "epoch": 3, "seq": 18}},
    }


def test_a_board_read_from_the_ledger_is_marked_as_degraded() -> None:
    page = Page(cursor=CURSOR, total=0, rows=(), read_at_ms=AT_MS, degraded=True)
    answered = json.loads(unframed(NativeEncoder().encode((BoardChanged(page=page),))))["data"]["data"]
    assert answered["degraded"] is True
    assert (
        "degraded"
        not in json.loads(
            unframed(NativeEncoder().encode((BoardChanged(page=Page(cursor=CURSOR, total=0, rows=(), read_at_ms=AT_MS)),)))
        )["data"]["data"]
    )


def test_a_refusal_has_the_name_of_the_field_and_the_time_to_wait() -> None:
    refusal = Refusal(reason=Reason.MALFORMED_REQUEST, message="is required", field="data.token", retry_after_s=3)
    assert json.loads(unframed(NativeEncoder().refuse(refusal, None))) == {
        "event": "error",
        "data": {"code": 4000, "error": "MALFORMED_REQUEST", "message": "data.token: is required", "retryAfter": 3},
    }


@given(st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000]))
def test_a_frame_holds_a_payload_of_any_length(size: int) -> None:
    assert unframed(text_frame(b"x" * size)) == b"x" * size


@given(st.text())
def test_a_close_frame_with_any_reason_fits_a_control_frame(reason: str) -> None:
    data = close_frame(CloseReason(code=1012, reason=reason))
    assert data[:1] == b"\x88"
    assert len(data) == 2 + data[1] <= 127
    assert data[2:4] == b"\x03\xf4"
    data[4:].decode("ascii")


@given(st.integers(0, 4_102_444_800_000))
def test_a_time_is_written_as_javascript_writes_it(at_ms: int) -> None:
    text = time_text(at_ms)
    assert (len(text), text[10], text[-5], text[-1]) == (24, "T", ".", "Z")
    assert int(text[20:23]) == at_ms % 1000
