"""Origins of CORS_ORIGIN: which are accepted, how they are written, and why the others are refused."""

from __future__ import annotations

import pytest

from config import BadSettings
from config.settings import load_settings
from scoreboard.net.http.cors import cors
from tests.config.test_settings import PRODUCTION


def origins(text: str) -> tuple[str, ...]:
    return load_settings({**PRODUCTION, "CORS_ORIGIN": text}).cors_origins


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("*", "*"),
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://example.com:443/", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:80", "https://example.com:80"),
        ("https://example.com:08443", "https://example.com:8443"),
        ("HTTPS://Example.COM", "https://example.com"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://my_service:3000", "http://my_service:3000"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("https://MÜNCHEN.example:8443", "https://xn--mnchen-3ya.example:8443"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://例え.テスト", "https://xn--r8jz45g.xn--zckzah"),
        ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://.", "app://."),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
        ("moz-extension://3c8f2a9e-1d7b-4e6a-9f0c-5b2d8e7a1c34", "moz-extension://3c8f2a9e-1d7b-4e6a-9f0c-5b2d8e7a1c34"),
        ("vscode-webview://1a2b", "vscode-webview://1a2b"),
        ("com.example.game://host:1234/", "com.example.game://host:1234"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(written: str, sent: str) -> None:
    assert origins(written) == (sent,)
    assert cors(origins(f"https://other.example, {written}")).allows(sent, "board.example")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("https://*.example.com", "a pattern is not possible, so name each host"),
        ("*.example.com", "an origin begins with a scheme"),
        ("https://example.com/path", "an origin has no path and no query"),
        ("https://example.com//", "an origin has no path and no query"),
        ("https://example.com?a=b", "an origin has no path and no query"),
        ("https://example.com#a", "an origin has no path and no query"),
        ("example.com", "an origin begins with a scheme"),
        ("localhost:3000", "an origin begins with a scheme"),
        ("//example.com", "an origin begins with a scheme"),
        ("null", "null is sent for files"),
        ("file:///", "no origin of their own for pages of file:"),
        ("data://x", "no origin of their own for pages of data:"),
        ("wss://example.com", "browsers send the origin of the page"),
        ("https://user:Secr3t@example.com", "an origin contains no user and no password"),
        ("https://", "an origin has a host"),
        ("capacitor://", "an origin has a host"),
        ("https://exa mple.com", "the host is not valid"),
        ("https://ex%61mple.com", "the host is not valid"),
        ("https://example.com:0", "a port is a number from 1 to 65535"),
        ("https://example.com:65536", "a port is a number from 1 to 65535"),
        ("https://example.com:port", "the scheme, the host or the port is not valid"),
        ("https://example.com:", "the scheme, the host or the port is not valid"),
        ("https://127.1", "the host is not valid"),
        ("https://1.2.3.4.5", "the host is not valid"),
        ("http://[::1", "the scheme, the host or the port is not valid"),
        ("http://[::g]", "the scheme, the host or the port is not valid"),
        ("http://[1:2]", "the host is not valid"),
        ("https://\u202emünchen.example", "the host is not valid"),
        ("1app://localhost", "the scheme, the host or the port is not valid"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_with_the_reason(written: str, reason: str) -> None:
    with pytest.raises(BadSettings) as refused:
        origins(f"https://other.example,{written}")
    message = str(refused.value)
    assert message.startswith("CORS_ORIGIN should list origins like https://example.com, or be *: ")
    assert reason in message
    assert "Secr3t" not in message
    assert "\n" not in message
