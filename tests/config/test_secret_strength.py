"""Secret strength: what people type in a secret's place is refused, what chance made is taken whatever tool wrote it."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.secret_strength import BITS_MIN, BYTES_MIN, guess_bits, weakness

#: Ways to write down what chance made, each of 128 bits or more but for the digits' 106.
TOOLS: dict[str, Callable[[random.Random], str]] = {
    "openssl rand -hex 16": lambda chance: chance.randbytes(16).hex(),
    "openssl rand -hex 32": lambda chance: chance.randbytes(32).hex(),
    "openssl rand -base64 32": lambda chance: base64.b64encode(chance.randbytes(32)).decode(),
    "token_urlsafe": lambda chance: base64.urlsafe_b64encode(chance.randbytes(32)).rstrip(b"=").decode(),
    "uuid": lambda chance: str(uuid.UUID(bytes=chance.randbytes(16), version=4)),
    "pwgen": lambda chance: "".join(chance.choices(string.ascii_letters + string.digits, k=32)),
    "letters": lambda chance: "".join(chance.choices(string.ascii_lowercase, k=32)),
    "digits": lambda chance: "".join(chance.choices(string.digits, k=32)),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_secret_made_by_chance_is_taken(tool: str) -> None:
    chance = random.Random(4711)
    assert [weakness(TOOLS[tool](chance)) for _ in range(300)] == [None] * 300


def test_a_phrase_of_many_words_is_taken() -> None:
    assert weakness("correct horse battery staple and a violin under water") is None


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 64,
        "\0" * 64,
        " " * 40,
        "…" * 20,
        "a" * 31 + "b",
        "0" * 63 + "1",
        "ab" * 32,
        "deadbeef" * 8,
        "Passw0rd!" * 4,
        "changeme" * 8,
        "CHANGEME-changeme-ChangeMe-changeme",
        "changeme-in-production-please-2026",
        "your-secret-key-here-your-secret-key-here",
        "your-signature-secret-your-signature-secret",
        "your-256-bit-secret-your-256-bit-secret",
        "my-super-secret-jwt-key-change-in-production",
        "this-is-a-very-long-secret-key-for-jwt",
        "ThisIsMySecretKeyForJWTTokenGeneration123",
        "JWT_SECRET_JWT_SECRET_JWT_SECRET_JWT",
        "replace-with-openssl-rand-hex-32-output",
        "openssl rand -hex 32 # make me a secret",
        "PASSWORDPASSWORDPASSWORDPASSWORD",
        "0123456789abcdef" * 4,
        "12345678901234567890123456789012",
        "abcdefghijklmnopqrstuvwxyz123456",
        "zyxwvutsrqponmlkjihgfedcba987654",
        "qwertyuiopasdfghjklzxcvbnm123456",
        "aaaabbbbccccddddeeeeffffgggghhhh",
    ],
)
def test_what_people_type_in_its_place_is_refused(secret: str) -> None:
    assert weakness(secret) is not None


@given(st.text(min_size=1, max_size=8), st.integers(2, 40))
def test_a_short_piece_repeated_is_refused_however_often(piece: str, times: int) -> None:
    assert weakness(piece * times) is not None


@given(st.text(max_size=BYTES_MIN - 1).filter(lambda text: len(text.encode()) < BYTES_MIN))
def test_a_short_one_is_refused(secret: str) -> None:
    assert weakness(secret) == "should have at least 32 bytes"


@given(st.text(max_size=80))
def test_whatever_is_put_before_and_behind_does_not_make_it_weaker(text: str) -> None:
    strong = "c1d5a0f38e5b4f0c9a7e2d61b8f43c90"
    assert weakness(text + strong) is None
    assert weakness(strong + text) is None


def test_a_long_one_is_judged_in_no_time() -> None:
    assert guess_bits("a" * 10**6) < BITS_MIN
