"""The page in Chromium of November 2022, of July 2021 and of December 2019, and without each function that it uses."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.chromium import chromium, strict_page
from tests.pages.conftest import wait_until, without
from tests.pages.fake_server import PAGES, FakeServer, rows, token_for
from tests.pages.test_browsers import INITIALS, NAMES, TOO_OLD, set_ten_rows
from tests.programs import node_modules, program

NODE = Path(__file__).parent / "node"
#: What these builds need: they have no helper processes.
ARGUMENTS = ("--headless", "--single-process", "--no-zygote")

#: The top and the height of each part, and the lightness of its colours.
LAYOUT = """() => [...document.querySelectorAll(".row, .avatar, .rank, header, .viewer-panel, #connection")].flatMap((part) => {
    const { top, height } = part.getBoundingClientRect(), { color, backgroundColor } = getComputedStyle(part);
    return [top, height, ...[color, backgroundColor].map((text) => Math.max(...text.match(/\\d+/g)))];
})"""
ROWS_STAND_STILL = """document.getAnimations().every((one) =>
    !(one.effect.target && one.effect.target.matches(".row, .row *")) || one.playState === "finished")"""
#: Functions older than 2012. The check at the start needs them itself, or the page shows its rows without them.
ANCIENT = {
    "String",
    "WebSocket.prototype.onmessage",
    "WebSocket.prototype.onopen",
    "Document.prototype.getElementById",
    "Element.prototype.className",
    "EventTarget.prototype.addEventListener",
    "Node.prototype.parentElement",
    "Node.prototype.textContent",
    "Response.prototype.status",
}
#: Names that functions of the language and of the page's own objects have; the page calls them on no other.
OWNERS = re.compile(
    r"^(Array|String|Promise|Intl|Uint8Array|Map|WeakMap|TextDecoder|URL"
    r"|URLSearchParams|AbortController|Headers|Response|WebSocket|Element|HTMLElement|HTMLInputElement|Image|Node|Document"
    r"|EventTarget|DOMTokenList|CSSStyleDeclaration|CSSTransition|Animation|Storage|History|MediaQueryList)\b"
)
FIND_FUNCTIONS = """(words) => {
    const found = [];
    for (const owner of Object.getOwnPropertyNames(window)) {
        const value = window[owner];
        if (words.includes(owner) && typeof value === "function") found.push(owner);
        if (typeof value !== "function" && !["Intl", "Math", "JSON"].includes(owner)) continue;
        for (const [path, holder] of [[owner, value], [`${owner}.prototype`, value.prototype]]) {
            const names = holder ? Object.getOwnPropertyNames(holder) : [];
            for (const name of names) if (words.includes(name)) found.push(`${path}.${name}`);
        }
    }
    return found;
}"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old browsers, each in the directory of its version."""
    modules, to = node_modules(NODE, "chromium-107"), tmp_path_factory.mktemp("browsers")
    node = program("node", "nodejs")
    for version in ("107", "92", "79"):
        packed = modules / f"chromium-{version}" / "bin"
        (to / version).mkdir()
        for name in ("chromium", "swiftshader.tar"):
            subprocess.run([node, NODE / "unpack.mjs", packed / f"{name}.br", to / version / name], check=True)
        shutil.unpack_archive(to / version / "swiftshader.tar", to / version, filter="data")
    return to


@pytest.fixture
def server() -> Iterator[FakeServer]:
    serving = FakeServer()
    set_ten_rows(serving)
    yield serving
    serving.close()


@pytest.mark.parametrize("version", ["107", "92"])
def test_the_page_works_in_an_old_browser(unpacked: Path, server: FakeServer, version: str) -> None:
    """Playwright cannot tell what is visible in these versions, so the test asks the page itself."""
    server.own_rank = {"userId": "user-kai", "username": "Kai", "score": 5, "rank": 45, "percentile": 85.5, "lastUpdated": None}
    with (
        chromium(str(unpacked / version / "chromium"), *ARGUMENTS) as browser,
        strict_page(browser, server.url, f"/#token={token_for('user-kai', 'Kai')}") as page,
    ):
        assert browser.version.split(".")[0] == version
        wait_ten_rows(page)
        wait_until(page, lambda: page.evaluate("document.getElementById('own-rank-number').textContent === '45'"))
        assert page.locator("#viewer-text").text_content() == "Watching as Kai"
        server.set_board(rows(("Bea", 950), ("Ada", 900)))
        wait_until(page, lambda: page.evaluate("document.querySelectorAll('.row').length === 2"))
        assert page.locator(".row .name").all_text_contents() == ["Bea", "Ada"]
        server.refuses_connections = True
        server.close_connections(1011)
        wait_until(page, lambda: page.evaluate("document.getElementById('connection').textContent.startsWith('Offline')"))
        assert page.evaluate("document.getElementById('retry').offsetHeight") > 0
        server.refuses_connections = False
        page.evaluate("document.getElementById('retry').click()")
        wait_until(page, lambda: page.evaluate("document.getElementById('connection').textContent === 'Live'"))
        assert page.evaluate("document.getElementById('retry').offsetHeight") == 0


def wait_ten_rows(page: Page) -> None:
    """Wait for the rows and the avatar, and check them."""
    wait_until(
        page, lambda: page.evaluate("document.querySelectorAll('.row').length === 10 && !!document.querySelector('.row img')")
    )
    assert page.locator(".row .name").all_text_contents() == NAMES
    assert page.locator(".avatar").all_text_contents() == INITIALS


@pytest.mark.parametrize("width", [1280, 400])
def test_the_layout_in_an_old_browser_is_that_of_a_new_one(unpacked: Path, server: FakeServer, width: int) -> None:
    found = []
    for executable, arguments in ((None, ()), (str(unpacked / "92" / "chromium"), ARGUMENTS)):
        with (
            chromium(executable, *arguments) as browser,
            strict_page(browser, server.url, viewport={"width": width, "height": 900}) as page,
        ):
            wait_ten_rows(page)
            wait_until(page, lambda: page.evaluate(ROWS_STAND_STILL))
            found.append(page.evaluate(LAYOUT))
    new, old = found
    assert len(new) == 34 * 4
    assert new == pytest.approx(old, abs=3)


def test_a_browser_that_cannot_read_the_scripts_says_that_it_is_too_old(
    unpacked: Path, server: FakeServer, tmp_path: Path
) -> None:
    """Chromium of 2019 has no private methods. Playwright does not know it, so it prints the page itself."""
    command = [str(unpacked / "79" / "chromium"), "--no-sandbox", "--disable-gpu", *ARGUMENTS, f"--user-data-dir={tmp_path}"]
    ran = subprocess.run(
        [*command, "--timeout=3000", "--dump-dom", server.url], capture_output=True, text=True, timeout=60, check=True
    )
    shown = re.search(r'<html[^>]*class="cannot-start".*id="start-problem"[^>]*>([^<]*)', ran.stdout, re.DOTALL)
    assert shown
    assert TOO_OLD.match(shown[1])


def functions_of_the_page(browser: Browser, url: str) -> list[str]:
    """The browser's functions whose names stand in the page's scripts."""
    words: set[str] = set()
    for script in (PAGES / "static").glob("*.js"):
        if script.name != "start_check.js":
            code = re.sub(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"", "", script.read_text(), flags=re.DOTALL)
            words |= set(re.findall(r"[A-Za-z_$][\w$]*", code))
    page = browser.new_page()
    page.goto(url)
    found: list[str] = page.evaluate(FIND_FUNCTIONS, sorted(words - {"prototype", "name", "length"}))
    page.close()
    return [name for name in found if name not in ANCIENT and ("." not in name or OWNERS.match(name))]


def test_without_any_one_function_the_page_works_or_says_that_the_browser_is_too_old(server: FakeServer) -> None:
    results: dict[str, str] = {}
    with chromium() as browser:
        for function in functions_of_the_page(browser, server.url):
            with strict_page(browser, server.url, before=without(function), may_throw=True) as page:
                either = page.locator("#start-problem:not(:empty)").or_(page.locator('.page[data-shown][data-state="live"]'))
                try:
                    either.first.wait_for(timeout=4_000)
                    results[function] = "too old" if page.locator(".cannot-start").count() else "works"
                except Exception as error:  # Playwright needs the function, too
                    results[function] = f"unknown: {error}"
    unknown = {function: result for function, result in results.items() if result.startswith("unknown")}
    assert unknown == {}
    assert len(results) > 80
    assert {"works", "too old"} == set(results.values())
