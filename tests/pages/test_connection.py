"""Who watches, and over what a line: it falls and comes back, tokens end, a player sees the own place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import BEA_LEADS, PLAYERS, Watch, expect_live
from tests.pages.fake_server import RESTARTING, SUSPENDED, TOKEN_OVER, FakeServer, iso, rows, token_for, user_id_of

KAI = user_id_of("Kai")


def until(page: Page, is_so: Callable[[], bool]) -> None:
    """Let the page go on until this is so at the server."""
    for _ in range(300):
        if is_so():
            return
        page.wait_for_timeout(10)
    raise AssertionError("it never came to be so")


def let_pass(page: Page, seconds: int) -> None:
    """Let the page's clock run on, a second at a time: what it asks the server meanwhile is answered."""
    for _ in range(seconds):
        page.clock.run_for(1_000)
        page.wait_for_timeout(20)


def place(**more: Any) -> dict[str, Any]:
    return {"userId": KAI, "username": "Kai", "score": 1250, "rank": 45, "percentile": 85.5, "lastUpdated": iso(), **more}


class TestLine:
    def test_a_fallen_line_comes_back_by_itself_and_says_so(self, watch: Watch, server: FakeServer) -> None:
        page = watch()
        expect_live(page)
        server.is_down = True
        server.drop(1011)
        expect(page.locator("#connection")).to_have_text(re.compile(r"^Offline · retrying in \d s$"))
        expect(page.get_by_role("status")).to_have_text("The connection is lost. Trying again by itself.")
        server.is_down = False
        server.show(rows(*BEA_LEADS))
        expect_live(page)
        expect(page.locator(".row .name").first).to_have_text("Bea")
        expect(page.get_by_role("status")).to_have_text("The board is live again.")

    def test_comes_back_at_once_when_the_network_does(self, watch: Watch, server: FakeServer) -> None:
        page = watch()
        expect_live(page)
        server.drop(RESTARTING)
        expect(page.locator("#connection")).to_have_text(re.compile(r"^Offline · retrying in [1-5] s$"))
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Live", timeout=900)

    def test_believes_the_first_board_of_a_new_line(self, watch: Watch, server: FakeServer) -> None:
        server.show(rows(*PLAYERS), epoch=7)
        page = watch()
        expect_live(page)
        server.drop(1011)
        expect(page.locator("#connection")).to_contain_text("Offline")
        server.show(rows(("New", 5)), epoch=1)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".row .name")).to_have_text(["New"])

    def test_a_lent_token_is_renewed_over_the_open_line(self, watch: Watch, server: FakeServer) -> None:
        server.lent_life_s = 60
        page = watch()
        expect_live(page)
        page.evaluate("dispatchEvent(new Event('online'))")
        until(page, lambda: len(server.taken_tokens) == 2)
        assert server.taken_tokens == server.lent_tokens
        assert server.sockets == 1
        expect_live(page)

    def test_a_suspended_player_watches_on_as_a_spectator(self, watch: Watch, server: FakeServer) -> None:
        server.place = place()
        page = watch(f"/#token={token_for(KAI, 'Kai')}")
        expect_live(page)
        server.drop(SUSPENDED)
        until(page, lambda: len(server.lent_tokens) == 1)
        expect_live(page)
        expect(page.get_by_role("region", name="Your place")).to_be_hidden()

    def test_a_lent_token_that_ended_is_changed_for_another(self, watch: Watch, server: FakeServer) -> None:
        page = watch()
        expect_live(page)
        server.drop(TOKEN_OVER)
        until(page, lambda: len(server.taken_tokens) == 2)
        assert server.taken_tokens == server.lent_tokens
        expect_live(page)


class TestDelay:
    def test_a_board_that_may_be_out_of_date_is_delayed_until_there_is_news(self, watch: Watch, server: FakeServer) -> None:
        page = watch()
        expect_live(page)
        live = page.locator(".connection-dot").evaluate("(element) => getComputedStyle(element).backgroundColor")
        server.is_degraded = True
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Delayed")
        expect(page.get_by_role("status")).to_have_text("The board may be out of date.")
        assert page.locator(".connection-dot").evaluate("(element) => getComputedStyle(element).backgroundColor") != live
        server.is_degraded = False
        server.show(rows(*BEA_LEADS))
        expect_live(page)
        expect(page.get_by_role("status")).to_have_text("The board is live again.")

    def test_a_quiet_board_is_asked_for_within_36_seconds_and_players_are_not(self, watch: Watch, server: FakeServer) -> None:
        page = watch("/")
        page.clock.install()
        page.goto("about:blank")
        page.goto(f"{server.url}/#token={token_for(KAI, 'Kai')}")
        expect(page.locator(".row .name").first).to_have_text("Ada")
        let_pass(page, 16)  # the place that the first snapshot made due
        expect_live(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        server.is_degraded = True
        before = server.joins
        let_pass(page, 37)
        until(page, lambda: server.joins > before)
        expect(page.locator("#connection")).to_have_text("Delayed")
        let_pass(page, 40)
        assert asked == [], "a board that did not change moved no player"
        server.is_degraded = False
        let_pass(page, 37)
        expect_live(page)

    def test_a_page_that_is_opened_meanwhile_says_so_too(self, watch: Watch, server: FakeServer) -> None:
        server.is_degraded = True
        page = watch()
        expect(page.locator("#connection")).to_have_text("Delayed")
        expect(page.locator(".row .name").first).to_have_text("Ada")

    def test_a_board_that_cannot_be_read_is_delayed_and_the_line_stands(self, watch: Watch, server: FakeServer) -> None:
        page = watch()
        expect_live(page)
        server.is_unreadable = True
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Delayed")
        server.is_unreadable = False
        page.evaluate("dispatchEvent(new Event('online'))")
        expect_live(page)
        assert server.sockets == 1


class TestPlayer:
    def test_sees_the_own_rank_and_hears_of_it(self, watch: Watch, server: FakeServer) -> None:
        server.place = place()
        page = watch(f"/#token={token_for(KAI, 'Kai')}")
        own = page.get_by_role("region", name="Your place")
        expect(own).to_contain_text("Rank 45 Kai ahead of 85.5 %")
        assert page.url == f"{server.url}/"
        assert server.taken_tokens == [page.evaluate("sessionStorage.getItem('scoreboard.token')")]
        assert page.evaluate("localStorage.length") == 0
        server.change("Kai", 1350, 31, 45)
        expect(own).to_contain_text("Rank 31 Kai ahead of 90 %")
        expect(own).to_contain_text("1,350 points")
        server.tell("rank:achieved", "RANK_ACHIEVED", {"userId": KAI, "milestone": 50, "newRank": 31, "previousRank": 51})
        expect(own.get_by_text("Top 50")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("You entered the top 50!")
        server.tell("achievement:unlocked", "SCORE_MILESTONE", {"userId": KAI, "milestone": 1000, "score": 1350})
        expect(own.get_by_text("1,000 points")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("You reached 1,000 points!")

    def test_is_marked_on_the_board(self, watch: Watch, server: FakeServer) -> None:
        server.place = place()
        page = watch(f"/#token={token_for(KAI, 'Kai')}")
        expect(page.get_by_role("region", name="Your place")).to_be_visible()
        server.show(rows(*PLAYERS[:2], ("Kai", 750)), total=310)
        expect(page.get_by_role("row", name="Kai")).to_have_class(re.compile("own"))
        expect(page.get_by_role("row", name="Kai").get_by_text("You")).to_be_visible()
        expect(page.get_by_role("region", name="Your place")).to_contain_text("Rank 3 Kai")

    def test_gives_a_token_by_hand_and_takes_it_back(self, watch: Watch, server: FakeServer) -> None:
        server.place = place(score=0, rank=None, percentile=None)
        page = watch()
        expect_live(page)
        page.get_by_role("button", name="Watch as a player").press("Enter")
        field = page.get_by_label("Access token")
        expect(field).to_be_focused()
        field.fill("nonsense")
        field.press("Enter")
        expect(page.get_by_text("This is no access token")).to_be_visible()
        field.fill(token_for(KAI, "Kai"))
        field.press("Enter")
        expect(page.get_by_text("Watching as Kai")).to_be_visible()
        expect(page.get_by_role("region", name="Your place")).to_contain_text("no score yet")
        expect(field).to_be_hidden()
        page.get_by_role("button", name="Stop watching").click()
        expect(page.get_by_text("Watching as a spectator")).to_be_visible()
        expect(page.get_by_role("region", name="Your place")).to_be_hidden()
        assert page.evaluate("sessionStorage.length") == 0

    @pytest.mark.parametrize("is_public", [True, False])
    def test_a_token_that_is_refused_is_forgotten_with_a_word(self, watch: Watch, server: FakeServer, is_public: bool) -> None:
        server.is_public = is_public
        token = token_for(KAI, "Kai")
        server.refused_tokens.add(token)
        page = watch(f"/#token={token}")
        expect(page.get_by_text("The token was not accepted or has expired.").first).to_be_visible()
        expect(page.locator("#connection")).to_have_text("Live" if is_public else "Not signed in")
        assert page.evaluate("sessionStorage.length") == 0

    def test_a_board_that_is_not_public_asks_for_a_token(self, watch: Watch, server: FakeServer) -> None:
        server.is_public = False
        page = watch()
        expect(page.get_by_text("This board is shown to those who sign in with a token.")).to_be_visible()
        page.get_by_label("Access token").fill(token_for("wall", "Wall", role="spectator"))
        page.get_by_role("button", name="Watch", exact=True).click()
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(["Ada", "Bea", "Cai", "Dov"])
        expect(page.get_by_text("Watching with a token")).to_be_visible()
