"""Catalogue: it reads the tables of ``actions.toml`` into the rules that the domain applies. Each mistake is one clear line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from config import BadSettings
from scoreboard.domain.entries import RESET
from scoreboard.domain.rules import ActionRule, FieldRule, Scalar
from scoreboard.domain.standings import POINTS_MAX
from scoreboard.named_files import read_regular_file

_ACTION_TYPE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_ACTION_KEYS: Final = ("points", "points_by", "duration_ms_min", "daily_max", "requires", "public", "fields")
_FIELD_KEYS: Final = ("kind", "required", "choices", "pattern", "length_max", "minimum", "maximum")
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
_EXAMPLE: Final = "SCOREBOARD_ACTIONS_FILE=/etc/scoreboard/actions.toml"
_ACTIONS_MAX: Final = 256
_FIELDS_MAX: Final = 16
_TEXT_LENGTH_MAX: Final = 1024

T = TypeVar("T", ActionRule, FieldRule)


class TooSlow(BadSettings):
    """An action takes longer than a grant is valid: its file or ACTION_EXPIRATION_MS is wrong."""

    def __init__(self, rule: ActionRule, expiration_ms: int) -> None:
        super().__init__(f"[{rule.action_type}] duration_ms_min should be shorter than ACTION_EXPIRATION_MS ({expiration_ms})")
        self.rule = rule


def load_catalogue(path: Path, expiration_ms: int, *, is_packaged: bool = False) -> Mapping[str, ActionRule]:
    """The rules in a file, by action type, for grants that are valid for ``expiration_ms``. Raises BadSettings.

    If the file ``is_packaged``, no setting names it, and a grant that is too short is the fault of ACTION_EXPIRATION_MS.
    """
    like = "for example as config/actions.toml"
    try:
        return parse_catalogue(read_regular_file(path).decode("utf-8-sig"), expiration_ms)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise BadSettings(
            f"SCOREBOARD_ACTIONS_FILE should name a readable file, for example {_EXAMPLE}: {path} cannot be read ({why})"
        ) from None
    except TooSlow as error:
        if not is_packaged:
            raise BadSettings(f"SCOREBOARD_ACTIONS_FILE ({path}): {error}, {like}") from None
        slowest = error.rule
        raise BadSettings(
            f"ACTION_EXPIRATION_MS should be more than {slowest.duration_ms_min}, the duration_ms_min of {slowest.action_type} "
            f"in {path}, for example ACTION_EXPIRATION_MS=600000"
        ) from None
    except BadSettings as error:
        raise BadSettings(f"SCOREBOARD_ACTIONS_FILE ({path}): {error}, {like}") from None
    except UnicodeDecodeError:
        raise BadSettings(
            f"SCOREBOARD_ACTIONS_FILE ({path}) should be TOML like config/actions.toml, and TOML is UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"SCOREBOARD_ACTIONS_FILE ({path}) should be TOML like config/actions.toml: {error}") from None


def parse_catalogue(text: str, expiration_ms: int) -> Mapping[str, ActionRule]:
    """The rules in a TOML text. Raises BadSettings naming table and key, or ValueError when it is not TOML."""
    tables = tomllib.loads(text)
    if not 1 <= len(tables) <= _ACTIONS_MAX:
        raise BadSettings(f"should describe 1 to {_ACTIONS_MAX} action types")
    rules = {name: _action(name, table) for name, table in tables.items()}
    slowest = max(rules.values(), key=lambda rule: rule.duration_ms_min)
    if slowest.duration_ms_min >= expiration_ms:
        raise TooSlow(slowest, expiration_ms)
    for rule in rules.values():
        for other in rule.requires:
            if other not in rules:
                raise BadSettings(f"[{rule.action_type}] requires names an unknown action type: {other!r}")
    try:
        TopologicalSorter({name: rule.requires for name, rule in rules.items()}).prepare()
    except CycleError as error:
        raise BadSettings(f"[{error.args[1][0]}] requires forms a cycle: {' → '.join(reversed(error.args[1]))}") from None
    return MappingProxyType(rules)


def _action(name: str, table: object) -> ActionRule:
    where = f"[{name}]"
    if _ACTION_TYPE.fullmatch(name) is None or name == RESET or not isinstance(table, dict):
        raise BadSettings(f"{where} should be a table named in capitals, digits and _ (and {RESET} is reserved)")
    given = dict(_only(where, table, _ACTION_KEYS))
    fields = _table(where, "fields", given.pop("fields", {}))
    if len(fields) > _FIELDS_MAX:
        raise BadSettings(f"{where} fields should be at most {_FIELDS_MAX}")
    shaped = tuple(_field(where, key, value) for key, value in fields.items())
    points_field, points_by = _points_by(where, _table(where, "points_by", given.pop("points_by", {})), shaped)
    given |= {"action_type": name, "points_field": points_field, "points_by": points_by}
    rule = msgspec.structs.replace(_convert(where, given, ActionRule), fields=shaped)
    for key, points in (
        ("points", rule.points),
        *((f"points_by.{points_field}.{value}", action_points) for value, action_points in rule.points_by),
    ):
        if abs(points) > POINTS_MAX:
            raise BadSettings(f"{where} {key} should be within ±{POINTS_MAX}")
    if rule.duration_ms_min < 0:
        raise BadSettings(f"{where} duration_ms_min should not be negative")
    if rule.daily_max is not None and rule.daily_max < 1:
        raise BadSettings(f"{where} daily_max should be at least 1")
    return rule


def _points_by(
    where: str, table: Mapping[str, Any], fields: Iterable[FieldRule]
) -> tuple[str | None, tuple[tuple[Scalar, Any], ...]]:
    """The points for each choice of one field. In TOML the choices are keys, that is text; in the rule they are values."""
    if not table:
        return None, ()
    if len(table) != 1:
        raise BadSettings(f"{where} points_by should name one field")
    ((name, points),) = table.items()
    choices = next((field.choices for field in fields if field.name == name), ())
    if not choices:
        raise BadSettings(f"{where} points_by.{name} should name a field that has choices")
    spelled = {str(choice).lower() if isinstance(choice, bool) else str(choice): choice for choice in choices}
    if not isinstance(points, dict) or points.keys() != spelled.keys():
        raise BadSettings(f"{where} points_by.{name} should give points for each of {', '.join(spelled)} and nothing else")
    return name, tuple((spelled[key], value) for key, value in points.items())


def _field(where: str, name: str, table: object) -> FieldRule:
    key = f"{where} fields.{name}"
    if _FIELD_NAME.fullmatch(name) is None or not isinstance(table, dict):
        raise BadSettings(f"{key} should be a table named in letters, digits and _")
    rule = _convert(key, {**_only(key, table, _FIELD_KEYS), "name": name}, FieldRule)
    complaint = _misfit(rule, table)
    if complaint is not None:
        raise BadSettings(f"{key} {complaint}")
    return rule


def _misfit(rule: FieldRule, table: Mapping[str, object]) -> str | None:
    """What is wrong with a field's rule, or None."""
    kinds = _KINDS[rule.kind]
    if "choices" in table and (not rule.choices or len(set(rule.choices)) != len(rule.choices)):
        return "choices should be at least one, each once"
    if any(type(choice) not in kinds for choice in rule.choices):
        return f"choices should be of type {rule.kind}"
    if rule.kind != "string" and not table.keys().isdisjoint(("pattern", "length_max")):
        return f"pattern and length_max are for strings, not for type {rule.kind}"
    if rule.kind not in ("integer", "number") and not table.keys().isdisjoint(("minimum", "maximum")):
        return f"minimum and maximum are for numbers, not for type {rule.kind}"
    if not 1 <= rule.length_max <= _TEXT_LENGTH_MAX:
        return f"length_max should be 1 to {_TEXT_LENGTH_MAX}"
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        return "minimum should not be above maximum"
    try:
        re.compile(rule.pattern or "")
    except re.error as error:
        return f"pattern should be a regular expression: {error}"
    return None


def _only(where: str, table: Mapping[str, Any], keys: Iterable[str]) -> Mapping[str, Any]:
    for key in table:
        if key not in keys:
            raise BadSettings(f"{where} has an unknown key: {key!r}")
    return table


def _table(where: str, key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadSettings(f"{where} {key} should be a table")
    return value


def _convert(where: str, given: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        said, _, at = str(error).partition(" - at `$")
        raise BadSettings(f"{where} {at.strip('.`')}".rstrip() + f": {said}") from None
