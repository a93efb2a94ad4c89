"""The accessibility rules of axe, on the page in each of its states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import OpenPage, expect_live
from tests.pages.fake_server import PAGES, FakeServer, rows, token_for
from tests.programs import node_modules

NODE = Path(__file__).parent / "node"


def violations(page: Page) -> list[tuple[str, str]]:
    """(rule, element) for each violation. The policy of the page allows no script tag, so the source is evaluated."""
    page.evaluate((node_modules(NODE, "axe-core") / "axe-core" / "axe.min.js").read_text() + "; undefined")
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run(document)).violations")
    return [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(open_page: OpenPage, server: FakeServer, color_scheme: str) -> None:
    options: dict[str, Any] = {"color_scheme": color_scheme, "reduced_motion": "reduce"}
    found = {}
    server.own_rank = {"userId": "user-kai", "username": "Kai", "score": 5, "rank": 45, "percentile": 85.5, "lastUpdated": None}
    page = open_page(f"/#token={token_for('user-kai', 'Kai')}", **options)
    expect(page.get_by_role("region", name="Your rank")).to_be_visible()
    found["live"] = violations(page)
    server.spectator_refusals = ["30"] * 9
    page = open_page(viewport={"width": 320, "height": 640}, **options)
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    page.get_by_role("button", name="Watch as a player").click()
    found["offline"] = violations(page)
    server.spectator_refusals = []
    server.set_board(rows())
    page = open_page(**options)
    expect_live(page)
    found["empty"] = violations(page)
    server.is_public = False
    page = open_page(**options)
    expect(page.locator("#connection")).to_have_text("Not signed in")
    found["signed out"] = violations(page)
    server.replaced_files["static/board.js"] = (PAGES / "static" / "board.js").read_text() + "\nfuture syntax;"
    page = open_page(may_throw=True, **options)
    expect(page.get_by_role("alert")).to_be_visible()
    found["too old"] = violations(page)
    assert {state: one for state, one in found.items() if one} == {}
