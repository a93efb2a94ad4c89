"""The pages show the example files as they are, and each link leads to a file or a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLES, PAGES, ROOT, included

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")


def test_every_block_that_includes_a_file_equals_it() -> None:
    different = [(page, path) for page, path, text in included() if text != (ROOT / path).read_text("utf-8")]
    assert different == [], "python -m tests.docs.pages writes the files into the pages"


def test_every_example_is_on_a_page() -> None:
    files = {
        path.relative_to(ROOT).as_posix() for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == {path for _, path, _ in included()}


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text("utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), (page.name, path)
        if anchor:
            assert anchor in headings(target), (page.name, path, anchor)
