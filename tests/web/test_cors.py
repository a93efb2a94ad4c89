"""CORS: the origins whose pages may read the responses."""

from __future__ import annotations

import pytest

from tests.web.harness import Harness

ME = "/api/v1/scores/me"
EXPOSED = "ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed"


@pytest.mark.parametrize("path", [ME, "/nothing", "/healthz"])
def test_every_page_may_read_with_a_star(path: str) -> None:
    headers = Harness(cors_origins=("*",)).ask("GET", path).headers
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-expose-headers"] == EXPOSED
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("token", ["", None])
def test_a_listed_page_may_read_responses_and_refusals(token: str | None) -> None:
    harness = Harness(cors_origins=("https://a.example", "https://B.example"))
    for origin in ("https://a.example", "https://b.example"):
        headers = harness.ask("GET", ME, token=token, headers={"Origin": origin}).headers
        assert (headers["access-control-allow-origin"], headers["vary"]) == (origin, "Origin")
        assert headers["access-control-expose-headers"] == EXPOSED


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "https://a.example.evil", "http://a.example", "https://a.example:8443"]
)
def test_another_page_may_not_read(origin: str) -> None:
    headers = Harness(cors_origins=("https://a.example",)).ask("GET", ME, headers={"Origin": origin}).headers
    assert "access-control-allow-origin" not in headers
    assert headers["vary"] == "Origin"


def test_without_origins_there_are_no_cors_headers() -> None:
    headers = Harness(cors_origins=()).ask("GET", ME, headers={"Origin": "https://a.example"}).headers
    assert not [name for name in headers if name.startswith("access-control") or name == "vary"]


def test_a_preflight_before_a_submission_is_answered() -> None:
    harness = Harness(cors_origins=("https://a.example",))
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    reply = harness.ask("OPTIONS", "/api/v1/scores/submit", token=None, headers={"Origin": "https://a.example", **asks})
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == "https://a.example"
    assert reply.headers["access-control-allow-methods"] == "OPTIONS, POST"
    assert reply.headers["access-control-allow-headers"] == "Authorization, Content-Type, If-None-Match"
    assert reply.headers["access-control-max-age"] == "600"
    assert "content-length" not in reply.headers
    foreign = harness.ask("OPTIONS", "/api/v1/scores/submit", token=None, headers={"Origin": "https://evil.example", **asks})
    assert (foreign.status, "access-control-allow-origin" in foreign.headers) == (204, False)


def test_a_preflight_before_a_change_of_settings_is_answered() -> None:
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}
    reply = Harness().ask("OPTIONS", "/api/v1/me/settings", token=None, headers={"Origin": "https://a.example", **asks})
    assert (reply.status, reply.headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS, PUT")


def test_a_preflight_is_not_counted_by_the_rate_limiter() -> None:
    harness = Harness()
    harness.ask("OPTIONS", "/api/v1/scores/submit", headers={"Origin": "https://a.example"})
    assert harness.rate_limiter.asked == []
