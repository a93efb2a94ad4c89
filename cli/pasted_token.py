"""The token in a text that an operator pasted: a line of a request, a value of JSON, a token broken into lines."""

from __future__ import annotations

import re
from typing import Final

_BEFORE: Final = re.compile(r"(?:[\s\"'`]|authorization\s*:|bearer(?![\w.-]))*", re.IGNORECASE)
_AFTER: Final = "\"'`,; \t\r\n"


def token_in(text: str) -> tuple[str, tuple[str, ...]]:
    """(the token, what was left out of the text and would be refused as a part of it)."""
    found = _BEFORE.match(text)
    before = found[0] if found else ""
    rest = text[len(before) :]
    token = rest.rstrip(_AFTER)
    around = before + rest[len(token) :]
    wrong = {
        "quotes around it": any(quote in around for quote in "\"'`"),
        "a comma or a semicolon after it": any(mark in around for mark in ",;"),
        "the name of the header": "authorization" in before.lower(),
        "a second Bearer": before.lower().count("bearer") > 1,
        "line breaks or spaces in it": any(mark.isspace() for mark in token),
    }
    return "".join(token.split()), tuple(said for said, is_so in wrong.items() if is_so)
