"""Headless Chromium with a check of the page's security rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, WebSocket, sync_playwright

from tests.programs import program

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
def chromium(executable: str | None = None, *more: str) -> Iterator[Browser]:
    """A headless Chromium, Debian's or another executable with more arguments."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable or program("chromium", "chromium"), args=[*ARGUMENTS, *more]
        )
        yield browser
        browser.close()


@contextmanager
def strict_page(
    browser: Browser, url: str, path: str = "/", *, before: str = "", may_throw: bool = False, **context: Any
) -> Iterator[Page]:
    """Opens a path; at the end fails on a request to another server, a policy violation, a dialog or an exception.

    ``before`` is a script that runs before those of the page.
    """
    violations: list[str] = []
    page = browser.new_context(**context).new_page()
    page.add_init_script(before)

    def on_console(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            violations.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(url):
            violations.append(f"requested {request.url}")

    def on_websocket(socket: WebSocket) -> None:
        if socket.url != url.replace("http", "ws", 1) + "/ws":
            violations.append(f"connected to {socket.url}")

    def on_dialog(dialog: Dialog) -> None:
        violations.append(f"opened a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("websocket", on_websocket)
    page.on("dialog", on_dialog)
    if not may_throw:
        page.on("pageerror", lambda error: violations.append(f"threw {error}"))
    page.goto(url + path)
    yield page
    page.context.close()
    assert violations == []
