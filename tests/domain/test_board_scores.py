"""How awards change the scores of boards, compared with a plain fold over all that a player did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoreboard.domain.board_scores import BoardScore, counted
from scoreboard.domain.boards import BoardBucket, BoardDefinition, ScoreKind

BUCKET = BoardBucket(board_id="one", bucket="2026-11-28")


@dataclass(frozen=True)
class Did:
    value: int
    at_ms: int


def expected(kind: ScoreKind, done: list[Did]) -> tuple[int, int]:
    """The score of these awards, and the time at which it was reached: the first of those since when it is the same."""

    def score(some: list[Did]) -> int:
        values = [one.value for one in some]
        return {"sum": sum(values), "count": len(values), "latest": values[-1], "best": max(values)}[kind]

    scores = [score(done[: number + 1]) for number in range(len(done))]
    since = len(scores) - 1
    while since and scores[since - 1] == scores[-1]:
        since -= 1
    return scores[-1], done[since].at_ms


AWARDS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=30)


@given(st.sampled_from(get_args(ScoreKind)), AWARDS)
def test_a_score_is_what_a_fold_over_all_awards_gives(kind: ScoreKind, awards: list[tuple[int, int]]) -> None:
    board = BoardDefinition(board_id="one", title="One", score=kind)
    found: BoardScore | None = None
    done: list[Did] = []
    for version, (value, later_ms) in enumerate(awards, 1):
        at_ms = (done[-1].at_ms if done else 0) + later_ms
        done.append(Did(value, at_ms))
        found = counted(board, BUCKET, found, value=value, at_ms=at_ms, version=version)
        score, reached_at_ms = expected(kind, done)
        assert found == BoardScore(bucket=BUCKET, score=score, reached_at_ms=reached_at_ms, version=version, actions=len(done))


@pytest.mark.parametrize("kind", get_args(ScoreKind))
def test_a_player_who_is_off_the_board_begins_anew(kind: ScoreKind) -> None:
    board = BoardDefinition(board_id="one", title="One", score=kind)
    off = BoardScore(bucket=BUCKET, score=0, reached_at_ms=None, version=8, actions=0)
    anew = counted(board, BUCKET, off, value=5, at_ms=77, version=9)
    assert anew == counted(board, BUCKET, None, value=5, at_ms=77, version=9)
    assert (anew.reached_at_ms, anew.actions) == (77, 1)
