"""The live board: its rows, untrusted names, accessibility and text formats."""

from __future__ import annotations

import re
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import BEA_LEADS, PLAYERS, WATCH_ANIMATIONS, OpenPage, expect_live
from tests.pages.fake_server import FakeServer, rows, user_id_of

#: True when there are rows and no row is animated.
NO_ROW_MOVES = """() => document.querySelector(".row")
    && !document.getAnimations().some((a) => a.effect.target.matches(".row"))"""

#: A script by which a changed row stays highlighted: the page ends it after 2.2 s, which a slow test may not see.
LONG_HIGHLIGHT = """const setTimer = window.setTimeout;
    window.setTimeout = (work, ms) => setTimer(work, ms === 2200 ? 600_000 : ms);"""


def names(page: Page) -> list[str]:
    return page.locator(".row .name").all_text_contents()


def expect_settled(page: Page) -> None:
    """The page is live and no row moves."""
    expect_live(page)
    page.wait_for_function(NO_ROW_MOVES)


class TestBoard:
    def test_each_row_shows_rank_name_and_score(self, open_page: OpenPage) -> None:
        page = open_page()
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(["Ada", "Bea", "Cai", "Dov"])
        assert page.locator(".rank-number").all_text_contents() == ["1", "2", "3", "4"]
        assert page.locator(".row .points").all_text_contents() == ["900", "800", "700", "600"]
        expect(page.locator(".board-summary")).to_have_text("310 playersupdated 1 min ago")

    def test_a_change_of_ranks_moves_the_rows(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page(before=LONG_HIGHLIGHT)
        expect_settled(page)
        ada, bea = (page.locator(".row", has_text=name) for name in ("Ada", "Bea"))
        upper, lower = ada.bounding_box(), bea.bounding_box()
        assert upper
        assert lower
        assert upper["y"] < lower["y"]
        page.evaluate(WATCH_ANIMATIONS, "Bea")
        server.set_board(rows(*BEA_LEADS), total=310)
        assert page.evaluate("animationsSeen")["moving"] == 2
        expect(bea).to_have_class(re.compile("changed.* rank-up"))
        expect(bea.locator(".score-change")).to_have_text("+150")
        expect_settled(page)
        assert bea.bounding_box() == upper
        assert ada.bounding_box() == lower
        assert names(page) == ["Bea", "Ada", "Cai", "Dov"]

    def test_no_row_moves_when_the_viewer_prefers_reduced_motion(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page(reduced_motion="reduce", before=LONG_HIGHLIGHT)
        expect_settled(page)
        page.evaluate(WATCH_ANIMATIONS, "Bea")
        server.set_board(rows(*BEA_LEADS))
        assert page.evaluate("animationsSeen") == {"moving": 0, "all": 0}
        expect(page.locator(".row").first).to_have_class(re.compile("changed"))
        assert page.evaluate("document.getAnimations().length") == 0

    def test_a_new_player_replaces_the_one_who_left_the_top_ten(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        server.set_board(rows(*PLAYERS[:3], ("Eve", 650)))
        expect(page.locator(".row .name")).to_have_text(["Ada", "Bea", "Cai", "Eve"])

    def test_an_older_snapshot_is_ignored(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        old = server.snapshot()
        server.set_board(rows(*BEA_LEADS))
        server.broadcast("leaderboard:update", "LEADERBOARD_REFRESH", old)
        server.change_score("Zed", 10, 312, None)
        expect(page.locator("#players")).to_have_text("312 players")
        assert names(page)[0] == "Bea"

    def test_an_empty_board_shows_the_empty_state_until_the_first_score(self, open_page: OpenPage, server: FakeServer) -> None:
        server.set_board([], total=0)
        page = open_page()
        expect(page.get_by_text("No scores yet")).to_be_visible()
        server.set_board(rows(("Ada", 100)))
        expect(page.locator(".row .name")).to_have_text(["Ada"])
        expect(page.get_by_text("No scores yet")).to_be_hidden()

    def test_long_names_and_scores_fit_a_small_phone(self, open_page: OpenPage, server: FakeServer) -> None:
        server.set_board(rows(("W" * 64, 2**53 - 1), ("Zoë van Dijk-Berghuizen", 12), ("x", -(2**53) + 1)))
        page = open_page(viewport={"width": 320, "height": 568})
        expect_live(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        assert page.locator(".row .points").first.text_content() == "9,007,199,254,740,991"


class TestUntrustedData:
    NAMES = (
        "<img src=/x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "\x1b[31mred\x1b[0m",
        "\u202egpj.exe",
        "w" * 5000,
        " \u200b ",
        "a\nb",
        "שלום",
    )

    def test_hostile_names_are_shown_as_text(self, open_page: OpenPage, server: FakeServer) -> None:
        server.set_board(rows(*((name, 100 - index) for index, name in enumerate(self.NAMES))))
        page = open_page(viewport={"width": 1280, "height": 800})
        expect_settled(page)
        shown = names(page)
        assert shown[:4] == [*self.NAMES[:2], "[31mred [0m", "gpj.exe"]
        assert shown[4:] == ["w" * 80, user_id_of(self.NAMES[5]), "a b", "שלום"]
        assert page.locator("#rows :is(img, script)").count() == 0
        assert page.locator(".row bdi.name").count() == len(self.NAMES)
        assert {box["height"] for box in (row.bounding_box() for row in page.locator(".row").all()[1:]) if box} == {56.0}

    def test_an_avatar_of_another_origin_is_not_fetched(self, open_page: OpenPage, server: FakeServer) -> None:
        own, foreign = rows(("Ada", 2), ("Bea", 1))
        own["avatar"], foreign["avatar"] = f"{server.url}/static/favicon.svg", "https://cdn.example.com/bea.png"
        server.set_board([own, foreign])
        page = open_page()
        expect(page.locator(".row img")).to_have_count(1)
        expect(page.locator(".avatar").nth(1)).to_have_text("B")


class TestAccessibility:
    def test_the_board_is_a_labelled_table(self, open_page: OpenPage) -> None:
        page = open_page()
        expect_live(page)
        assert page.locator("html").get_attribute("lang") == "en"
        table = page.get_by_role("table", name="Top ten players")
        expect(table.get_by_role("columnheader")).to_have_text(["Rank", "Player", "Score"])
        expect(table.get_by_role("row", name="1 Ada 900", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_have_text("Scoreboard")
        expect(page.get_by_role("status")).to_have_attribute("aria-live", "polite")

    def test_the_focused_button_has_an_outline(self, open_page: OpenPage) -> None:
        page = open_page()
        expect_live(page)
        page.keyboard.press("Tab")
        button = page.get_by_role("button", name="Watch as a player")
        expect(button).to_be_focused()
        assert button.evaluate("(element) => parseFloat(getComputedStyle(element).outlineWidth)") >= 2

    @pytest.mark.parametrize("color_scheme", ["light", "dark"])
    def test_text_colours_have_enough_contrast(self, open_page: OpenPage, color_scheme: str) -> None:
        page = open_page(color_scheme=color_scheme)
        pairs = [
            *product(("text", "muted", "accent", "success"), ("background", "highlight")),
            ("accent-text", "accent"),
            ("own-rank-text", "own-rank-background"),
        ]
        value = "(name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()"
        for text, background in pairs:
            assert contrast(page.evaluate(value, text), page.evaluate(value, background)) >= 4.5, (text, background)

    def test_the_announcement_summarizes_the_changes(self, open_page: OpenPage) -> None:
        page = open_page()
        texts = page.evaluate(
            "async ([before, after]) => (await import('/static/live_region.js')).describeChanges(before, after)",
            [rows(*PLAYERS), rows(("Bea", 950), ("Ada", 900), ("Eve", 750), ("Cai", 700))],
        )
        assert texts == [{"name": "Bea", "text": "leads with 950 points."}, {"name": "Eve", "text": "enters at rank 3."}]

    def test_ages_are_formatted_in_words(self, open_page: OpenPage) -> None:
        page = open_page()
        ages = [0, 2_999, 3_000, 59_999, 60_000, 3_600_000, 86_400_000, 200_000_000]
        texts = page.evaluate(
            "async (ages) => { const { formatAge } = await import('/static/formatters.js'); return ages.map(formatAge); }", ages
        )
        assert texts == ["just now", "just now", "3 s ago", "59 s ago", "1 min ago", "1 h ago", "a day ago", "2 days ago"]


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio of two #rrggbb colours."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
