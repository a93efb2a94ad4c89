"""Secret strength: refuses secrets that a person typed instead of generating.

It estimates the bits that an attacker must guess who tries words, keyboard rows and repetitions first (D. Wheeler, zxcvbn, USENIX
Security 2016), and knows samples and digests of common words. In doubt it accepts a secret: a random one of 32 characters passes
in hexadecimal, base64, letters or decimal digits, and so does a phrase of many words.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import math
import re
from typing import Final

BYTES_MIN: Final = 32
#: Any random secret of 32 decimal digits has more: in 6,000 tries the weakest had 54 bits.
BITS_MIN: Final = 50
#: The bits that each distinct character beyond ASCII adds, because there are so many of them.
_BITS_BEYOND_ASCII: Final = 5
#: Only the beginning of a longer secret is judged.
_CHARS_MAX: Final = 512
_DIGESTS: Final = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b")
#: A repeated piece, or a piece of a keyboard row, of this length counts as one guess. Shorter ones are frequent in random text.
_PIECE_MIN: Final = 3
#: Words of placeholders and samples. A random secret that contains one loses a few bits.
_WORDS: Final = """
    256 action auth authentication base before bits board bytes change changeit changeme characters database default demo
    deploy dev development dummy encryption enough env example for forty from generate generated generation going here hex
    hmac insecure insert journey jwt key keyboardcat least length letmein long longer make me minimum must need not openssl
    output passphrase passw0rd password passwort please postgres postgresql private prod production public rand random redis
    replace replaceme sample score scoreboard secret secrets secure server service set sha256 should sign signature signed
    signing some something staging string super supersecret test testing that the thirty this todo token tokens two unsafe use
    value very welcome with your
"""
#: Keyboard rows and the alphabet, read in both directions.
_ROWS: Final = "qwertyuiop qwertzuiop azertyuiop asdfghjkl zxcvbnm yxcvbnm 01234567890 abcdefghijklmnopqrstuvwxyz"
#: Sample keys of widely read tutorials, in the notation that they are published in.
_PUBLISHED: Final = frozenset(
    {
        "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
        "413f4428472b4b6250655368566d5970337336763979244226452948404d6351",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "aym1sysppbydfgzld3umj1qzkobwvmkoqq-estjqlr_t-1qs0gzh75aktmn3yj0ips4hcgutwjazzr1z9caow",
    }
)
#: Further words whose digests people use as secrets.
_HASHED: Final = "0 1 123456 a abc admin foo hello null password1 password123 qwerty root secretkey my-secret-key user"
#: Templates that a shell or a template engine should have filled in, and references to a secret that is kept elsewhere.
_TEMPLATE: Final = re.compile(
    r"\$\(.*\)|\$\{.*\}|\{\{.*\}\}|<[^<>]*>|%\(.*\)s|__.*__|\$[A-Z_]+|([a-z+]+://|(vault|ssm|arn|secret|op):).*", re.DOTALL
)
_WORD: Final = re.compile("|".join(sorted(_WORDS.split(), key=len, reverse=True)), re.IGNORECASE)


def weakness(secret: str) -> str | None:
    """The fault of a secret, as a phrase after the setting's name, without any part of the secret; None for a good secret."""
    if len(secret.encode()) < BYTES_MIN:
        return f"should have at least {BYTES_MIN} bytes"
    if secret != secret.strip():
        return "should not begin or end with white space"
    if _TEMPLATE.fullmatch(secret.strip()):
        return "should be a secret, not a template or a reference that was not filled in,"
    if _without_marks(secret) in _PUBLISHED | _known_digests():
        return "should not be a published key, or the digest of nothing or of a common word,"
    if any(guess_bits(text) < BITS_MIN for text in (secret, *_decoded(secret))):
        return "should be random, not a placeholder or a repeated piece,"
    return None


def _without_marks(secret: str) -> str:
    """A digest or a key without the marks that tools add: ``0x``, ``sha256:``, colons, padding, `` -`` of sha256sum."""
    text = re.sub(r"\A(0x|[a-z0-9]+:(?=[0-9a-f]{32}))", "", secret.split()[0].lower())
    return text.replace(":", "").rstrip("=").replace("+", "-").replace("/", "_")


@functools.cache
def _known_digests() -> frozenset[str]:
    """The digests of the empty text and of the words, in hexadecimal and base64, as `_without_marks` spells them."""
    words = ["", *_WORDS.split(), *_HASHED.split()]
    texts = [(word + end).encode() for one in words for word in (one, one.title(), one.upper()) for end in ("", "\n")]
    digests = [hashlib.new(name, text, usedforsecurity=False).digest() for name in _DIGESTS for text in texts]
    forms = [form for one in digests for form in (one.hex(), base64.urlsafe_b64encode(one).decode().lower().rstrip("="))]
    return frozenset(forms)


def _decoded(secret: str) -> list[str]:
    """The secret decoded from hexadecimal or base64, where that is text: encoding does not make a phrase stronger."""
    said = []
    for decode in (bytes.fromhex, lambda text: base64.b64decode(text, validate=True)):
        try:
            text = decode(secret.strip()).decode("ascii")
        except (ValueError, binascii.Error):
            continue
        said += [text] if text.isprintable() else []
    return said


def guess_bits(secret: str) -> float:
    """An estimate of the bits that an attacker must guess: the number of pieces, times the bits of one character."""
    rest = re.sub(r"(.)\1+", r"\1", _WORD.sub("\0", secret[:_CHARS_MAX]), flags=re.DOTALL)
    characters = set(rest.lower())
    beyond_ascii = sum(not one.isascii() for one in characters)
    return _pieces(rest) * math.log2(max(2, len(characters))) + _BITS_BEYOND_ASCII * beyond_ascii


def _pieces(text: str) -> int:
    pieces = at = 0
    while at < len(text):
        pieces += 1
        at += max(1, _repeated(text, at), _row(text, at))
    return pieces


def _repeated(text: str, at: int) -> int:
    """The length of the piece here that also occurs earlier in the text, 0 if it is short. ``aaaa`` repeats its first ``a``."""
    longest = 0
    while at + longest < len(text) and text.find(text[at : at + longest + 1], 0, at + longest) >= 0:
        longest += 1
    return longest if longest >= _PIECE_MIN else 0


def _row(text: str, at: int) -> int:
    """The length of the piece of a keyboard row here, 0 if it is short."""
    longest = 0
    for row in _ROWS.split():
        for keys in (row, row[::-1]):
            length = 0
            while at + length < len(text) and text[at : at + length + 1].lower() in keys:
                length += 1
            longest = max(longest, length)
    return longest if longest >= _PIECE_MIN else 0
