"""Strict JSON: an object with two members of one name is refused, since RFC 8259, 4, leaves open which of them counts.

msgspec and the standard library take the last of two; another reader of the same bytes may take the first.
"""

from __future__ import annotations

import json
from typing import Any, Final


class RepeatedName(ValueError):
    """An object has two members of one name."""


def check_names(text: bytes) -> None:
    """Return if the text is JSON in which no object repeats a name. Raises RepeatedName, ValueError or RecursionError."""
    _check(text.decode())


def _object(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise RepeatedName("an object has two members of one name")


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_check: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
