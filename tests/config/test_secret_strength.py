"""Tests of secret strength: placeholders are refused, and random secrets of all common tools are accepted."""

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
from tests.journeys.server import ACTION_SECRET, JWT_SECRET

#: Tools that make a random secret, each of 80 bits or more.
TOOLS: dict[str, Callable[[random.Random], str]] = {
    "openssl rand -hex 16": lambda rng: rng.randbytes(16).hex(),
    "openssl rand -hex 32": lambda rng: rng.randbytes(32).hex(),
    "openssl rand -base64 32": lambda rng: base64.b64encode(rng.randbytes(32)).decode(),
    "token_urlsafe": lambda rng: base64.urlsafe_b64encode(rng.randbytes(32)).rstrip(b"=").decode(),
    "uuid": lambda rng: str(uuid.UUID(bytes=rng.randbytes(16), version=4)),
    "pwgen": lambda rng: "".join(rng.choices(string.ascii_letters + string.digits, k=32)),
    "letters": lambda rng: "".join(rng.choices(string.ascii_lowercase, k=32)),
    "everything": lambda rng: "".join(rng.choices(string.ascii_letters + string.digits + string.punctuation, k=32)),
    "Cyrillic": lambda rng: "".join(rng.choices("абвгдежзийклмнопрстуфхцчшщъыьэюя", k=16)),
    "Chinese": lambda rng: "".join(chr(rng.randint(0x4E00, 0x9FFF)) for _ in range(11)),
    "digits": lambda rng: "".join(rng.choices(string.digits, k=32)),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_random_secret_is_accepted(tool: str) -> None:
    rng = random.Random(4711)
    assert [weakness(TOOLS[tool](rng)) for _ in range(300)] == [None] * 300


def test_a_phrase_of_many_words_is_accepted() -> None:
    assert weakness("correct horse battery staple and a violin under water") is None


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 64,
        "\0" * 64,
        "c1d5a0f38e5b4f0c9a7e2d61b8f43c90 ",
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
        "00112233445566778899aabbccddeeff",
        "d41d8cd98f00b204e9800998ecf8427e",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918",  # sha256 of admin
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "__JWT_SECRET_PLACEHOLDER__JWT_SECRET__",
        "$JWT_SECRET_VALUE_FROM_ENVIRONMENT_FILE",
        "5F4DCC3B5AA765D61D8327DEB882CF99",
        "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "6368616e67656d656368616e67656d65",
        "a-string-secret-at-least-256-bits-long",
        "TODO: set me before going to production!",
        "$(cat /run/secrets/scoreboard_jwt_key)",
        "${JWT_SECRET:?please set the secret first}",
        "<insert-32-byte-hex-from-kms-here>",
        "vault:secret/data/scoreboard#jwt_secret",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:scoreboard",
        *(JWT_SECRET, ACTION_SECRET),  # they stand in this repository, so everybody knows them
    ],
)
def test_a_placeholder_or_a_guessable_secret_is_refused(secret: str) -> None:
    assert weakness(secret) is not None


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=8), st.integers(2, 40))
def test_a_repeated_short_piece_is_refused(piece: str, times: int) -> None:
    assert weakness(piece * times) is not None


@given(st.text(max_size=BYTES_MIN - 1).filter(lambda text: len(text.encode()) < BYTES_MIN))
def test_a_secret_of_less_than_32_bytes_is_refused(secret: str) -> None:
    assert weakness(secret) == "should have at least 32 bytes"


@given(st.text(max_size=80))
def test_text_before_or_after_a_strong_secret_does_not_make_it_weak(text: str) -> None:
    strong = "c1d5a0f38e5b4f0c9a7e2d61b8f43c90"
    assert guess_bits(text + strong) >= BITS_MIN
    assert guess_bits(strong + text) >= BITS_MIN


def test_a_secret_of_a_million_characters_is_judged_quickly() -> None:
    assert guess_bits("a" * 10**6) < BITS_MIN
