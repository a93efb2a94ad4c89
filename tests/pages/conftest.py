"""Fixtures of the page's tests: one browser for all, one server for each test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.chromium import chromium, strict_page
from tests.pages.fake_server import FakeServer, rows

expect.set_options(timeout=20_000)

PLAYERS = (("Ada", 900), ("Bea", 800), ("Cai", 700), ("Dov", 600))

BEA_LEADS = (("Bea", 950), ("Ada", 900), ("Cai", 700), ("Dov", 600))

#: Once this name is first on the board: the number of animated rows, and of all animations.
ANIMATIONS_WHEN_FIRST = """(name) => document.querySelector(".row .name")?.textContent === name
    && { moving: document.getAnimations().filter((a) => a.effect.target.matches(".row") && !(a instanceof CSSTransition)).length,
         all: document.getAnimations().length }"""

#: Keeps what ANIMATIONS_WHEN_FIRST finds in the very task in which the page puts this name first: an animation ends by itself.
WATCH_ANIMATIONS = f"""(name) => {{
    const find = {ANIMATIONS_WHEN_FIRST};
    window.animationsSeen = new Promise((resolve) => new MutationObserver((_, observer) => {{
        const seen = find(name);
        if (!seen) return;
        observer.disconnect();
        resolve(seen);
    }}).observe(document.getElementById("rows"), {{ childList: true, subtree: true, characterData: true }}));
}}"""

#: Deletes each named member, such as "URL.canParse", before the page's scripts run.
TAKE_AWAY = """for (const path of %s) {
    const names = path.split("."), last = names.pop();
    const owner = names.reduce((found, name) => found?.[name], window);
    if (owner) delete owner[last];
}"""

OpenPage = Callable[..., Page]


def without(*functions: str) -> str:
    """A script that makes a browser of one that lacks these functions."""
    return TAKE_AWAY % json.dumps(functions)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for this package; a longer scope would leave its event loop running in other packages."""
    with chromium() as launched:
        yield launched


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose board shows PLAYERS."""
    serving = FakeServer()
    serving.set_board(rows(*PLAYERS, age_s=90), total=310)
    yield serving
    serving.close()


@pytest.fixture
def open_page(browser: Browser, server: FakeServer) -> Iterator[OpenPage]:
    """Opens a strict page, whose violations fail the test at its end."""
    with ExitStack() as open_pages:

        def open_one(path: str = "/", **context: Any) -> Page:
            page = open_pages.enter_context(strict_page(browser, server.url, path, **context))
            page.set_default_timeout(20_000)
            return page

        yield open_one


def expect_live(page: Page) -> None:
    """The page says that it is live."""
    expect(page.locator("#connection")).to_have_text("Live")


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    """Run the page until the condition holds."""
    until_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until_s, "the condition did not hold within twenty seconds"
        page.wait_for_timeout(10)
