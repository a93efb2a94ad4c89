"""Complaints about JSON: the errors of `strict_json.decode_json` as sentences for the author of a client.

msgspec's own messages name Python's types and repeat our patterns; a client's author knows JSON. Nothing of the client's JSON is
repeated but the name of a member, cut to a length.
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from scoreboard.strict_json import RepeatedName

#: A text that its pattern does not match, or none of the permitted ones.
WRONG_FORM: Final = "has a wrong form"
NAME_CHARS_MAX: Final = 64
_PATH: Final = re.compile(r"(.*) - at (?:`key` in )?`\$\.?(.*)`", re.DOTALL)
_MEMBER: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)
_TYPE: Final = re.compile(r"Expected `([a-z |]+)`, got `[a-z]+`")
_LIMIT: Final = re.compile(r"Expected `(?:int|float)` ([<>]=) (-?[\d.e+-]+)")
_LENGTH: Final = re.compile(r"Expected `(str|array|object)` of length ([<>]=) (\d+)")
_MALFORMED: Final = re.compile(r"JSON is malformed: (.+) \(byte (\d+)\)")
_TYPES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_UNITS: Final = {"str": "characters", "array": "items", "object": "members"}
_EDGES: Final = {">=": "at least", "<=": "at most"}


def complaint(error: Exception, whole: str, parent: str = "") -> tuple[str, str]:
    """(the field at fault, what is wrong with it) for a ValueError or RecursionError of `decode_json`.

    ``whole`` is the field if all of the JSON is at fault, ``parent`` the member that contains the decoded value ("" for none).
    """
    if not isinstance(error, msgspec.ValidationError):
        return whole, _fault_of_text(error)
    found = _PATH.fullmatch(str(error))
    message, path = found.groups() if found else (str(error), "")
    names = [parent, *path.replace("[...]", "").split(".")]
    member = _MEMBER.fullmatch(message)
    if member:
        names.append(member[2])
        text = "is not known here" if "unknown" in member[1] else "is required"
    else:
        text = _fault_of_value(message)
    return ".".join(name[:NAME_CHARS_MAX] for name in names if name) or whole, text


def _fault_of_value(message: str) -> str:
    if wrong := _TYPE.fullmatch(message):
        return "must be of type " + " or ".join(_TYPES.get(name, name) for name in wrong[1].split(" | "))
    if limit := _LIMIT.fullmatch(message):
        return f"must be {_EDGES[limit[1]]} {limit[2]}"
    if length := _LENGTH.fullmatch(message):
        if length.groups()[1:] == (">=", "1"):
            return "must not be empty"
        return f"must have {_EDGES[length[2]]} {length[3]} {_UNITS[length[1]]}"
    if "out of range" in message:
        return "is out of range"
    return WRONG_FORM


def _fault_of_text(error: Exception) -> str:
    """What is wrong with a text that is no JSON, or with JSON that has no one meaning."""
    if isinstance(error, RepeatedName):
        return str(error)
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: line {error.lineno}, column {error.colno}"
    if "truncated" in str(error):
        return "is not JSON: it ends too early, or has half of a surrogate pair"
    malformed = _MALFORMED.fullmatch(str(error))
    return f"is not JSON: {malformed[1][:NAME_CHARS_MAX]} (byte {malformed[2]})" if malformed else "is not JSON"
