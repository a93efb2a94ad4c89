"""A real browser that notices what a strict page must never do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, WebSocket, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; where there is none the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watching(browser: Browser, url: str, path: str = "/", **context: Any) -> Iterator[Page]:
    """The page at a path of the server, which in the end has asked no other server, broken no policy and thrown nothing."""
    wrongs: list[str] = []
    page = browser.new_context(**context).new_page()

    def logged(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            wrongs.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(url):
            wrongs.append(f"asked {request.url}")

    def dialled(socket: WebSocket) -> None:
        if socket.url != url.replace("http", "ws", 1) + "/ws":
            wrongs.append(f"dialled {socket.url}")

    def opened(dialog: Dialog) -> None:
        wrongs.append(f"opened a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", logged)
    page.on("request", asked)
    page.on("websocket", dialled)
    page.on("dialog", opened)
    page.on("pageerror", lambda error: wrongs.append(f"threw {error}"))
    page.goto(url + path)
    yield page
    page.context.close()
    assert wrongs == []
