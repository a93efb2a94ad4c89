"""Tests of the rules of the catalogue: points and metadata."""

from __future__ import annotations

import pytest

from scoreboard.domain.rules import ActionRule, FieldRule, check_metadata, points_for

QUEST = ActionRule(
    action_type="COMPLETE_QUEST",
    points=100,
    fields=(
        FieldRule(name="questId", kind="string", required=True, pattern=r"[a-z0-9-]+", length_max=16),
        FieldRule(name="difficulty", kind="string", choices=("easy", "hard")),
        FieldRule(name="party", kind="integer", minimum=1, maximum=4),
        FieldRule(name="ratio", kind="number"),
        FieldRule(name="flawless", kind="boolean"),
    ),
    points_field="difficulty",
    points_by=(("easy", 50), ("hard", 250)),
)


@pytest.mark.parametrize(("metadata", "points"), [({}, 100), ({"difficulty": "easy"}, 50), ({"difficulty": "hard"}, 250)])
def test_the_difficulty_determines_the_points(metadata: dict[str, object], points: int) -> None:
    assert points_for(QUEST, metadata) == points


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({}, "metadata.questId"),
        ({"questId": 5}, "metadata.questId"),
        ({"questId": "Q!"}, "metadata.questId"),
        ({"questId": "q" * 17}, "metadata.questId"),
        ({"questId": "q\n"}, "metadata.questId"),
        ({"questId": "q", "difficulty": "godlike"}, "metadata.difficulty"),
        ({"questId": "q", "party": True}, "metadata.party"),
        ({"questId": "q", "party": 0}, "metadata.party"),
        ({"questId": "q", "party": 5}, "metadata.party"),
        ({"questId": "q", "party": 1.5}, "metadata.party"),
        ({"questId": "q", "ratio": False}, "metadata.ratio"),
        ({"questId": "q", "flawless": 1}, "metadata.flawless"),
        ({"questId": "q", "points": 10**6}, "metadata.points"),
    ],
)
def test_the_refusal_names_the_wrong_metadata_field(metadata: dict[str, object], field: str) -> None:
    refusal = check_metadata(QUEST, metadata)
    assert refusal is not None
    assert refusal.field == field


def test_valid_metadata_is_not_refused() -> None:
    whole = {"questId": "quest-1", "difficulty": "hard", "party": 4, "ratio": 0.5, "flawless": True}
    assert check_metadata(QUEST, whole) is None
