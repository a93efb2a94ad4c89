"""The page in browsers that lack functions, block storage, translate the page or run no JavaScript."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.chromium import ARGUMENTS
from tests.pages.conftest import OpenPage, expect_live, without
from tests.pages.fake_server import PAGES, TOKEN_EXPIRED, FakeServer, rows, token_for
from tests.programs import program

TOO_OLD = re.compile(r"^This browser is too old for the live board\. It needs Chrome or Edge 92, Firefox 91, Safari 15, ")
NAMES = ["Ada Byron", "बिन्दु", "👨‍👩‍👧 Cai", "🇩🇪", "Émile", "مريم", "王", "hal-9000", "i", "jo_ann"]

#: What the avatars show; the third has an image.
INITIALS = ["AB", "बि", "", "🇩🇪", "É", "م", "王", "H9", "I", "JA"]

#: Functions that browsers got after November 2022, by the data of MDN (Firefox, Safari or Chrome, whichever was the last).
YOUNG = (
    "URL.canParse",
    "URL.parse",
    "Intl.Segmenter",
    "Intl.DurationFormat",
    "AbortSignal.timeout",
    "AbortSignal.any",
    "Promise.withResolvers",
    "Promise.try",
    "Object.groupBy",
    "Map.groupBy",
    "Array.fromAsync",
    "Array.prototype.with",
    "Array.prototype.toSorted",
    "Array.prototype.toReversed",
    "Array.prototype.toSpliced",
    "Array.prototype.findLast",
    "Iterator",
    "Set.prototype.union",
    "String.prototype.isWellFormed",
    "String.prototype.toWellFormed",
    "Uint8Array.fromBase64",
    "RegExp.escape",
    "Response.json",
    "Response.prototype.bytes",
    "Element.prototype.checkVisibility",
    "Element.prototype.moveBefore",
    "Element.prototype.setHTML",
    "Element.prototype.ariaLive",
    "Document.prototype.startViewTransition",
    "CSSStartingStyleRule",
    "CSS.registerProperty",
    "navigation",
    "scheduler",
    "reportError",
    "structuredClone",
    "Math.f16round",
    "Temporal",
    "WebSocketStream",
)

#: Wraps each text of the page in two elements, also texts to come, as Chrome's translation does.
TRANSLATE = """() => {
    let writes = 0;
    const translate = (root) => {
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        const texts = [];
        while (walker.nextNode()) texts.push(walker.currentNode);
        for (const text of texts) {
            const parent = text.parentElement;
            if (!parent || !text.data.trim() || parent.closest("font, [translate=no], script, style")) continue;
            const outer = document.createElement("font");
            outer.append(document.createElement("font"));
            outer.firstChild.textContent = text.data.toUpperCase();
            text.replaceWith(outer);
            writes += 1;
        }
    };
    translate(document.body);
    const all = { childList: true, subtree: true, characterData: true };
    new MutationObserver(() => translate(document.body)).observe(document.body, all);
    window.translations = () => writes;
}"""


def set_ten_rows(server: FakeServer) -> None:
    """Ten players, the third with an avatar."""
    ten = rows(*((name, 100 - number) for number, name in enumerate(NAMES)))
    ten[2]["avatar"] = "/static/favicon.svg"
    server.set_board(ten)


def expect_ten_rows(page: Page) -> None:
    expect_live(page)
    expect(page.locator(".row .name")).to_have_text(NAMES)
    expect(page.locator(".row .points")).to_have_text([str(100 - number) for number in range(10)])
    expect(page.locator(".row img")).to_have_count(1)
    assert page.locator(".avatar").all_text_contents() == INITIALS


class TestOldBrowsers:
    def test_the_page_needs_no_function_younger_than_four_years(self, open_page: OpenPage, server: FakeServer) -> None:
        set_ten_rows(server)
        expect_ten_rows(open_page(before=without(*YOUNG)))

    @pytest.mark.parametrize("function", ["URL.canParse", "Intl.Segmenter", "AbortSignal.timeout", "CSSTransition"])
    def test_the_page_works_without_one_function(self, open_page: OpenPage, server: FakeServer, function: str) -> None:
        set_ten_rows(server)
        expect_ten_rows(open_page(before=without(function)))

    @pytest.mark.parametrize("function", ["AbortController", "matchMedia", "WeakMap", "Element.prototype.append"])
    def test_a_browser_without_an_older_function_is_called_too_old(self, open_page: OpenPage, function: str) -> None:
        page = open_page(before=without(function), may_throw=True)
        expect(page.get_by_role("alert")).to_have_text(TOO_OLD)
        expect(page.get_by_role("heading")).to_have_text("Scoreboard")
        expect(page.locator(".page")).to_be_hidden()

    @pytest.mark.parametrize("name", ["static/main.js", "static/board.js", "static/formatters.js"])
    def test_a_script_of_unknown_syntax_makes_the_browser_too_old(
        self, open_page: OpenPage, server: FakeServer, name: str
    ) -> None:
        server.replaced_files[name] = (PAGES / name).read_text() + "\nfuture syntax;"
        page = open_page(may_throw=True)
        expect(page.get_by_role("alert")).to_have_text(TOO_OLD)
        expect(page.locator(".page")).to_be_hidden()

    def test_a_browser_without_modules_is_called_too_old(self, open_page: OpenPage, server: FakeServer) -> None:
        server.replaced_files["index.html"] = (PAGES / "index.html").read_text().replace('type="module"', 'type="unknown"')
        page = open_page(before=without("HTMLScriptElement.prototype.noModule"))
        expect(page.get_by_role("alert")).to_have_text(TOO_OLD)

    @pytest.mark.parametrize("name", ["static/main.js", "static/board.js"])
    def test_a_script_that_does_not_arrive_is_named_as_the_cause(
        self, open_page: OpenPage, server: FakeServer, name: str
    ) -> None:
        server.replaced_files[name] = None
        page = open_page()
        expect(page.get_by_role("alert")).to_have_text("A part of this page could not be loaded.")
        server.replaced_files.clear()
        page.get_by_role("link", name="Reload the page").click()
        expect_live(page)

    @pytest.mark.parametrize("name", ["theme.css", "layout.css", "board.css"])
    def test_without_one_of_its_styles_the_page_shows_nothing_that_is_hidden(
        self, browser: Browser, server: FakeServer, name: str
    ) -> None:
        page = browser.new_page()
        page.route(f"**/static/{name}", lambda route: route.abort())
        page.goto(server.url)
        expect_live(page)
        shown = "nodes => nodes.filter((node) => node.checkVisibility()).map((node) => node.id)"
        assert page.locator("[hidden]").evaluate_all(shown) == []
        assert page.locator("[hidden]").count() >= 5
        page.close()

    def test_the_start_check_is_in_the_javascript_of_2009(self) -> None:
        """It must run where the modules do not; Chromium 79 tries it in a drill, this finds the newer words."""
        text = re.sub(r"/\*.*?\*/", "", (PAGES / "static" / "start_check.js").read_text(), flags=re.DOTALL)
        assert re.findall(r"=>|`|\b(?:let|const|class|async|await|import|export)\b|\?\.|\?\?|\.\.\.", text) == []

    def test_errors_of_other_scripts_do_not_replace_the_page(self, open_page: OpenPage, server: FakeServer) -> None:
        """A browser's extensions throw too, before the board is shown and after."""
        page = open_page(before="setTimeout(() => { throw new TypeError('of an extension'); })", may_throw=True)
        expect_live(page)
        page.evaluate("dispatchEvent(new ErrorEvent('error', { filename: location.origin + '/static/main.js' }))")
        expect(page.locator(".page")).to_be_visible()
        expect(page.get_by_role("alert")).to_be_hidden()

    def test_a_fault_in_the_avatar_of_a_row_costs_no_row(self, open_page: OpenPage, server: FakeServer) -> None:
        set_ten_rows(server)
        page = open_page(before="window.Image = function () { throw new TypeError('no image'); };", may_throw=True)
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(NAMES)
        expect(page.locator(".row .points")).to_have_text([str(100 - number) for number in range(10)])
        expect(page.get_by_role("alert")).to_be_hidden()

    def test_a_fault_in_one_row_leaves_the_other_rows(self, open_page: OpenPage, server: FakeServer) -> None:
        set_ten_rows(server)
        fault = """const set = CSSStyleDeclaration.prototype.setProperty;
            let count = 0;
            CSSStyleDeclaration.prototype.setProperty = function (name, value) {
                if (name === "--hue" && ++count === 4) throw new TypeError("the fourth row");
                set.call(this, name, value);
            };"""
        page = open_page(before=fault, may_throw=True)
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text([name for name in NAMES if name != NAMES[3]])
        server.set_board(rows(*((name, 200 - number) for number, name in enumerate(NAMES))))
        expect(page.locator(".row .name")).to_have_text(NAMES)

    def test_odd_data_in_one_row_leaves_the_others_as_they_are(self, open_page: OpenPage, server: FakeServer) -> None:
        odd = rows(("Ada", 900), ("Bea", 800), ("Cai", 700), ("Dov", 600), age_s=5_400)
        odd[1] |= {"username": None, "avatar": {"url": 1}, "score": "many", "lastUpdated": "yesterday"}
        odd[2] |= {"avatar": "http://[", "lastUpdated": None}
        server.set_board(odd)
        page = open_page()
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(["Ada", odd[1]["userId"], "Cai", "Dov"])
        expect(page.locator("#updated")).to_have_text("updated 1 h ago")


class TestBlockedStorage:
    BLOCKED = """for (const name of ["sessionStorage", "localStorage", "indexedDB"])
        Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
        Object.defineProperty(Document.prototype, "cookie", { get() { throw new DOMException("denied", "SecurityError"); } });"""
    ABSENT = "for (const name of ['sessionStorage', 'localStorage']) Object.defineProperty(window, name, { value: null });"
    FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };"

    @pytest.mark.parametrize("storage", [BLOCKED, ABSENT, FULL], ids=["blocked", "absent", "full"])
    def test_the_board_is_shown_and_a_token_is_not_kept(self, open_page: OpenPage, server: FakeServer, storage: str) -> None:
        page = open_page(f"/#token={token_for('user-kai', 'Kai')}", before=storage)
        expect_live(page)
        expect(page.locator(".row .name")).to_have_text(["Ada", "Bea", "Cai", "Dov"])
        expect(page.get_by_text("Watching as Kai")).to_be_visible()
        assert page.url == f"{server.url}/"
        page.get_by_role("button", name="Stop watching").click()
        expect(page.get_by_text("Watching as a spectator")).to_be_visible()
        page.get_by_role("button", name="Watch as a player").click()
        page.get_by_label("Access token").fill(token_for("user-kai", "Kai"))
        page.get_by_role("button", name="Watch", exact=True).click()
        expect(page.get_by_text("Watching as Kai")).to_be_visible()
        page.reload()
        expect_live(page)
        expect(page.get_by_text("Watching as a spectator")).to_be_visible()

    def test_a_browser_with_cookies_and_storage_blocked_says_that_it_keeps_no_token(
        self, browser: Browser, server: FakeServer, tmp_path: Path
    ) -> None:
        (tmp_path / "Default").mkdir()
        blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
        (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked))
        context = browser.browser_type.launch_persistent_context(
            tmp_path, executable_path=program("chromium", "chromium"), args=ARGUMENTS
        )
        page = context.new_page()
        page.goto(server.url)
        error = page.evaluate("() => { try { return sessionStorage.length; } catch (error) { return error.name; } }")
        assert error == "SecurityError"
        expect_live(page)
        page.get_by_role("button", name="Watch as a player").click()
        expect(page.get_by_text("This browser stores nothing for this site")).to_be_visible()
        context.close()


class TestTranslation:
    def test_a_translated_page_goes_on(self, open_page: OpenPage, server: FakeServer) -> None:
        page = open_page()
        expect_live(page)
        page.evaluate(TRANSLATE)
        expect(page.locator("#connection")).to_have_text("LIVE")
        assert page.locator("#connection font").count() == 2
        server.set_board(rows(("Bea", 950), ("Ada", 900), ("Eve", 650)))
        expect(page.locator(".row .name")).to_have_text(["Bea", "Ada", "Eve"])
        expect(page.locator(".row .points")).to_have_text(["950", "900", "650"])
        server.spectator_refusals = ["30"] * 9  # with a wait of half a minute the button stays until it is clicked
        server.close_connections(TOKEN_EXPIRED)
        expect(page.get_by_role("button", name="RETRY NOW")).to_be_visible()
        server.spectator_refusals = []
        page.get_by_role("button", name="RETRY NOW").click()
        expect(page.locator("#connection")).to_have_text("LIVE")

    def test_the_page_does_not_write_again_what_was_translated(self, open_page: OpenPage) -> None:
        page = open_page()
        expect_live(page)
        expect(page.locator(".row")).to_have_count(4)
        expect(page.locator("#updated")).to_have_text("updated 1 min ago")
        page.evaluate(TRANSLATE)
        before = page.evaluate("translations()")
        page.wait_for_timeout(1_500)
        assert page.evaluate("translations()") <= before + 1, "the age of the last change may have changed once"

    def test_what_users_wrote_is_not_translated_and_has_its_own_direction(self, open_page: OpenPage, server: FakeServer) -> None:
        name = "Qwerty"
        server.set_board(rows((name, 900), ("Bea", 800)))
        server.own_rank = {"userId": "user-q", "username": name, "score": 5, "rank": 45, "percentile": 85.5, "lastUpdated": None}
        page = open_page(f"/#token={token_for('user-q', name)}")
        expect(page.get_by_role("region", name="Your rank")).to_contain_text(name)
        expect(page.locator(".row .name")).to_have_text([name, "Bea"])
        page.evaluate(
            "async (rows) => { const { LiveRegion } = await import('/static/live_region.js');"
            " window.setTimeout = (work) => { work(); };"
            " const region = new LiveRegion(document.getElementById('live-region')); region.update([]); region.update(rows); }",
            rows((name, 900)),
        )
        expect(page.get_by_role("status")).to_have_text(f"{name} leads with 900 points.")
        found = page.evaluate(
            """(name) => {
                const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
                const found = [];
                while (walker.nextNode()) {
                    if (walker.currentNode.data.includes(name)) found.push(walker.currentNode.parentElement);
                }
                found.push(...document.querySelectorAll(`[title*=${name}]`));
                return found.map((element) => [element.translate, element.getAttribute("dir")]);
            }""",
            name,
        )
        assert found == [[False, "auto"]] * 5, "the row and its title, the own rank, the panel, the announcement"
        assert page.locator(".avatar").first.get_attribute("translate") == "no"


class TestNoScript:
    def test_the_page_first_says_that_it_needs_javascript(self, open_page: OpenPage) -> None:
        page = open_page(java_script_enabled=False)
        expect(page.locator("noscript main")).to_be_visible()
        assert page.locator("body").inner_text().strip().startswith("Scoreboard\n\nThis board needs JavaScript")
        expect(page.locator(".page")).to_be_hidden()

    def test_the_notice_is_the_first_element_of_the_body(self) -> None:
        text = (PAGES / "index.html").read_text()
        assert re.search(r"<body>\s*<noscript>\s*<main", text)
