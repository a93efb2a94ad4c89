"""Display names: the name that a login service gives a player, made safe to show. Pure.

The tables stand here, so that every Python cleans alike: ``unicodedata`` and ``str.isprintable`` know only the characters of the
Unicode version that a Python was built with, and would refuse a newer emoji.
"""

from __future__ import annotations

import re
from typing import Final

NAME_CHARS_MAX: Final = 64
#: Control characters, lone surrogates, and the overrides of direction, which reorder the text that follows them on the page.
_UNSAFE: Final = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\u202d\u202e"
#: White space, and Unicode's Default_Ignorable_Code_Point, which has no glyph; U+2800 is an empty Braille cell.
_INVISIBLE: Final = (
    r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u2800"
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202c\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_unsafe: Final = re.compile(f"[{_UNSAFE}]+")
_seen: Final = re.compile(f"[^{_UNSAFE}{_INVISIBLE}]")
_unseen: Final = re.compile(f"[{_UNSAFE}{_INVISIBLE}]")


def display_name(name: str, user_id: str) -> str:
    """The name without control characters, lone surrogates and overrides; the user id if nothing of it can be seen."""
    return _unsafe.sub("", name) if _seen.search(name) else user_id


def is_visible(text: str) -> bool:
    """Whether each character of a text can be seen: none is white space, a control character, an override or ignorable."""
    return _unseen.search(text) is None
