"""The page of faults names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.journeys.server import ROOT

NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(?:\w+::)?(\w+))?`", (ROOT / "docs" / "faults.md").read_text())


def test_every_row_names_a_test() -> None:
    rows = [text_line for text_line in (ROOT / "docs" / "faults.md").read_text().splitlines() if text_line.startswith("| ")]
    faults = [row for row in rows if not row.startswith(("| Fault", "| Client, or"))]
    assert len(faults) > 30
    assert [row for row in faults if "`tests/" not in row and "the same" not in row] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text()
    assert not name or f"def {name}(" in source


def test_each_test_that_the_page_names_is_looked_for() -> None:
    assert len(NAMED) == len(re.findall(r"`tests/[^`]*\.py", (ROOT / "docs" / "faults.md").read_text()))
