"""Tests of the console output: escaped text, JSON and times."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import iso_time, json_text, utc_time, visible

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "a\rb",
    "\x07",
    "\x9b2J",
    "\u202eevil",
    "\u2066x\u2069",
    "\u200b",
    "\u2028",
    "\x7f",
    "\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_and_invisible_characters_are_escaped(text: str) -> None:
    assert visible(text).isprintable()


def test_an_escape_character_is_written_as_a_backslash_escape() -> None:
    assert visible("\x1b[31mAda") == "\\x1b[31mAda"
    assert visible("Ada\u202e") == "Ada\\u202e"


@pytest.mark.parametrize("name", ["Ada", "Zoë", "Ngô Đức", "李", "Анна", "[bold]Ada[/bold]", "🎮"])
def test_ordinary_names_are_unchanged(name: str) -> None:
    assert visible(name) == name


@given(st.text(), st.text())
def test_different_texts_have_different_escaped_forms(one: str, other: str) -> None:
    assert (visible(one) == visible(other)) == (one == other)


@given(st.text())
def test_json_is_printable_ascii_and_round_trips(text: str) -> None:
    written = json_text({"name": text})
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {"name": text}


@given(st.characters())
def test_every_character_is_printable_after_escaping(char: str) -> None:
    assert all(unicodedata.category(shown) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for shown in visible(char))


def test_times_are_printed_in_utc() -> None:
    assert utc_time(1_795_429_800_123) == "2026-11-23 10:30:00"
    assert iso_time(1_795_429_800_123) == "2026-11-23T10:30:00.123Z"
