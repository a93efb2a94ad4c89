"""Strict JSON: an object with two members of one name is refused, since RFC 8259, 4, leaves open which of them counts.

msgspec and the standard library take the last of two; another reader of the same bytes may take the first. A whole number may be
written ``1``, ``1.0`` or ``1e0``: JSON has one kind of number, and many clients (Godot, Lua, MATLAB) write only the second.
"""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

#: Beyond it a double is no longer exactly one whole number.
_EXACT_MAX: Final = 2**53 - 1


class RepeatedName(ValueError):
    """An object has two members of one name."""


def read_json(text: bytes) -> Any:
    """The value of a JSON text in which no object repeats a name. Raises RepeatedName, ValueError or RecursionError."""
    return _read(text.decode())


def decode_json(decoder: msgspec.json.Decoder[T], text: bytes | msgspec.Raw) -> T:
    """What the decoder reads, where a whole number is written with a point or an exponent as well, and no object repeats a name.

    Raises ValueError (RepeatedName, or an error of msgspec, which is one) or RecursionError.
    """
    try:
        decoded = decoder.decode(text)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
        return decoder.decode(msgspec.json.encode(_read_whole(bytes(text).decode())))
    _check(bytes(text).decode())
    return decoded


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RepeatedName("an object has two members of one name")
    return members


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | msgspec.Raw:
    """A whole number as an int, and any other number as it is written."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= _EXACT_MAX else _as_written(text)


def _as_written(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


_read: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
#: Reads no number: Python makes no int of more than 4,300 digits, and the decoder has judged them.
_check: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=str, parse_int=str).decode
_read_whole: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_as_written
).decode
