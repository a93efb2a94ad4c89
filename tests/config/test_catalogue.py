"""Tests of the catalogue: what `actions.toml` means, and the one-line message for each mistake in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import BadSettings
from config.catalogue import load_catalogue, parse_catalogue
from config.settings import PACKAGED_ACTIONS, load_settings
from scoreboard.domain.rules import check_metadata, points_for
from scoreboard.service.wiring import catalogue

EXPIRATION_MS = 600_000
SECRETS = {"JWT_SECRET": "a" * 32, "ACTION_SIGNATURE_SECRET": "b" * 32}


def test_the_specifications_example_has_the_points_of_the_specification() -> None:
    rule = load_catalogue(PACKAGED_ACTIONS, EXPIRATION_MS)["COMPLETE_QUEST"]
    metadata = {"questId": "quest-123"}
    assert check_metadata(rule, metadata) is None
    assert points_for(rule, metadata) == 100
    assert rule.duration_ms_min == 0
    assert rule.daily_max is None


def test_the_difficulty_determines_the_points_of_a_quest() -> None:
    rule = load_catalogue(PACKAGED_ACTIONS, EXPIRATION_MS)["COMPLETE_QUEST"]
    assert [points_for(rule, {"difficulty": how}) for how in ("easy", "normal", "hard")] == [50, 100, 250]


def test_the_packaged_catalogue_has_an_example_of_each_kind_of_rule() -> None:
    rules = load_catalogue(PACKAGED_ACTIONS, EXPIRATION_MS).values()
    assert any(rule.requires for rule in rules)
    assert any(rule.daily_max == 1 for rule in rules)
    assert any(rule.duration_ms_min for rule in rules)
    assert any(field.required for rule in rules for field in rule.fields)


def test_choices_that_are_toml_keys_keep_their_own_type() -> None:
    rule = parse_catalogue(
        """
        [CLIMB]
        points = 1
        points_by.level = { 1 = 10, 2 = 20 }
        fields.level = { kind = "integer", choices = [1, 2] }
        [WIN]
        points = 1
        points_by.ranked = { true = 10, false = 5 }
        fields.ranked = { kind = "boolean", choices = [true, false] }
        """,
        EXPIRATION_MS,
    )
    assert points_for(rule["CLIMB"], {"level": 2}) == 20
    assert points_for(rule["WIN"], {"ranked": False}) == 5


def test_a_catalogue_is_read_only() -> None:
    with pytest.raises(TypeError):
        load_catalogue(PACKAGED_ACTIONS, EXPIRATION_MS)["X"] = None  # type: ignore[index]  # the test tries exactly this


ONE = "[A]\npoints = 1\n"
MISTAKES = [
    ("", "should describe 1 to 256 action types"),
    ("[A", "should be TOML like config/actions.toml: Expected"),
    ("points = 1", "[points] should be a table named in capitals"),
    ("[quest]\npoints = 1", "[quest] should be a table named in capitals"),
    ("[RESET]\npoints = 1", "[RESET] should be a table named in capitals, digits and _ (and RESET is reserved)"),
    ("[A]", "[A]: Object missing required field `points`"),
    ("[A]\npoints = 'many'", "[A] points: Expected `int`, got `str`"),
    ("[A]\npoints = 1.5", "[A] points: Expected `int`, got `float`"),
    ("[A]\npoints = 9007199254740992", "[A] points should be within ±9007199254740991"),
    ("[A]\npoints = -9007199254740992", "[A] points should be within ±9007199254740991"),
    (ONE + "pionts = 2", "[A] has an unknown key: 'pionts'"),
    (ONE + "duration_ms_min = -1", "[A] duration_ms_min should not be negative"),
    (ONE + "duration_ms_min = 600000", "[A] duration_ms_min should be shorter than ACTION_EXPIRATION_MS (600000)"),
    (ONE + "daily_max = 0", "[A] daily_max should be at least 1"),
    (ONE + "requires = 'B'", "[A] requires: Expected `array`, got `str`"),
    (ONE + "requires = ['B']", "[A] requires names an unknown action type: 'B'"),
    (ONE + "requires = ['A']", "[A] requires forms a cycle: A → A"),
    (ONE + "requires = ['B']\n[B]\npoints = 1\nrequires = ['A']", "[A] requires forms a cycle: A → B → A"),
    (ONE + "fields = 1", "[A] fields should be a table"),
    (ONE + "fields.x = 1", "[A] fields.x should be a table named in letters"),
    (ONE + "fields.'x y' = {kind = 'string'}", "[A] fields.x y should be a table named in letters"),
    (ONE + "fields.x = {}", "[A] fields.x: Object missing required field `kind`"),
    (ONE + "fields.x = {kind = 'text'}", "[A] fields.x kind: Invalid enum value 'text'"),
    (ONE + "fields.x = {kind = 'string', optional = true}", "[A] fields.x has an unknown key: 'optional'"),
    (ONE + "fields.x = {kind = 'string', pattern = '('}", "[A] fields.x pattern should be a regular expression: missing )"),
    (ONE + "fields.x = {kind = 'integer', pattern = 'x'}", "[A] fields.x pattern and length_max are for strings"),
    (ONE + "fields.x = {kind = 'string', minimum = 1}", "[A] fields.x minimum and maximum are for numbers"),
    (ONE + "fields.x = {kind = 'number', minimum = 2, maximum = 1}", "[A] fields.x minimum should not be above maximum"),
    (ONE + "fields.x = {kind = 'string', length_max = 0}", "[A] fields.x length_max should be 1 to 1024"),
    (ONE + "fields.x = {kind = 'string', choices = [1]}", "[A] fields.x choices should be of type string"),
    (ONE + "fields.x = {kind = 'integer', choices = [true]}", "[A] fields.x choices should be of type integer"),
    (ONE + "fields.x = {kind = 'string', choices = []}", "[A] fields.x choices should be at least one, each once"),
    (ONE + "fields.x = {kind = 'string', choices = ['a', 'a']}", "[A] fields.x choices should be at least one, each once"),
    (ONE + "points_by.x = {a = 1}", "[A] points_by.x should name a field that has choices"),
    (ONE + "points_by = {x = {}, y = {}}", "[A] points_by should name one field"),
    (
        ONE + "points_by.x = {a = 1}\nfields.x = {kind = 'string', choices = ['a', 'b']}",
        "[A] points_by.x should give points for each of a, b and nothing else",
    ),
    (
        ONE + "points_by.x = {a = 1, c = 1}\nfields.x = {kind = 'string', choices = ['a']}",
        "[A] points_by.x should give points for each of a and nothing else",
    ),
    (
        ONE + "points_by.x = {a = 9007199254740992}\nfields.x = {kind = 'string', choices = ['a']}",
        "[A] points_by.x.a should be within ±9007199254740991",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_the_message_of_a_mistake_is_one_line_with_the_table_and_the_key(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(BadSettings, match=rf"^SCOREBOARD_ACTIONS_FILE \({file}\):? " + re.escape(message)) as refused:
        load_catalogue(file, EXPIRATION_MS)
    assert "\n" not in str(refused.value)
    assert "config/actions.toml" in str(refused.value), "the operator finds an example there"


@pytest.mark.parametrize("content", [b"[A]\npoints = 1 # \xff", b"x = " + b"[" * 5_000, b"\0"])
def test_a_catalogue_that_is_no_toml_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(BadSettings) as refused:
        load_catalogue(file, EXPIRATION_MS)
    assert str(refused.value).startswith(f"SCOREBOARD_ACTIONS_FILE ({file}) should be TOML like config/actions.toml")
    assert not re.search("codec|position|Traceback", str(refused.value))


def test_a_byte_order_mark_before_the_catalogue_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert load_catalogue(tmp_path / "mine.toml", EXPIRATION_MS).keys() == {"A"}


def test_a_grant_that_is_too_short_for_the_packaged_catalogue_is_the_fault_of_its_own_setting() -> None:
    slowest = max(load_catalogue(PACKAGED_ACTIONS, EXPIRATION_MS).values(), key=lambda rule: rule.duration_ms_min)
    with pytest.raises(BadSettings) as refused:
        catalogue(load_settings({"SCOREBOARD_ENV": "test", "ACTION_EXPIRATION_MS": "100"}, secrets_in=lambda _: SECRETS))
    assert str(refused.value) == (
        f"ACTION_EXPIRATION_MS should be more than {slowest.duration_ms_min}, the duration_ms_min of {slowest.action_type} in "
        f"{PACKAGED_ACTIONS}, for example ACTION_EXPIRATION_MS=600000"
    )


def test_the_size_of_a_catalogue_and_the_fields_of_an_action_are_limited() -> None:
    with pytest.raises(BadSettings, match="1 to 256 action types"):
        parse_catalogue("".join(f"[A{number}]\npoints = 1\n" for number in range(257)), EXPIRATION_MS)
    with pytest.raises(BadSettings, match=r"\[A\] fields should be at most 16"):
        parse_catalogue(ONE + "".join(f"fields.x{number} = {{kind = 'string'}}\n" for number in range(17)), EXPIRATION_MS)


def test_the_message_of_a_missing_catalogue_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(
        BadSettings, match=r"^SCOREBOARD_ACTIONS_FILE should name a readable file, for example .*nothing.toml cannot be read"
    ):
        load_catalogue(tmp_path / "nothing.toml", EXPIRATION_MS)
