"""GET /api/v1/actions: what the catalogue makes public, encoded once, for every token that may read the board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from config.catalogue import load_catalogue
from scoreboard.domain.rules import ActionRule, FieldRule
from tests.web.harness import QUEST, RAID, Harness

ROOT = Path(__file__).parents[2]
PATH = "/api/v1/actions"


def listed(*rules: ActionRule) -> Any:
    harness = Harness()
    handlers = replace(harness.api.actions, catalogue={rule.action_type: rule for rule in rules})
    harness.api = replace(harness.api, actions=handlers)
    harness.site = harness._build_site()
    reply = harness.ask("GET", PATH)
    assert reply.status == 200
    return reply.json["data"]["actions"]


def test_the_list_has_each_action_type_with_its_points_limits_and_metadata() -> None:
    harness = Harness()
    reply = harness.ask("GET", PATH)
    assert reply.json == {
        "success": True,
        "data": {
            "actions": [
                {
                    "actionType": "COMPLETE_QUEST",
                    "points": 100,
                    "pointsBy": {},
                    "durationMsMin": 0,
                    "dailyMax": None,
                    "requires": [],
                    "metadataSchema": {
                        "type": "object",
                        "properties": {
                            "questId": {"type": "string", "maxLength": 64},
                            "difficulty": {"type": "string", "enum": ["easy", "normal", "hard"], "maxLength": 128},
                            "level": {"type": "integer", "minimum": 1, "maximum": 99},
                        },
                        "required": ["questId"],
                        "additionalProperties": False,
                    },
                },
                {
                    "actionType": "RAID",
                    "points": 500,
                    "pointsBy": {},
                    "durationMsMin": 30_000,
                    "dailyMax": None,
                    "requires": [],
                    "metadataSchema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
                },
            ],
            "expirationMs": 600_000,
            "openActionsMax": 50,
        },
    }


def test_points_by_has_the_text_of_each_value_of_its_member() -> None:
    ranked = ActionRule(
        action_type="RANKED",
        points=1,
        daily_max=3,
        requires=("RAID",),
        points_field="won",
        points_by=((True, 9), (False, 2)),
        fields=(FieldRule(name="won", kind="boolean", choices=(True, False)),),
    )
    numbered = msgspec.structs.replace(
        ranked,
        action_type="NUMBERED",
        points_field="size",
        points_by=((2, 5), (4, 7)),
        fields=(FieldRule(name="size", kind="integer", choices=(2, 4)),),
    )
    first, second = listed(ranked, numbered)
    assert (first["pointsBy"], first["dailyMax"], first["requires"]) == ({"won": {"true": 9, "false": 2}}, 3, ["RAID"])
    assert first["metadataSchema"]["properties"] == {"won": {"type": "boolean", "enum": [True, False]}}
    assert second["pointsBy"] == {"size": {"2": 5, "4": 7}}


def test_an_action_type_that_is_not_public_is_not_listed() -> None:
    hidden = msgspec.structs.replace(RAID, public=False)
    assert [one["actionType"] for one in listed(hidden, QUEST)] == ["COMPLETE_QUEST"]


def test_a_pattern_holds_for_the_whole_text_in_json_schema_as_well() -> None:
    for rule in load_catalogue(ROOT / "config" / "actions.toml", 600_000).values():
        (one,) = listed(rule)
        properties = one["metadataSchema"]["properties"]
        assert list(properties) == [field.name for field in rule.fields]
        for field in rule.fields:
            assert properties[field.name].get("pattern") == (field.pattern and f"^(?:{field.pattern})$")


def test_the_list_is_encoded_once_and_a_client_that_has_it_gets_304() -> None:
    harness = Harness()
    first, second = (harness.ask("GET", PATH, token=harness.token(role=role)) for role in ("user", "spectator"))
    assert first.body == second.body
    assert harness.api.actions._types is harness.api.actions._types
    assert first.headers["cache-control"] == "private, max-age=60"
    tag = first.headers["etag"]
    for held in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        reply = harness.ask("GET", PATH, headers={"If-None-Match": held})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert harness.ask("GET", PATH, headers={"If-None-Match": '"other"'}).status == 200
    head = harness.ask("HEAD", PATH)
    assert (head.status, head.headers["etag"]) == (200, tag)


def test_another_process_with_the_same_catalogue_gives_the_same_tag() -> None:
    assert Harness().ask("GET", PATH).headers["etag"] == Harness().ask("GET", PATH).headers["etag"]


def test_only_a_token_reads_the_list() -> None:
    harness = Harness()
    tag = harness.ask("GET", PATH).headers["etag"]
    for token in (None, "bad"):
        assert harness.ask("GET", PATH, token=token, headers={"If-None-Match": tag}).status == 401
    harness.suspended.add("user-123")
    assert harness.ask("GET", PATH, headers={"If-None-Match": tag}).status == 403


def test_the_list_does_not_name_a_private_action_type_that_another_requires() -> None:
    private = ActionRule(action_type="SECRET_EVENT", points=9_000, public=False)
    actions = listed(private, QUEST, ActionRule(action_type="OPEN_CHEST", points=1, requires=("SECRET_EVENT", QUEST.action_type)))
    assert [(action["actionType"], action["requires"]) for action in actions] == [
        (QUEST.action_type, []),
        ("OPEN_CHEST", [QUEST.action_type]),
    ]
