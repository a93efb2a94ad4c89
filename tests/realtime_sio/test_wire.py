"""Which event carries the offset, by values alone."""

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
from scoreboard.realtime.socketio.encoders import (
    RecoverableEncoder,
    RecoverableRowsEncoder,
    SocketIoEncoder,
    SocketIoRowsEncoder,
    sealed,
)
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
def test_a_plain_wire_knows_no_offsets_and_a_recoverable_one_says_the_same_with_one(event: Event) -> None:
    for plain, recoverable in ((SocketIoEncoder(), RecoverableEncoder()), (SocketIoRowsEncoder(), RecoverableRowsEncoder())):
        (answered,) = read(plain.frame(event))
        assert len(answered) == 2
        assert read(recoverable.frame(event)) == [[*answered, "3.17"]]


def test_rows_are_rows_with_an_offset_too() -> None:
    assert [read(encoder.frame(CHANGED))[0][0] for encoder in (RecoverableEncoder(), RecoverableRowsEncoder())] == [
        "leaderboard:update",
        "leaderboard:rows",
    ]


_events = st.lists(st.sampled_from([MOVED, ROSE, TOP, CHANGED, replace(MOVED, username="x" * 300)]), min_size=1, max_size=6)


@given(_events)
def test_of_what_leaves_at_once_the_last_event_alone_carries_the_offset(events: list[Event]) -> None:
    plain, recoverable = SocketIoRowsEncoder(), RecoverableRowsEncoder()
    *before, last = read(sealed(b"".join(map(recoverable.frame, events))))
    *plain_before, plain_last = read(b"".join(map(plain.frame, events)))
    assert before == plain_before
    assert last == [*plain_last, "3.17"]


def test_nothing_and_one_event_are_sealed_already() -> None:
    frame = RecoverableEncoder().frame(TOP)
    assert sealed(frame) is frame
    assert sealed(b"") == b""


def test_what_everyone_is_offered_is_sealed_once_whatever_single_players_get_besides() -> None:
    encoder = RecoverableEncoder()
    room, own = encoder.frame(MOVED) + encoder.frame(TOP), encoder.frame(ROSE)
    once = sealed(room)
    assert [answered[2:] for answered in read(sealed(room + own))] == [[], [], ["3.17"]]
    assert sealed(room) is once
