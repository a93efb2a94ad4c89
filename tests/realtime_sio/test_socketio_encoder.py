"""Socket.IO encoder: which event of a piece has the offset."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scoreboard.domain.cursor import Cursor
from scoreboard.domain.events import BoardChanged, Event, RankAchieved, ScoreChanged
from scoreboard.net.websocket.frames import unframed
from scoreboard.realtime.socketio.encoders import SocketIoEncoder
from tests.realtime.harness import page

CURSOR = Cursor(epoch=3, seq=17)
MOVED = ScoreChanged(cursor=CURSOR, user_id="u", username='",]"', points=9, rank=11, previous_rank=None, at_ms=0)
ROSE = RankAchieved(cursor=CURSOR, user_id="u", milestone=50, rank=11, previous_rank=None, at_ms=0)
TOP = BoardChanged(page=page(17))
CHANGED = BoardChanged(page=page(17, 1), before=page(16, 2).rows)


def read(frames: bytes) -> list[Any]:
    answered = []
    for is_text, text in unframed(frames):
        assert is_text
        assert text.startswith(b"42")
        answered.append(json.loads(text[2:]))
    return answered


@pytest.mark.parametrize("event", [MOVED, ROSE, TOP, CHANGED])
def test_a_recoverable_event_is_the_plain_event_with_an_offset(event: Event) -> None:
    for rows in (False, True):
        (answered,) = read(SocketIoEncoder(rows=rows).encode((event,)))
        assert len(answered) == 2
        assert read(SocketIoEncoder(rows=rows, recoverable=True).encode((event,))) == [[*answered, "3.17"]]


def test_row_operations_have_an_offset_too() -> None:
    encoders = [SocketIoEncoder(rows=rows, recoverable=True) for rows in (False, True)]
    assert [read(encoder.encode((CHANGED,)))[0][0] for encoder in encoders] == ["leaderboard:update", "leaderboard:rows"]


_events = st.lists(st.sampled_from([MOVED, ROSE, TOP, CHANGED, replace(MOVED, username="x" * 300)]), min_size=1, max_size=6)


@given(_events)
def test_only_the_last_event_of_a_piece_has_the_offset(events: list[Event]) -> None:
    plain, recoverable = SocketIoEncoder(rows=True), SocketIoEncoder(rows=True, recoverable=True)
    *before, last = read(recoverable.encode(events))
    *plain_before, plain_last = read(plain.encode(events))
    assert before == plain_before
    assert last == [*plain_last, "3.17"]


def test_no_events_are_no_bytes() -> None:
    assert SocketIoEncoder(recoverable=True).encode(()) == b""


def test_events_that_are_followed_by_others_in_one_piece_have_no_offset() -> None:
    encoder = SocketIoEncoder(recoverable=True)
    piece = encoder.encode((MOVED, TOP), more=True) + encoder.encode((ROSE,))
    assert [answered[2:] for answered in read(piece)] == [[], [], ["3.17"]]
