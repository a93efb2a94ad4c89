"""The file of boards: what it may say, and one clear line for each mistake."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import BadSettings
from config.boards import BOARDS_MAX, load_boards, parse_boards
from scoreboard.domain.boards import BoardDefinition
from scoreboard.domain.periods import CalendarPeriod, Seasons, Slots

TYPES = ("FINISH_RUN", "WIN_MATCH")
ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "config" / "boards.toml"


def board(text: str) -> BoardDefinition:
    """The definition of the last table."""
    return parse_boards(text, TYPES)[-1]


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


def test_the_packaged_file_declares_the_boards_of_the_specification() -> None:
    found = load_boards(PACKAGED, ())
    assert [one.board_id for one in found] == ["global", "daily", "weekly", "monthly"]
    assert [isinstance(one.period, CalendarPeriod) for one in found] == [False, True, True, True]
    assert [one.keep_closed for one in found] == [0, 7, 4, 12]
    assert all((one.score, one.counts) == ("sum", None) for one in found)


def test_global_is_always_there_and_first() -> None:
    assert [one.board_id for one in parse_boards('[high]\nscore = "best"', TYPES)] == ["global", "high"]
    assert parse_boards("", TYPES) == (BoardDefinition(board_id="global", title="global"),)


def test_a_board_has_what_its_table_says() -> None:
    found = board(
        """
        [speed-run_2]
        title = "Fastest 🏁"
        score = "best"
        counts = ["FINISH_RUN"]
        period = "weekly"
        zone = "Asia/Kathmandu"
        keep_closed = 0
        """
    )
    assert (found.board_id, found.title, found.score) == ("speed-run_2", "Fastest 🏁", "best")
    assert (found.counts_for("FINISH_RUN"), found.counts_for("WIN_MATCH"), found.keep_closed) == (True, False, 0)
    bucket = found.period.bucket_at(ms(2026, 11, 25))
    assert bucket is not None
    assert (bucket.name, bucket.begins_ms) == ("2026-W48", ms(2026, 11, 22, 18, 15))


@pytest.mark.parametrize(("every", "minutes"), [("1m", 1), ("6h", 360), ("2d", 2_880), ("366d", 527_040)])
def test_every_is_a_length(every: str, minutes: int) -> None:
    assert board(f'[one]\nevery = "{every}"').period == Slots(length_ms=minutes * 60_000)


def test_seasons_are_dates_and_times_of_the_zone() -> None:
    found = board(
        """
        [one]
        zone = "Europe/Berlin"
        seasons = [
            { name = "late", begins = 2026-12-01T18:00:00Z, ends = 2026-12-01T20:30:00+01:00 },
            { name = "early", begins = 2026-11-01, ends = 2026-12-01T18:00:00 },
        ]
        """
    )
    assert isinstance(found.period, Seasons)
    assert [(one.name, one.begins_ms, one.ends_ms) for one in found.period.seasons] == [
        ("early", ms(2026, 10, 31, 23), ms(2026, 12, 1, 17)),
        ("late", ms(2026, 12, 1, 18), ms(2026, 12, 1, 19, 30)),
    ]


SEASON = '{{ name = "{}", begins = {}, ends = {} }}'
MISTAKES = [
    ('[Daily]\nperiod = "daily"', "[Daily] should be a table named in small letters"),
    ('[""]', "[] should be a table named in small letters"),
    ('["daily:x"]', "[daily:x] should be a table"),
    ('["{a}"]', "[{a}] should be a table"),
    (f"[{'a' * 33}]", f"[{'a' * 33}] should be a table"),
    ("daily = 1", "[daily] should be a table"),
    ("[alltime]", "[alltime] needs another name, because ?period=alltime means global"),
    ("[daily]", '[daily] should have period = "daily", because ?period=daily means this board'),
    ('[weekly]\nperiod = "daily"', '[weekly] should have period = "weekly"'),
    ('[monthly]\nevery = "30d"', '[monthly] should have period = "monthly"'),
    ('[one]\nperiod = "daily"\nevery = "1h"\nseasons = []', "[one] should have only one of period, every and seasons"),
    ("[[daily]]", "[daily] should be a table"),
    ("[daily.daily]", "[daily] has an unknown key: 'daily'"),
    ('[one]\nperoid = "daily"', "[one] has an unknown key: 'peroid'"),
    ('[global]\nscore = "best"', "[global] score cannot be set"),
    ('[global]\nperiod = "daily"', "[global] period cannot be set"),
    ('[one]\ntitle = ""', "[one] title should be 1 to 64 characters"),
    ('[one]\ntitle = " "', "[one] title should be 1 to 64 characters"),
    ('[one]\ntitle = "One "', "[one] title should be 1 to 64 characters"),
    ("[one]\ntitle = 5", "[one] title should be 1 to 64 characters"),
    (f'[one]\ntitle = "{"x" * 65}"', "[one] title should be 1 to 64 characters"),
    ('[one]\ntitle = "a\\nb"', "[one] title should be 1 to 64 characters"),
    ('[one]\nscore = "max"', "[one] score should be sum, best, latest or count"),
    ("[one]\nscore = []", "[one] score should be sum, best, latest or count"),
    ('[one]\norder = "asc"', "[one] has an unknown key: 'order'"),
    ('[one]\ncounts = "FINISH_RUN"', "[one] counts should be a list of action types"),
    ("[one]\ncounts = []", "[one] counts should be a list of action types"),
    ("[one]\ncounts = [1]", "[one] counts should be a list of action types"),
    ('[one]\ncounts = ["FINISH_RUN", "FINISH_RUN"]', "[one] counts should name each action type once"),
    ('[one]\ncounts = ["finish_run"]', "[one] counts names an unknown action type: 'finish_run'"),
    ('[one]\nperiod = "hourly"', "[one] period should be daily, weekly or monthly"),
    ("[one]\nperiod = 1", "[one] period should be daily, weekly or monthly"),
    ('[one]\nperiod = "daily"\nevery = "1h"', "[one] should have only one of period and every"),
    ('[one]\nzone = "UTC"', "[one] zone needs a period"),
    ('[one]\nperiod = "daily"\nzone = "Berlin"', "[one] zone should be a zone such as Europe/Berlin"),
    ('[one]\nperiod = "daily"\nzone = "../../etc/passwd"', "[one] zone should be a zone"),
    ('[one]\nperiod = "daily"\nzone = "europe/berlin"', "[one] zone should be a zone"),
    ('[one]\nperiod = "daily"\nzone = ["UTC"]', "[one] zone should be a zone"),
    ('[one]\nperiod = "daily"\nzone = ""', "[one] zone should be a zone"),
    ('[one]\nevery = "1h"\nzone = "UTC"', "[one] zone is for a period or seasons"),
    *[
        (f"[one]\nevery = {every}", "[one] every should be a length")
        for every in ('"0h"', '"h"', '"1s"', '"1w"', '"-1h"', "60", '"367d"', '"1.5h"', '"٣h"', '"9999999d"')
    ],
    ("[one]\nkeep_closed = 3", "[one] keep_closed needs a period"),
    *[
        (f'[one]\nperiod = "daily"\nkeep_closed = {kept}', "[one] keep_closed should be 0 to 1000")
        for kept in ("-1", "1001", "true", '"7"', "7.0")
    ],
    ("[one]\nseasons = []", "[one] seasons should be a list of 1 to 256 tables"),
    ('[one]\nseasons = "autumn"', "[one] seasons should be a list of 1 to 256 tables"),
    ("[one]\nseasons = [1]", "[one] seasons[0] should have name, begins and ends"),
    ('[one]\nseasons = [{ name = "a", begins = 2026-01-01 }]', "[one] seasons[0] should have name, begins and ends"),
    (f"[one]\nseasons = [{SEASON.format('A', '2026-01-01', '2026-02-01')}]", "[one] seasons[0] name should be small letters"),
    (f"[one]\nseasons = [{SEASON.format('a', '2026-02-01', '2026-02-01')}]", "[one] seasons[0] ends should be later than begins"),
    (f"[one]\nseasons = [{SEASON.format('a', '07:32:00', '2026-02-01')}]", "[one] seasons[0] begins should be a date or a time"),
    (
        f"[one]\nseasons = [{SEASON.format('a', '1969-02-01', '2026-02-01')}]",
        "[one] seasons[0] begins should be a year from 1970",
    ),
    (
        f"[one]\nseasons = [{SEASON.format('a', '2026-01-01', '2026-03-01')}, {SEASON.format('b', '2026-02-01', '2026-04-01')}]",
        "[one] seasons should not overlap: a and b do",
    ),
    (
        f"[one]\nseasons = [{SEASON.format('a', '2026-01-01', '2026-02-01')}, {SEASON.format('a', '2026-02-01', '2026-03-01')}]",
        "[one] seasons should have names that differ",
    ),
    ("\n".join(f"[b{number}]" for number in range(BOARDS_MAX)), f"should describe at most {BOARDS_MAX} boards"),
]


@pytest.mark.parametrize(("text", "complaint"), MISTAKES)
def test_each_mistake_is_one_line_that_names_file_board_and_member(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "boards.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(BadSettings) as refused:
        load_boards(file, TYPES)
    said = str(refused.value)
    assert said.startswith(f"SCOREBOARD_BOARDS_FILE ({file}): {complaint}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[one", "should be TOML"),
        (b"\xff", "TOML is UTF-8"),
        (b"a = " + b"[" * 5_000, "should be TOML"),
        (b"[one]\n[one]", "should be TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "boards.toml"
    file.write_bytes(content)
    with pytest.raises(BadSettings, match=complaint) as refused:
        load_boards(file, TYPES)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"^SCOREBOARD_BOARDS_FILE should name a readable file, for example .*boards.toml: "):
        load_boards(tmp_path / "none", TYPES)


def test_the_order_of_seasons_in_the_file_does_not_matter() -> None:
    texts: list[Any] = [SEASON.format("b", "2026-02-01", "2026-03-01"), SEASON.format("a", "2026-01-01", "2026-02-01")]
    assert board(f"[one]\nseasons = [{', '.join(texts)}]") == board(f"[one]\nseasons = [{', '.join(reversed(texts))}]")


def test_the_examples_of_the_page_are_boards_of_the_packaged_catalogue() -> None:
    page = (ROOT / "docs" / "boards.md").read_text("utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    types = tomllib.loads((ROOT / "config" / "actions.toml").read_text("utf-8"))
    found = parse_boards(example, types)
    assert [one.board_id for one in found] == ["global", "hourly", "berlin", "best-find", "matches", "season"]
