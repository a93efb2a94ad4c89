"""What the page's tests share: one browser, and a server each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.chromium import chromium, watching
from tests.pages.fake_server import FakeServer, rows

PLAYERS = (("Ada", 900), ("Bea", 800), ("Cai", 700), ("Dov", 600))

BEA_LEADS = (("Bea", 950), ("Ada", 900), ("Cai", 700), ("Dov", 600))

#: Once the first name on the board is this one: what was moving then.
MOVING_WHEN_FIRST = """(name) => document.querySelector(".row .name")?.textContent === name
    && { moving: document.getAnimations().filter((a) => a.effect.target.matches(".row") && !(a instanceof CSSTransition)).length,
         all: document.getAnimations().length }"""

Watch = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for this package: it goes away with it, for its event loop would be in the way of others."""
    with chromium() as launched:
        yield launched


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose board shows PLAYERS."""
    serving = FakeServer()
    serving.show(rows(*PLAYERS, age_s=90), total=310)
    yield serving
    serving.close()


@pytest.fixture
def watch(browser: Browser, server: FakeServer) -> Iterator[Watch]:
    """Opens the page; when the test is over it must have done nothing that a strict page never does."""
    with ExitStack() as open_pages:

        def opened(path: str = "/", **context: Any) -> Page:
            page = open_pages.enter_context(watching(browser, server.url, path, **context))
            page.set_default_timeout(6_000)
            return page

        yield opened


def expect_live(page: Page) -> None:
    """The page says that it is live."""
    expect(page.locator("#connection")).to_have_text("Live")
