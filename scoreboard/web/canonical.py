"""Canonical JSON of metadata: equal values have equal bytes, whatever JSON library the client uses.

It follows RFC 8785: members are sorted, and a number has one spelling, since ``1``, ``1.0`` and ``1e0`` are one number in
JavaScript. A value that would change on its way through such a client is refused.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from scoreboard.domain.actions import Metadata
from scoreboard.domain.refusals import Refused, malformed
from scoreboard.domain.standings import POINTS_MAX

DEPTH_MAX: Final = 16

_encode = msgspec.json.Encoder(order="sorted").encode


class _Unfit(ValueError):
    """A value has no canonical form; the message says why."""


def canonical(members: dict[str, Any]) -> tuple[dict[str, Any], Metadata]:
    """The members as values in their canonical form, and as sorted (key, JSON) pairs. Raises Refused, naming the member."""
    values: dict[str, Any] = {}
    for key in sorted(members):
        try:
            values[_text(key)] = _plain(members[key], DEPTH_MAX)
        except _Unfit as unfit:
            raise Refused(malformed(f"metadata.{key[:64]}", str(unfit))) from None
    return values, tuple([(key, _encode(value)) for key, value in values.items()])


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is int:
        return value if -POINTS_MAX <= value <= POINTS_MAX else _exact_float(value)
    if kind is float:
        return int(value) if value.is_integer() and -POINTS_MAX <= value <= POINTS_MAX else value
    if kind is list or kind is dict:
        if depth == 0:
            raise _Unfit(f"is nested deeper than {DEPTH_MAX} levels")
        if kind is list:
            return [_plain(item, depth - 1) for item in value]
        return {_text(key): _plain(item, depth - 1) for key, item in value.items()}
    return value  # true, false and null


def _text(text: str) -> str:
    if "\0" in text:  # PostgreSQL cannot store it
        raise _Unfit("must not contain U+0000")
    return text


def _exact_float(value: int) -> float:
    """The integer as a double: beyond 2⁵³ JavaScript has no other integers."""
    try:
        double = float(value)
    except OverflowError:
        double = 0.0
    if double != value:
        raise _Unfit("holds an integer that a double cannot hold exactly")
    return double
