"""The pages for developers name files that exist, links lead to pages and headings that exist, and the glossary stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.journeys.server import ROOT

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", ["architecture.md", "words.md"])
def test_every_file_that_a_page_for_developers_names_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text().partition("\nNew names")[0]
    named = re.findall(r"`([\w./]+(?:\.(?:py|lua|js|toml|example)|/))`", text)
    assert len(named) > 20
    assert [name for name in named if not any((root / name).exists() for root in (ROOT, ROOT / "scoreboard"))] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    wrong = []
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        to = page.parent / target if target else page
        if not to.exists() or (anchor and anchor not in headings(to)):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_the_glossary_has_at_most_25_words() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "words.md").read_text(), re.MULTILINE)
    assert 10 <= len(words) <= 25
