"""Catalogue of actions as values: the points, the metadata, the limits and the preconditions of each action type.

The catalogue is written in ``config/actions.toml`` and parsed by ``config``; this module only applies it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from scoreboard.domain.refusals import Refusal, malformed
from scoreboard.domain.value import Value

Kind = Literal["string", "integer", "number", "boolean"]
Scalar = str | int | float | bool
_TYPES: Final[dict[Kind, type | tuple[type, ...]]] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


class FieldRule(Value, frozen=True, kw_only=True):
    """The rule of one metadata member. Bounds are inclusive; lengths count characters."""

    name: str
    kind: Kind
    required: bool = False
    choices: tuple[Scalar, ...] = ()
    pattern: str | None = None
    length_max: int = 128
    minimum: float | None = None
    maximum: float | None = None


class ActionRule(Value, frozen=True, kw_only=True):
    """One action type: its points and its rules.

    ``points_by`` gives other points by the value of the metadata member ``points_field``.
    ``duration_ms_min`` is the shortest allowed time between initialize and submit.
    ``daily_max`` is the largest number of awards for each user and UTC day.
    ``requires`` names the action types that the user must have completed before.
    ``public`` says whether the list of action types has it; players may begin it in any case.
    """

    action_type: str
    points: int
    duration_ms_min: int = 0
    daily_max: int | None = None
    requires: tuple[str, ...] = ()
    fields: tuple[FieldRule, ...] = ()
    points_field: str | None = None
    points_by: tuple[tuple[Scalar, int], ...] = ()
    public: bool = True


Catalogue = Mapping[str, ActionRule]


def points_for(rule: ActionRule, metadata: Mapping[str, object]) -> int:
    """The points of this action, by its metadata."""
    if rule.points_field is not None:
        chosen = metadata.get(rule.points_field)
        for value, points in rule.points_by:
            if chosen == value and type(chosen) is type(value):
                return points
    return rule.points


def check_metadata(rule: ActionRule, metadata: Mapping[str, object]) -> Refusal | None:
    """A refusal that names the first wrong member, or None if the metadata fits the rule."""
    known = {field.name: field for field in rule.fields}
    for name in metadata:
        if name not in known:
            return malformed(f"metadata.{name[:64]}", f"{rule.action_type} takes no such metadata")
    for field in rule.fields:
        if field.name not in metadata:
            if field.required:
                return malformed(f"metadata.{field.name}", "is required")
            continue
        complaint = _complaint(field, metadata[field.name])
        if complaint is not None:
            return malformed(f"metadata.{field.name}", complaint)
    return None


def _complaint(field: FieldRule, value: object) -> str | None:
    if not _is_kind(field.kind, value):
        return f"must be of type {field.kind}"
    if field.choices and value not in field.choices:
        return "must be one of " + ", ".join(str(choice) for choice in field.choices)
    if isinstance(value, str):
        if len(value) > field.length_max:
            return f"must have at most {field.length_max} characters"
        if field.pattern is not None and re.fullmatch(field.pattern, value) is None:
            return f"must match {field.pattern}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if field.minimum is not None and value < field.minimum:
            return f"must be at least {field.minimum:g}"
        if field.maximum is not None and value > field.maximum:
            return f"must be at most {field.maximum:g}"
    return None


def _is_kind(kind: Kind, value: object) -> bool:
    if isinstance(value, bool):  # in Python True is an int, but not in JSON
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])
