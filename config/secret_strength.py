"""Secret strength: whether a secret could be guessed, judged by its text alone.

A secret made by chance passes whatever tool wrote it: 32 hexadecimal digits, base64, letters, even 32 decimal digits. What people
type in its place does not: a placeholder, a word or a row of keys, one character or one piece again and again. Estimates what an
attacker must guess, who tries the shortest descriptions first (D. Wheeler, zxcvbn, USENIX Security 2016), and errs on the side of
taking a secret.
"""

from __future__ import annotations

import math
import re
from typing import Final

BYTES_MIN: Final = 32
BITS_MIN: Final = 60
#: Longer secrets are judged by their beginning.
_CHARS_MAX: Final = 512
#: From here on a piece that stood before, or a piece of a row of keys, counts as one guess. Shorter ones occur by chance.
_PIECE_MIN: Final = 3
#: What people write where a secret belongs, in samples and in haste. By chance such a word costs a secret a few bits at most.
_WORDS: Final = """
    action authentication auth base board bytes change changeit changeme characters database default demo deploy dev development
    dummy encryption enough env example for from generate generated generation here hex hmac insecure insert jwt key keyboardcat
    least letmein long longer make minimum must need not openssl output passphrase passw0rd password passwort please postgres
    postgresql private prod production public rand random redis replace replaceme sample score scoreboard secret secrets secure
    server service sha256 should sign signature signed signing some something staging string super supersecret test testing that
    the this thirty token tokens two unsafe use value very welcome with your
"""
#: Rows of keys and the alphabet, forwards and backwards.
_ROWS: Final = (
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
)
_WORD: Final = re.compile("|".join(sorted(_WORDS.split(), key=len, reverse=True)), re.IGNORECASE)


def weakness(secret: str) -> str | None:
    """What is wrong with this secret, as the end of a sentence that shows nothing of it; None if nothing is."""
    if len(secret.encode()) < BYTES_MIN:
        return f"should have at least {BYTES_MIN} bytes"
    if guess_bits(secret) < BITS_MIN:
        return "should not be a placeholder, or one piece again and again,"
    return None


def guess_bits(secret: str) -> float:
    """About how many bits must be guessed: the pieces that do not follow from what stands before, times what each may be."""
    rest = _WORD.sub("\0", secret[:_CHARS_MAX])
    pieces = _pieces(rest)
    return pieces * math.log2(max(2, len(set(rest.lower()))))


def _pieces(text: str) -> int:
    pieces = at = 0
    while at < len(text):
        pieces += 1
        at += max(1, _repeated(text, at), _row(text, at))
    return pieces


def _repeated(text: str, at: int) -> int:
    """How long a piece begins here that stood before, 0 if none of note. One character again and again counts."""
    longest = 0
    while at + longest < len(text) and text.find(text[at : at + longest + 1], 0, at + longest) >= 0:
        longest += 1
    return longest if longest >= _PIECE_MIN else 0


def _row(text: str, at: int) -> int:
    """How long a piece of a row of keys begins here, 0 if none of note."""
    longest = 0
    for row in _ROWS:
        for line in (row, row[::-1]):
            length = 0
            while at + length < len(text) and text[at : at + length + 1].lower() in line:
                length += 1
            longest = max(longest, length)
    return longest if longest >= _PIECE_MIN else 0
