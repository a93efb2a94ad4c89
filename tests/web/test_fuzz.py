"""No bytes of a client cause a 500, a traceback or a missing response (promise P8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from tests.web.harness import Harness, HttpConnection, request

PATHS = st.sampled_from(
    [
        "/api/v1/scores/submit",
        "/api/v1/actions/initialize",
        "/api/v1/scores/leaderboard",
        "/api/v1/scores/me",
        "/api/v1/me/settings",
        "/static/a",
        "/healthz",
    ]
) | st.text(max_size=30)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]) | st.text(max_size=10)
NAMES = st.sampled_from(
    [
        "Authorization",
        "Content-Type",
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "X-Forwarded-For",
        "Accept",
        "Origin",
        "If-None-Match",
        "Expect",
        "Connection",
        "Content-Encoding",
        "User-Agent",
        "Access-Control-Request-Method",
    ]
) | st.text(max_size=10)
VALUES = st.sampled_from(["application/json", "chunked", "5", "100-continue", "close", "Bearer x", "*"]) | st.text(max_size=40)


@pytest.fixture(autouse=True)
def nothing_is_logged_as_a_fault() -> Iterator[None]:
    with capturedLogs() as answered:
        yield
    assert [event for event in answered if event["log_level"] in (LogLevel.error, LogLevel.critical)] == []


def statuses(connection: HttpConnection, *, to_head: bool = False) -> list[int]:
    found = [reply.status for reply in connection.replies(to_head=to_head)]
    assert all(status < 500 for status in found), found
    return found


@given(st.binary(max_size=400))
def test_random_bytes_cause_no_fault(data: bytes) -> None:
    connection = Harness().connection()
    connection.send(data)
    connection.send(b"\r\n\r\n")
    statuses(connection)


@given(METHODS, PATHS, st.lists(st.tuples(NAMES, VALUES), max_size=6), st.binary(max_size=200), st.booleans())
@settings(max_examples=300)
def test_random_requests_cause_no_fault(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes, trusted: bool
) -> None:
    harness = Harness(trusted=("203.0.113.0/24",) if trusted else (), cors_origins=("https://a.example",))
    connection = harness.connection()
    header_lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{header_lines}\r\n".encode("utf-8", "surrogatepass") + body)
    statuses(connection, to_head=method == "HEAD")


@given(st.sampled_from(["/api/v1/scores/submit", "/api/v1/actions/initialize"]), st.binary(max_size=300))
def test_random_bodies_with_a_valid_token_cause_no_fault(path: str, body: bytes) -> None:
    assert Harness().ask("POST", path, raw=body).status in (400, 413)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("actionId", "actionType", "timestamp", "metadata", "signature"), JSON)))
def test_random_json_as_each_member_causes_no_fault(changes: dict[str, object]) -> None:
    harness = Harness()
    submission = harness.initialized()
    assert harness.ask("POST", "/api/v1/scores/submit", body=submission | changes).status in (200, 400)


@given(JSON)
def test_random_metadata_at_initialization_causes_no_fault(metadata: object) -> None:
    wish = {"actionType": "COMPLETE_QUEST", "metadata": metadata}
    assert Harness().ask("POST", "/api/v1/actions/initialize", body=wish).status in (200, 400)


@given(st.text(max_size=60), st.text(max_size=60))
def test_random_queries_and_validators_cause_no_fault(query: str, tag: str) -> None:
    connection = Harness().connection()
    head = request("GET", "/api/v1/scores/leaderboard?", headers={"Authorization": f"Bearer {Harness().token()}"})
    connection.send(
        head.replace(b"leaderboard?", b"leaderboard?" + query.encode()).replace(
            b"\r\n\r\n", b"\r\nIf-None-Match: " + tag.encode() + b"\r\n\r\n"
        )
    )
    connection.send(b"\r\n\r\n")
    statuses(connection)


@given(st.lists(st.integers(1, 400), max_size=12))
def test_the_responses_are_the_same_however_the_requests_are_split(cuts: list[int]) -> None:
    harness = Harness()
    submission = request(
        "POST", "/api/v1/scores/submit", body=harness.initialized(), headers={"Authorization": f"Bearer {harness.token()}"}
    )
    stream = submission + request("GET", "/healthz") + submission + request("GET", "/nothing")
    connection = harness.connection()
    for size in [*cuts, len(stream)]:
        connection.send(stream[:size])
        stream = stream[size:]
    assert statuses(connection) == [200, 200, 200, 404]
