"""Schemas of the list of action types: what the catalogue makes public, with the metadata of each type as a JSON Schema."""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Any

from msgspec import Meta

from scoreboard.domain.rules import ActionRule, Catalogue, FieldRule
from scoreboard.web.schemas import Shape

Milliseconds = Annotated[int, Meta(ge=0)]


class ActionTypeData(Shape, frozen=True, kw_only=True):
    """One action type: its points, its limits, and the metadata that it takes.

    ``points_by`` gives, for one member of the metadata, the points of each value. Without that member ``points`` holds.
    ``metadata_schema`` is a JSON Schema (2020-12) of the metadata at the initialization.
    """

    action_type: str
    points: int
    points_by: dict[str, dict[str, int]]
    duration_ms_min: Milliseconds
    daily_max: int | None
    requires: list[str]
    metadata_schema: dict[str, Any]


class ActionTypesData(Shape, frozen=True, kw_only=True):
    """All public action types, and the limits of every action: how long it is valid, how many a player may have open."""

    actions: list[ActionTypeData]
    expiration_ms: Milliseconds
    open_actions_max: int


def action_types_data(catalogue: Catalogue, expiration_ms: int, open_actions_max: int) -> ActionTypesData:
    """The data of the catalogue, in its order, without the action types that are not public, and without their names."""
    private = {rule.action_type for rule in catalogue.values() if not rule.public}
    return ActionTypesData(
        actions=[_action_type_data(rule, private) for rule in catalogue.values() if rule.public],
        expiration_ms=expiration_ms,
        open_actions_max=open_actions_max,
    )


def _action_type_data(rule: ActionRule, private: Set[str]) -> ActionTypeData:
    by_value = {str(value).lower() if isinstance(value, bool) else str(value): points for value, points in rule.points_by}
    return ActionTypeData(
        action_type=rule.action_type,
        points=rule.points,
        points_by={} if rule.points_field is None else {rule.points_field: by_value},
        duration_ms_min=rule.duration_ms_min,
        daily_max=rule.daily_max,
        requires=[needed for needed in rule.requires if needed not in private],
        metadata_schema={
            "type": "object",
            "properties": {field.name: _field_schema(field) for field in rule.fields},
            "required": [field.name for field in rule.fields if field.required],
            "additionalProperties": False,
        },
    )


def _field_schema(field: FieldRule) -> dict[str, Any]:
    text = field.kind == "string"
    keywords = {
        "type": field.kind,
        "enum": list(field.choices) or None,
        "maxLength": field.length_max if text else None,
        "pattern": f"^(?:{field.pattern})$" if text and field.pattern is not None else None,
        "minimum": field.minimum,
        "maximum": field.maximum,
    }
    return {keyword: value for keyword, value in keywords.items() if value is not None}
