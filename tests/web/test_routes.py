"""Routes: paths, methods, and one response for each refusal and fault."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from scoreboard.domain.actions import Receipt
from scoreboard.domain.errors import StoreUnavailable
from scoreboard.domain.refusals import Reason, Refusal
from scoreboard.net.http.refusals import STATUS
from scoreboard.web.app import OPERATIONS
from tests.web.harness import Harness, request

ROUTES = {
    "/api/v1/scores/submit": "OPTIONS, POST",
    "/api/v1/actions": "GET, HEAD, OPTIONS",
    "/api/v1/actions/initialize": "OPTIONS, POST",
    "/api/v1/auth/spectator": "OPTIONS, POST",
    "/api/v1/auth/ticket": "OPTIONS, POST",
    "/api/v1/boards": "GET, HEAD, OPTIONS",
    "/api/v1/scores/leaderboard": "GET, HEAD, OPTIONS",
    "/api/v1/scores/me": "GET, HEAD, OPTIONS",
    "/api/v1/scores/changes": "GET, HEAD, OPTIONS",
    "/api/v1/scores/stream": "GET, HEAD, OPTIONS",
    "/api/v1/me/achievements": "GET, HEAD, OPTIONS",
    "/api/v1/me/settings": "GET, HEAD, OPTIONS, PUT",
    "/healthz": "GET, HEAD, OPTIONS",
    "/readyz": "GET, HEAD, OPTIONS",
    "/metrics": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/": "GET, HEAD, OPTIONS",
    "/static/board.js": "GET, HEAD, OPTIONS",
    "/ws": "GET, HEAD, OPTIONS",
}


def test_every_route_of_the_api_is_in_the_list() -> None:
    assert {one.path for one in OPERATIONS} - set(ROUTES) == set()


@pytest.mark.parametrize(("path", "allowed"), ROUTES.items())
def test_a_wrong_method_is_405_with_allow(path: str, allowed: str) -> None:
    harness = Harness()
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "X"):
        if method in allowed.split(", "):
            continue
        reply = harness.ask(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)
        assert (reply.json["error"], reply.json["code"]) == ("METHOD_NOT_ALLOWED", 4050)
        assert reply.json["message"] == f"This path takes only {allowed}"
    reply = harness.ask("OPTIONS", path)
    assert (reply.status, reply.headers["allow"], reply.body) == (204, allowed, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/scores",
        "/api/v1/scores/me/",
        "/API/v1/scores/me",
        "/api/v2/scores/me",
        "//api/v1/scores/me",
        "/api//v1/scores/me",
        "/api/v1/scores/%6de",
        "/api/v1/scores/me;x",
        "/api/v1/scores/../scores/me",
        "/static",
        "/static/",
        "/static/nothing.js",
        "/static//index.html",
        "/static/./board.js",
        "/static/../index.html",
        "/static/../../pyproject.toml",
        "/static/..%2f..%2fpyproject.toml",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/%252e%252e/etc/passwd",
        "/static/..\\..\\etc\\passwd",
        "/static/board.js%00.html",
        "/static/board.js\x80",
        "/static/%ff%fe",
        "/static/board.js/",
        "/index.html",
        "/.git/config",
        "/...",
        "*",
        "nothing",
        "http://evil.example/nothing",
        "ftp://evil.example/api/v1/scores/me",
        "//evil.example/",
        "/%",
        "/%zz",
        "/\"'<script>",
    ],
)
def test_any_other_path_is_404(path: str) -> None:
    reply = Harness().ask("GET", path)
    assert reply.status == (400 if "\x80" in path else 404)
    assert reply.json["success"] is False
    assert "location" not in reply.headers
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v1/scores/me", "/api/v1/scores/me/", "//api/v1/scores/me", "/api/scores/me"])
def test_the_answer_to_an_unknown_path_says_how_paths_look(path: str) -> None:
    assert "the API's begin with /api/v1/ and end without a slash" in Harness().ask("GET", path).json["message"]


def test_a_query_does_not_hide_a_path() -> None:
    assert Harness().ask("GET", "/healthz?x=/../y").status == 200


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_status_and_a_response(reason: Reason) -> None:
    harness = Harness()
    receipt = Receipt(points=1, total=1, rank=1, previous_rank=None)
    harness.scorekeeper.answer = Refusal(reason=reason, message="No", field="x", retry_after_s=5, receipt=receipt)
    reply = harness.ask("POST", "/api/v1/scores/submit", body=harness.initialized())
    assert reply.status == STATUS[reason]
    assert reply.headers["retry-after"] == "5"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json == {
        "success": False,
        "error": reason.name,
        "message": "x: No" if reason is Reason.MALFORMED_REQUEST else "No",
        "code": reason.value,
        "retryAfter": 5,
        "field": "x",
        "data": {"scoreAwarded": 1, "newTotalScore": 1, "currentRank": 1, "previousRank": None},
    }


def test_a_client_that_accepts_problem_json_gets_it_in_the_same_object() -> None:
    reply = Harness().ask("GET", "/api/v1/scores/me", token=None, headers={"Accept": "application/problem+json, */*;q=0.1"})
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json == {
        "success": False,
        "error": "UNAUTHORIZED",
        "message": "Send Authorization: Bearer and a token",
        "code": 4010,
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Send Authorization: Bearer and a token",
        "instance": "/api/v1/scores/me",
    }


@pytest.mark.parametrize("later", [False, True])
def test_a_fault_is_answered_without_detail_and_logged_once(later: bool) -> None:
    harness = Harness()
    submission = harness.initialized()
    harness.scorekeeper.answer = ZeroDivisionError("a secret detail")
    waits: Deferred[None] = Deferred()
    harness.scorekeeper.waits = waits if later else None
    if later:
        harness.clock.callLater(1, waits.callback, None)
    with capturedLogs() as answered:
        connection = harness.connection()
        connection.send(
            request("POST", "/api/v1/scores/submit", body=submission, headers={"Authorization": f"Bearer {harness.token()}"})
        )
        harness.clock.advance(1)
        [reply] = connection.replies()
    assert reply.status == 500
    assert reply.json == {"success": False, "error": "INTERNAL_ERROR", "message": "The server has a fault", "code": 5000}
    failures = [event["log_failure"] for event in answered if "log_failure" in event]
    assert [failure.type for failure in failures] == [ZeroDivisionError]


def test_a_store_that_is_away_is_503_and_not_logged_as_a_fault() -> None:
    harness = Harness()
    harness.scorekeeper.answer = StoreUnavailable("postgresql://user:password@host")
    reply = harness.ask("POST", "/api/v1/scores/submit", body=harness.initialized())
    assert (reply.status, reply.json["code"]) == (503, 5030)
    assert b"password" not in reply.body


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_a_compressed_body_is_refused(encoding: str) -> None:
    reply = Harness().ask(
        "POST", "/api/v1/actions/initialize", raw=b"\x1f\x8b" + b"x" * 50, headers={"Content-Encoding": encoding}
    )
    assert (reply.status, reply.json["code"]) == (415, 4150)
