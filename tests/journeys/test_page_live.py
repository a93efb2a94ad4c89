"""A browser shows the page of a real server while players get points."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.drills.test_redis_faults import redis_pid
from tests.journeys.server import ServerProcess
from tests.pages.chromium import chromium, strict_page
from tests.pages.conftest import WATCH_ANIMATIONS, expect_live, wait_until


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def public_server(new_server: Callable[..., ServerProcess]) -> ServerProcess:
    """A server with a public board, on which ann stands above ben."""
    server = new_server(PUBLIC_BOARD="true").start()
    for player in ("ann", "ann", "ben"):
        assert server.play(player).status == 200
    return server


def test_a_spectator_sees_a_row_move_and_its_player_sees_their_rank(browser: Browser, public_server: ServerProcess) -> None:
    with (
        strict_page(browser, public_server.url) as page,
        strict_page(browser, public_server.url, f"/#token={public_server.issue_token('ben')}") as own_page,
    ):
        own_rank = own_page.get_by_role("region", name="Your rank")
        expect(page.locator(".row .name")).to_have_text(["Ann", "Ben"])
        expect(page.locator("#players")).to_have_text("2 players")
        expect(own_rank).to_contain_text("Rank 2 Ben ahead of 0 %")
        public_server.play("ben")
        expect(page.locator(".row .points")).to_have_text(["200", "200"])
        page.evaluate(WATCH_ANIMATIONS, "Ben")
        public_server.play("ben")
        assert page.evaluate("animationsSeen")["moving"] == 2
        expect(page.locator(".row .name")).to_have_text(["Ben", "Ann"])
        expect(page.locator(".row .points")).to_have_text(["300", "200"])
        expect(own_rank).to_contain_text("Rank 1 Ben ahead of 50 %")
        expect(own_page.get_by_role("row", name="Ben").get_by_text("You")).to_be_visible()


def is_degraded(server: ServerProcess) -> bool:
    """Whether reads of the board are marked as degraded."""
    return bool(server.get("/api/v1/scores/leaderboard", server.issue_token("reader")).body["data"].get("degraded", False))


def test_the_page_shows_that_it_is_delayed_while_redis_is_silent(browser: Browser, public_server: ServerProcess) -> None:
    redis = redis_pid(public_server)
    with strict_page(browser, public_server.url) as page:
        expect_live(page)
        os.kill(redis, signal.SIGSTOP)
        try:
            wait_until(page, lambda: is_degraded(public_server))
            page.evaluate("dispatchEvent(new Event('online'))")  # without this the page asks again after half a minute
            expect(page.locator("#connection")).to_have_text("Delayed")
            expect(page.get_by_role("status")).to_have_text("The board may be out of date.")
            assert public_server.play("ben").status == 200
            page.evaluate("dispatchEvent(new Event('online'))")  # the degraded read from the ledger shows it
            expect(page.locator(".row .points")).to_have_text(["200", "200"])
            expect(page.locator("#connection")).to_have_text("Delayed")
        finally:
            os.kill(redis, signal.SIGCONT)
        wait_until(page, lambda: not is_degraded(public_server))
        assert public_server.play("ben").status == 200
        expect(page.locator(".row .name")).to_have_text(["Ben", "Ann"])
        expect_live(page)


def test_the_page_reconnects_when_the_server_is_back(browser: Browser, public_server: ServerProcess) -> None:
    with strict_page(browser, public_server.url) as page:
        expect_live(page)
        assert public_server.stop() == 0
        expect(page.locator("#connection")).to_contain_text("Offline · retrying in")
        public_server.start()
        page.evaluate("dispatchEvent(new Event('online'))")
        expect_live(page)
        assert public_server.play("cal").status == 200
        expect(page.locator(".row .name")).to_have_text(["Ann", "Ben", "Cal"])
