"""CORS: the origins whose pages may read the responses."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoreboard.net.limits import HttpLimits
from tests.web.harness import Harness, Reply

A = "https://a.example"
ME = "/api/v1/scores/me"
EXPOSED = "ETag, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed"


@pytest.mark.parametrize("path", [ME, "/nothing", "/healthz"])
def test_every_page_may_read_if_cors_origin_is_a_star(path: str) -> None:
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


PATHS = st.sampled_from([ME, "/api/v1/scores/submit", "/api/v1/scores/stream", "/healthz", "*"])
NOT_LISTED = st.one_of(
    st.text(string.ascii_letters + string.digits + ":/.-*", max_size=40),
    st.sampled_from(["null", "*", f"{A}.evil", f"{A}:443", f"{A}/", f"{A}, {A}", "http://a.example", "https://sub.a.example"]),
).filter(lambda origin: origin.lower() != A)


@given(NOT_LISTED, PATHS)
def test_only_a_listed_page_may_send_cookies(origin: str, path: str) -> None:
    """A page that sends cookies, as for a load balancer, reads nothing without the line."""
    for method in ("GET", "OPTIONS"):
        for asks, listed, allowed in ((A, (A,), "true"), (A.upper(), (A,), "true"), (origin, (A,), None), (A, ("*",), None)):
            reply = Harness(cors_origins=listed).ask(method, path, token=None, headers={"Origin": asks})
            assert reply.headers.get("access-control-allow-credentials") == allowed
        assert "access-control-allow-credentials" not in Harness(cors_origins=()).ask(method, path, headers={"Origin": A}).headers


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
    assert allowed_headers(reply) >= {"authorization", "content-type"}
    assert reply.headers["access-control-max-age"] == "600"
    assert "content-length" not in reply.headers
    foreign = harness.ask("OPTIONS", "/api/v1/scores/submit", token=None, headers={"Origin": "https://evil.example", **asks})
    assert (foreign.status, "access-control-allow-origin" in foreign.headers) == (204, False)


def test_a_preflight_before_a_change_of_settings_is_answered() -> None:
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,content-type"}
    reply = Harness().ask("OPTIONS", "/api/v1/me/settings", token=None, headers={"Origin": "https://a.example", **asks})
    assert (reply.status, reply.headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS, PUT")


def allowed_headers(reply: Reply) -> set[str]:
    return {name.strip().lower() for name in reply.headers["access-control-allow-headers"].split(",")}


TOKENS = st.text("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters, min_size=1, max_size=30)


@given(st.lists(TOKENS, min_size=1, max_size=40).filter(lambda names: names != ["-"]), PATHS)  # the harness sends no "-"
@example(["last-event-id", "traceparent", "tracestate", "baggage", "x-requested-with", "cache-control", "sentry-trace"], ME)
def test_a_preflight_allows_every_header_that_it_names(names: list[str], path: str) -> None:
    harness = Harness(cors_origins=(A,))
    for sent in (",".join(names), " , ".join(names)):
        reply = harness.ask("OPTIONS", path, token=None, headers={"Origin": A, "Access-Control-Request-Headers": sent})
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, A)
        assert allowed_headers(reply) >= {name.lower() for name in names} | {"authorization", "content-type", "if-none-match"}


@pytest.mark.parametrize("sent", ["", ",", "a b", "a;b", "a, ,b", 'a"', "a\xe4", "x" * 3_000, "a:b"])
def test_a_preflight_repeats_nothing_that_is_no_list_of_names(sent: str) -> None:
    reply = Harness(cors_origins=(A,)).ask(
        "OPTIONS", ME, token=None, headers={"Origin": A, "Access-Control-Request-Headers": sent}
    )
    assert reply.headers["access-control-allow-headers"] == "Authorization, Content-Type, If-None-Match, Last-Event-ID"


HEAD = b"POST /api/v1/scores/submit HTTP/1.1\r\nHost: a\r\noRiGin: %b \r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED_BEFORE_THE_ROUTER = {
    "a head with a control character": (400, HEAD + b"X: \x01\r\n\r\n"),
    "a head that is too long": (400, HEAD + b"X: " + b"x" * 20_000),
    "a bad request line": (400, HEAD.replace(b"HTTP/1.1", b"HTTP/3") + b"\r\n"),
    "two lengths": (400, HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    "an announced large body": (413, HEAD + b"Content-Length: 99999999\r\n\r\n"),
    "a large chunk": (413, CHUNKED + b"FFFFFFF\r\n"),
    "a bad chunk": (400, CHUNKED + b"Z\r\n"),
    "a bad trailer": (400, CHUNKED + b"0\r\nX: \0\r\n\r\n"),
}


@pytest.mark.parametrize(("status", "raw"), REFUSED_BEFORE_THE_ROUTER.values(), ids=REFUSED_BEFORE_THE_ROUTER)
def test_a_listed_page_may_read_what_is_refused_before_the_router(status: int, raw: bytes) -> None:
    for origin, allowed in ((A, A), ("https://evil.example", None), (f"https://evil.example\r\nX: {A}", None)):
        reply = Harness(cors_origins=(A,)).connection().ask(raw.replace(b"%b", origin.encode()))
        assert (reply.status, reply.headers.get("access-control-allow-origin")) == (status, allowed)
        assert reply.headers["vary"] == "Origin"
        assert "date" in reply.headers


def test_a_listed_page_may_read_that_there_are_too_many_connections() -> None:
    harness = Harness(cors_origins=(A,), http_limits=HttpLimits(connections_max=0))
    reply = harness.ask("GET", ME, headers={"Origin": A})
    assert (reply.status, reply.headers["access-control-allow-origin"], reply.headers["retry-after"]) == (503, A, "1")


@pytest.mark.parametrize("origin", ["capacitor://localhost", "chrome-extension://abcdefghijklmnop", "MyApp://Host"])
def test_an_app_gets_its_origin_back_as_it_was_sent(origin: str) -> None:
    headers = Harness(cors_origins=(origin,)).ask("GET", ME, headers={"Origin": origin}).headers
    assert headers["access-control-allow-origin"] == origin


def test_a_preflight_is_not_counted_by_the_rate_limiter() -> None:
    harness = Harness()
    harness.ask("OPTIONS", "/api/v1/scores/submit", headers={"Origin": "https://a.example"})
    assert harness.rate_limiter.asked == []
