"""The diagrams of the documentation, drawn by Mermaid in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page

from tests.docs.pages import ROOT, Block, blocks
from tests.pages.chromium import chromium
from tests.programs import node_modules

#: Give a directory here to look at the drawings.
DRAWN = os.environ.get("DIAGRAMS")
DIAGRAMS = [block for block in blocks() if block.language == "mermaid"]
DRAW = """async (text) => {
    mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
    const { svg } = await mermaid.render("drawn", text);
    document.body.innerHTML = svg;
    return document.body.innerText;
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    modules = node_modules(ROOT / "tests" / "docs" / "node", "mermaid")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.add_script_tag(path=modules / "mermaid" / "dist" / "mermaid.min.js")
        yield page


def test_the_four_flows_of_the_specification_have_a_diagram() -> None:
    assert [block.page for block in DIAGRAMS] == ["docs/flows.md"] * 4
    headings = [
        text_line[3:] for text_line in (ROOT / "docs" / "flows.md").read_text().splitlines() if text_line.startswith("## ")
    ]
    assert headings == ["Score submission", "Leaderboard broadcast", "Security validation", "System architecture"]


@pytest.mark.parametrize("block", DIAGRAMS, ids=lambda block: f"line-{block.starts_at}")
def test_a_diagram_is_drawn_without_a_fault(block: Block, page: Page) -> None:
    shown = page.evaluate(DRAW, block.text)
    assert "Syntax error" not in shown
    for word in ("Announcer", "room", "INVALID_ACTION", "Ledger"):
        assert word not in block.text or word in shown
    if DRAWN:
        page.locator("svg").screenshot(path=Path(DRAWN) / f"line-{block.starts_at}.png")


def test_a_wrong_diagram_is_noticed(page: Page) -> None:
    with pytest.raises(Error):
        page.evaluate(DRAW, DIAGRAMS[0].text.replace("C->>A: POST", "C->>A POST"))
