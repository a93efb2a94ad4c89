"""The page's connection: reconnects, a degraded board, tokens, and the signed-in player's own rank."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import BEA_LEADS, PLAYERS, OpenPage, expect_live, wait_until
from tests.pages.fake_server import SERVICE_RESTART, SUSPENDED, TOKEN_EXPIRED, FakeServer, iso, rows, token_for, user_id_of

KAI = user_id_of("Kai")

#: What the page shows when the server asked it to wait for half a minute.
LONG_WAIT = re.compile(r"^Offline · retrying in (2[3-9]|30) s$")
#: A script by which the page draws the longest wait of each range.
LONGEST_WAITS = "Math.random = () => 0.999;"


def advance_clock(page: Page, seconds: int) -> None:
    """Advance the page's clock second by second, with pauses in which the server answers the page's requests."""
    for _ in range(seconds):
        page.clock.run_for(1_000)
        page.wait_for_timeout(20)


def own_rank(**more: Any) -> dict[str, Any]:
    return {"userId": KAI, "username": "Kai", "score": 1250, "rank": 45, "percentile": 85.5, "lastUpdated": iso(), **more}


class TestReconnect:
    def test_a_closed_connection_is_reopened_and_announced(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        server.refuses_connections = True
        server.close_connections(1011)
        expect(page.locator("#connection")).to_have_text(re.compile(r"^Offline · retrying in \d s$"))
        expect(page.get_by_role("status")).to_have_text("The connection is lost. The page tries again.")
        server.refuses_connections = False
        server.set_board(rows(*BEA_LEADS))
        expect_live(page)
        expect(page.locator(".row .name").first).to_have_text("Bea")
        expect(page.get_by_role("status")).to_have_text("The board is live again.")

    def test_the_page_reconnects_at_once_when_the_network_returns(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page(before=LONGEST_WAITS)
        expect_live(page)
        server.close_connections(SERVICE_RESTART)
        expect(page.locator("#connection")).to_have_text("Offline · retrying in 5 s")
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Live", timeout=3_000)

    def test_a_button_starts_the_next_attempt_at_once(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        retry = page.get_by_role("button", name="Retry now")
        expect(retry).to_be_hidden()
        server.spectator_refusals = ["30"] * 9
        server.close_connections(TOKEN_EXPIRED)
        expect(page.locator("#connection")).to_have_text(LONG_WAIT)
        refusals = len(server.spectator_refusals)
        retry.press("Enter")
        wait_until(page, lambda: len(server.spectator_refusals) < refusals)
        expect(page.locator("#connection")).to_have_text(LONG_WAIT)
        expect(retry).to_be_focused()
        server.spectator_refusals = []
        retry.press("Enter")
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(retry).to_be_hidden()

    @pytest.mark.parametrize(
        "event",
        [
            "new Event('online')",
            "new PageTransitionEvent('pageshow', { persisted: true })",
            "new Event('visibilitychange', { bubbles: true })",
        ],
    )
    def test_after_a_long_outage_the_page_connects_at_once_when_network_or_tab_return(
        self, open_page: OpenPage, server: FakeServer, event: str
    ) -> None:
        server.spectator_refusals = ["30"] * 9
        page = open_page()
        expect(page.locator("#connection")).to_have_text(LONG_WAIT)
        server.spectator_refusals = []
        page.evaluate(f"(event => (event.bubbles ? document : window).dispatchEvent(event))({event})")
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)

    def test_an_attempt_that_hangs_is_replaced_when_the_network_returns(self, open_page: OpenPage, server: FakeServer) -> None:
        server.is_silent = True
        page = open_page()
        page.wait_for_timeout(2_300)
        expect(page.locator("#connection")).to_have_text("Connecting…")
        server.is_silent = False
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Live", timeout=5_000)

    def test_the_end_of_the_network_is_no_reason_to_connect(self, open_page: OpenPage, server: FakeServer) -> None:
        server.spectator_refusals = ["30"] * 9
        page = open_page()
        expect(page.locator("#connection")).to_contain_text("Offline")
        page.evaluate("dispatchEvent(new Event('offline'))")
        page.wait_for_timeout(100)
        assert len(server.spectator_refusals) == 8

    def test_the_first_snapshot_after_a_reconnect_is_accepted(self, open_page: OpenPage, server: FakeServer) -> None:
        server.set_board(rows(*PLAYERS), epoch=7)
        page = open_page()
        expect_live(page)
        server.close_connections(1011)
        expect(page.locator("#connection")).to_contain_text("Offline")
        server.set_board(rows(("New", 5)), epoch=1)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".row .name")).to_have_text(["New"])

    def test_a_spectator_token_is_renewed_over_the_open_connection(self, open_page: OpenPage, server: FakeServer) -> None:
        server.spectator_token_s = 60
        page = open_page()
        expect_live(page)
        page.evaluate("dispatchEvent(new Event('online'))")
        wait_until(page, lambda: len(server.accepted_tokens) == 2)
        assert server.accepted_tokens == server.spectator_tokens
        assert server.connection_count == 1
        expect_live(page)

    def test_a_suspended_player_becomes_a_spectator(self, open_page: OpenPage, server: FakeServer) -> None:
        server.own_rank = own_rank()
        page = open_page(f"/#token={token_for(KAI, 'Kai')}")
        expect_live(page)
        server.close_connections(SUSPENDED)
        wait_until(page, lambda: len(server.spectator_tokens) == 1)
        expect_live(page)
        expect(page.get_by_role("region", name="Your rank")).to_be_hidden()

    def test_an_expired_spectator_token_is_replaced(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        server.close_connections(TOKEN_EXPIRED)
        wait_until(page, lambda: len(server.accepted_tokens) == 2)
        assert server.accepted_tokens == server.spectator_tokens
        expect_live(page)


class TestDegraded:
    def test_a_degraded_board_is_delayed_until_the_next_event(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        live = page.locator(".connection-dot").evaluate("(element) => getComputedStyle(element).backgroundColor")
        server.is_degraded = True
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Delayed")
        expect(page.get_by_role("status")).to_have_text("The board may be out of date.")
        assert page.locator(".connection-dot").evaluate("(element) => getComputedStyle(element).backgroundColor") != live
        server.is_degraded = False
        server.set_board(rows(*BEA_LEADS))
        expect_live(page)
        expect(page.get_by_role("status")).to_have_text("The board is live again.")

    def test_the_page_requests_a_quiet_board_within_36_s_but_not_the_players_rank(
        self, open_page: OpenPage, server: FakeServer
    ) -> None:
        page = open_page("/")
        page.clock.install()
        page.goto("about:blank")
        page.goto(f"{server.url}/#token={token_for(KAI, 'Kai')}")
        expect(page.locator(".row .name").first).to_have_text("Ada")
        advance_clock(page, 16)  # the first snapshot made the player's rank stale
        expect_live(page)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        server.is_degraded = True
        before = server.join_count
        advance_clock(page, 37)
        wait_until(page, lambda: server.join_count > before)
        expect(page.locator("#connection")).to_have_text("Delayed")
        advance_clock(page, 40)
        assert requests == [], "the player's rank is not stale while the board does not change"
        server.is_degraded = False
        advance_clock(page, 37)
        expect_live(page)

    def test_a_page_that_opens_on_a_degraded_board_is_delayed(self, open_page: OpenPage, server: FakeServer) -> None:
        server.is_degraded = True
        page = open_page()
        expect(page.locator("#connection")).to_have_text("Delayed")
        expect(page.locator(".row .name").first).to_have_text("Ada")

    def test_an_unavailable_board_is_delayed_and_the_connection_stays_open(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        server.is_unavailable = True
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#connection")).to_have_text("Delayed")
        server.is_unavailable = False
        page.evaluate("dispatchEvent(new Event('online'))")
        expect_live(page)
        assert server.connection_count == 1


class TestSignIn:
    def test_a_player_sees_their_rank_and_milestones(self, open_page: OpenPage, server: FakeServer) -> None:
        server.own_rank = own_rank()
        page = open_page(f"/#token={token_for(KAI, 'Kai')}")
        own = page.get_by_role("region", name="Your rank")
        expect(own).to_contain_text("Rank 45 Kai ahead of 85.5 %")
        assert page.url == f"{server.url}/"
        assert server.accepted_tokens == [page.evaluate("sessionStorage.getItem('scoreboard.token')")]
        assert page.evaluate("localStorage.length") == 0
        server.change_score("Kai", 1350, 31, 45)
        expect(own).to_contain_text("Rank 31 Kai ahead of 90 %")
        expect(own).to_contain_text("1,350 points")
        server.broadcast("rank:achieved", "RANK_ACHIEVED", {"userId": KAI, "milestone": 50, "newRank": 31, "previousRank": 51})
        expect(own.get_by_text("Top 50")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("You entered the top 50!")
        server.broadcast("achievement:unlocked", "SCORE_MILESTONE", {"userId": KAI, "milestone": 1000, "score": 1350})
        expect(own.get_by_text("1,000 points")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("You reached 1,000 points!")

    def test_the_players_own_row_is_marked_on_the_board(self, open_page: OpenPage, server: FakeServer) -> None:
        server.own_rank = own_rank()
        page = open_page(f"/#token={token_for(KAI, 'Kai')}")
        expect(page.get_by_role("region", name="Your rank")).to_be_visible()
        server.set_board(rows(*PLAYERS[:2], ("Kai", 750)), total=310)
        expect(page.get_by_role("row", name="Kai")).to_have_class(re.compile("own"))
        expect(page.get_by_role("row", name="Kai").get_by_text("You")).to_be_visible()
        expect(page.get_by_role("region", name="Your rank")).to_contain_text("Rank 3 Kai")

    def test_a_viewer_signs_in_with_a_token_and_signs_out(self, open_page: OpenPage, server: FakeServer) -> None:
        server.own_rank = own_rank(score=0, rank=None, percentile=None)
        page = open_page()
        expect_live(page)
        page.get_by_role("button", name="Watch as a player").press("Enter")
        field = page.get_by_label("Access token")
        expect(field).to_be_focused()
        field.fill("nonsense")
        field.press("Enter")
        expect(page.get_by_text("This is not an access token")).to_be_visible()
        field.fill(token_for(KAI, "Kai"))
        field.press("Enter")
        expect(page.get_by_text("Watching as Kai")).to_be_visible()
        expect(page.get_by_role("region", name="Your rank")).to_contain_text("no score yet")
        expect(field).to_be_hidden()
        page.get_by_role("button", name="Stop watching").click()
        expect(page.get_by_text("Watching as a spectator")).to_be_visible()
        expect(page.get_by_role("region", name="Your rank")).to_be_hidden()
        assert page.evaluate("sessionStorage.length") == 0

    def test_a_token_is_found_in_what_was_pasted(self, open_page: OpenPage, server: FakeServer) -> None:
        token = token_for(KAI, "Kai")
        broken = f"{token[:40]}\u00a0\n {token[40:90]} {token[90:]}"
        page = open_page()
        expect_live(page)
        for text in (
            f"Bearer {token}",
            f" bearer  {token}\t",
            f"Authorization: Bearer {token}",
            f"Bearer Bearer {token}",
            broken,
        ):
            page.get_by_role("button", name="Watch as a player").click()
            page.get_by_label("Access token").fill(text)
            page.get_by_role("button", name="Watch", exact=True).click()
            expect(page.get_by_text("Watching as Kai")).to_be_visible()
            expect_live(page)
            wait_until(page, lambda: server.accepted_tokens[-1] == token)
            page.get_by_role("button", name="Stop watching").click()

    def test_what_is_no_token_is_refused_at_once_and_nothing_changes(self, open_page: OpenPage, server: FakeServer) -> None:
        token = token_for(KAI, "Kai")
        head, claims, signature = token.split(".")
        wrong = [
            f'"{token}"',
            f"'{token}'",
            f"{token},",
            f"{token}ü",
            f"{token}.{token}",
            f"{head}.{claims}",
            f"{head}.{claims}.",
        ]
        wrong += [f"{head}..{signature}", f"token={token}", f'{{"token": "{token}"}}', "x" * 4_000 + token]
        page = open_page()
        expect_live(page)
        page.get_by_role("button", name="Watch as a player").click()
        known = len(server.accepted_tokens)
        for text in wrong:
            page.get_by_label("Access token").fill(text)
            page.get_by_role("button", name="Watch", exact=True).click()
            expect(page.get_by_text("This is not an access token. A token has three parts")).to_be_visible()
            assert page.evaluate("sessionStorage.length") == 0, text
        expect_live(page)
        assert len(server.accepted_tokens) == known

    def test_a_fragment_with_bearer_signs_in_and_one_without_a_token_says_so(
        self, open_page: OpenPage, server: FakeServer
    ) -> None:
        expect(open_page(f"/#token=Bearer%20{token_for(KAI, 'Kai')}").get_by_text("Watching as Kai")).to_be_visible()
        page = open_page("/#token=%22undefined%22")
        expect(page.get_by_text("This is not an access token. A token has three parts")).to_be_visible()
        expect_live(page)
        assert page.evaluate("[sessionStorage.length, location.hash]") == [0, ""]

    def test_a_kept_token_whose_form_the_server_refuses_is_deleted_with_a_message(
        self, open_page: OpenPage, server: FakeServer
    ) -> None:
        """An older page kept it, so that a reload alone did not help."""
        server.refuses_forms = True
        page = open_page()
        expect_live(page)
        page.evaluate("token => sessionStorage.setItem('scoreboard.token', token)", f"{token_for(KAI, 'Kai')}ü")
        page.reload()
        expect(page.get_by_text("The token was not accepted or has expired.").first).to_be_visible()
        expect_live(page)
        assert page.evaluate("sessionStorage.length") == 0

    @pytest.mark.parametrize("is_public", [True, False])
    def test_a_rejected_token_is_deleted_with_a_message(self, open_page: OpenPage, server: FakeServer, is_public: bool) -> None:
        server.is_public = is_public
        token = token_for(KAI, "Kai")
        server.rejected_tokens.add(token)
        page = open_page(f"/#token={token}")
        expect(page.get_by_text("The token was not accepted or has expired.").first).to_be_visible()
        expect(page.locator("#connection")).to_have_text("Live" if is_public else "Not signed in")
        assert page.evaluate("sessionStorage.length") == 0

    @pytest.mark.parametrize("name", [{"toString": None, "valueOf": None}, None, 7, ["Kai"], ""])
    def test_a_name_of_any_json_type_in_a_token_does_not_end_the_page(
        self, open_page: OpenPage, server: FakeServer, name: Any
    ) -> None:
        token = token_for(KAI, name)
        server.rejected_tokens.add(token)
        page = open_page(f"/#token={token}")
        expect(page.get_by_text("The token was not accepted or has expired.").first).to_be_visible()

    def test_a_board_that_is_not_public_requires_a_token(self, open_page: OpenPage, server: FakeServer) -> None:
        server.is_public = False
        page = open_page()
        expect(page.get_by_text("This board is shown to those who sign in with a token.")).to_be_visible()
        page.get_by_label("Access token").fill(token_for("wall", "Wall", role="spectator"))
        page.get_by_role("button", name="Watch", exact=True).click()
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(["Ada", "Bea", "Cai", "Dov"])
        expect(page.get_by_text("Watching with a token")).to_be_visible()
