"""Boards: it reads the tables of ``boards.toml`` into the definitions that the domain applies. Each mistake is one clear line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, get_args

from config import BadSettings
from scoreboard.domain.boards import BOARD_OF_PERIOD, BoardDefinition, ScoreKind
from scoreboard.domain.periods import AllTime, Bucket, CalendarPeriod, Period, Seasons, Slots, Unit
from scoreboard.named_files import read_regular_file
from scoreboard.zones import UnknownZone, zone_named

BOARDS_MAX: Final = 32
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_KEYS: Final = ("title", "score", "counts", "period", "zone", "every", "seasons", "keep_closed")
_GLOBAL_KEYS: Final = ("title",)
_SEASON_KEYS: Final = {"name", "begins", "ends"}
_SEASONS_MAX: Final = 256
_TITLE_LENGTH_MAX: Final = 64
_KEEP_CLOSED_MAX: Final = 1_000
_KEPT: Final[Mapping[str, int]] = {"daily": 7, "weekly": 4, "monthly": 12, "every": 12, "seasons": 4, "": 0}
_LENGTH: Final = re.compile(r"([1-9]\d{0,6})([mhd])", re.ASCII)
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SLOT_MS_MAX: Final = 366 * 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLE: Final = "SCOREBOARD_BOARDS_FILE=/etc/scoreboard/boards.toml"


def load_boards(path: Path, action_types: Collection[str]) -> tuple[BoardDefinition, ...]:
    """The definitions in a file, ``global`` first. ``action_types`` are those of the catalogue. Raises BadSettings."""
    named = f"SCOREBOARD_BOARDS_FILE ({path})"
    try:
        return parse_boards(read_regular_file(path).decode("utf-8-sig"), action_types)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise BadSettings(
            f"SCOREBOARD_BOARDS_FILE should name a readable file, for example {_EXAMPLE}: {path} cannot be read ({why})"
        ) from None
    except BadSettings as error:
        raise BadSettings(f"{named}: {error}; config/boards.toml describes the keys") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{named} should be TOML like config/boards.toml, and TOML is UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"{named} should be TOML like config/boards.toml: {error}") from None


def parse_boards(text: str, action_types: Collection[str]) -> tuple[BoardDefinition, ...]:
    """The definitions in a TOML text. Raises BadSettings naming board and member, or ValueError when it is not TOML."""
    tables = {"global": {}, **tomllib.loads(text)}
    if len(tables) > BOARDS_MAX:
        raise BadSettings(f"should describe at most {BOARDS_MAX} boards")
    return tuple(_board(name, table, action_types) for name, table in tables.items())


def _board(name: str, table: object, action_types: Collection[str]) -> BoardDefinition:
    where = f"[{name[:64]}]"
    if _NAME.fullmatch(name) is None or not isinstance(table, dict):
        raise BadSettings(f"{where} should be a table named in small letters, digits, - and _, at most 32")
    for key in table:
        if name == "global" and key not in _GLOBAL_KEYS:
            raise BadSettings(f"{where} {key[:64]} cannot be set: global counts every point; make a board of another name")
        if key not in _KEYS:
            raise BadSettings(f"{where} has an unknown key: {key[:64]!r}")
    title = table.get("title", name)
    if not isinstance(title, str) or not 1 <= len(title.strip()) == len(title) <= _TITLE_LENGTH_MAX or not title.isprintable():
        raise BadSettings(f"{where} title should be 1 to {_TITLE_LENGTH_MAX} characters on one line, without spaces around them")
    kind, period = _period(where, table)
    if BOARD_OF_PERIOD.get(name, name) != name:
        raise BadSettings(f"{where} needs another name, because ?period={name} means {BOARD_OF_PERIOD[name]}")
    if name in BOARD_OF_PERIOD and kind != name:
        raise BadSettings(f'{where} should have period = "{name}", because ?period={name} means this board')
    keep_closed = table.get("keep_closed", _KEPT[kind])
    if type(keep_closed) is not int or not 0 <= keep_closed <= _KEEP_CLOSED_MAX:
        raise BadSettings(f"{where} keep_closed should be 0 to {_KEEP_CLOSED_MAX}")
    if not kind and "keep_closed" in table:
        raise BadSettings(f"{where} keep_closed needs a period: a board without one has no closed buckets")
    return BoardDefinition(
        board_id=name,
        title=title,
        score=_one_of(where, "score", table.get("score", "sum"), get_args(ScoreKind)),
        counts=_counts(where, table.get("counts"), action_types),
        period=period,
        keep_closed=keep_closed,
    )


def _one_of(where: str, key: str, value: object, choices: Sequence[Any]) -> Any:
    if value not in choices:
        raise BadSettings(f"{where} {key} should be {', '.join(choices[:-1])} or {choices[-1]}")
    return value


def _counts(where: str, value: object, action_types: Collection[str]) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise BadSettings(f"{where} counts should be a list of action types")
    if len(set(value)) != len(value):
        raise BadSettings(f"{where} counts should name each action type once")
    for one in value:
        if one not in action_types:
            raise BadSettings(f"{where} counts names an unknown action type: {one[:64]!r}")
    return frozenset(value)


def _period(where: str, table: Mapping[str, Any]) -> tuple[str, Period]:
    """The key of ``_KEPT``, and the period."""
    given = [key for key in ("period", "every", "seasons") if key in table]
    if len(given) > 1:
        raise BadSettings(f"{where} should have only one of {', '.join(given[:-1])} and {given[-1]}")
    if not given:
        if "zone" in table:
            raise BadSettings(f"{where} zone needs a period")
        return "", AllTime()
    if given == ["every"]:
        if "zone" in table:
            raise BadSettings(f"{where} zone is for a period or seasons: every counts from 1970-01-01 UTC")
        return "every", Slots(length_ms=_length_ms(where, table["every"]))
    zone = _zone(where, table.get("zone", "UTC"))
    if given == ["seasons"]:
        return "seasons", Seasons(seasons=_seasons(where, table["seasons"], zone))
    unit = _one_of(where, "period", table["period"], get_args(Unit))
    return unit, CalendarPeriod(unit=unit, zone=zone)


def _zone(where: str, name: object) -> tzinfo:
    try:
        return zone_named(name)
    except UnknownZone:
        raise BadSettings(f"{where} zone should be a zone such as Europe/Berlin or UTC") from None


def _length_ms(where: str, text: object) -> int:
    found = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    length_ms = int(found[1]) * _UNIT_MS[found[2]] if found else 0
    if not 0 < length_ms <= _SLOT_MS_MAX:
        raise BadSettings(f'{where} every should be a length from "1m" to "366d", such as "10m", "6h" or "2d"')
    return length_ms


def _seasons(where: str, value: object, zone: tzinfo) -> tuple[Bucket, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _SEASONS_MAX:
        raise BadSettings(f"{where} seasons should be a list of 1 to {_SEASONS_MAX} tables with name, begins and ends")
    seasons = tuple(_season(f"{where} seasons[{number}]", one, zone) for number, one in enumerate(value))
    if len({season.name for season in seasons}) != len(seasons):
        raise BadSettings(f"{where} seasons should have names that differ")
    ordered = tuple(sorted(seasons, key=lambda season: season.begins_ms))
    for number in range(1, len(ordered)):
        if ordered[number].begins_ms in ordered[number - 1]:
            raise BadSettings(f"{where} seasons should not overlap: {ordered[number - 1].name} and {ordered[number].name} do")
    return ordered


def _season(where: str, table: object, zone: tzinfo) -> Bucket:
    if not isinstance(table, dict) or table.keys() != _SEASON_KEYS:
        raise BadSettings(f"{where} should have name, begins and ends")
    name = table["name"]
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadSettings(f"{where} name should be small letters, digits, - and _, at most 32")
    begins_ms, ends_ms = (_instant_ms(f"{where} {key}", table[key], zone) for key in ("begins", "ends"))
    if begins_ms >= ends_ms:
        raise BadSettings(f"{where} ends should be later than begins")
    return Bucket(name=name, begins_ms=begins_ms, ends_ms=ends_ms)


def _instant_ms(where: str, value: object, zone: tzinfo) -> int:
    """The milliseconds of a TOML date or date-time; without an offset it is a time of the board's zone."""
    if type(value) is date:
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise BadSettings(f"{where} should be a date or a time such as 2026-12-01 or 2026-12-01T18:00:00Z")
    at = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    if not 1970 <= at.year < 2200:
        raise BadSettings(f"{where} should be a year from 1970 to 2199")
    return (at - _EPOCH) // timedelta(milliseconds=1)
