"""Zones from the package ``tzdata``, never from the machine: so all processes of one release cut days at the same instants."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final
from zoneinfo import ZoneInfo

_NAMES: Final = "zones"


class UnknownZone(ValueError):
    """There is no zone of this name."""


@cache
def _names() -> frozenset[str]:
    return frozenset(resources.files("tzdata").joinpath(_NAMES).read_text("ascii").split())


def zone_named(name: object) -> ZoneInfo:
    """The zone of an IANA name. Raises UnknownZone."""
    if not isinstance(name, str) or name not in _names():
        raise UnknownZone(name)
    return _zone(name)


@cache
def _zone(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
